package unlocktoken

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
)

// edges freezes what is just allowed of each rule on caveats.
func (f *frozen) edges() {
	last, uid := uint32(math.MaxUint32), uint32(0)
	ask := func(change func(*vectorRequest)) vectorRequest {
		r := vectorRequest{Time: 1_800_000_000, Credential: hex.EncodeToString(acme[:]), Kind: "sign"}
		change(&r)
		return r
	}
	f.add("numbers at their least, and a moment of time", "", f.token(encode(f.authority(Attached, Caveats{NotBefore: 1_800_000_000, Uses: 1, Rate: &Rate{Count: 1, Seconds: 1}})), acme),
		ask(func(*vectorRequest) {}), ask(func(r *vectorRequest) { r.Time-- }), ask(func(r *vectorRequest) { r.Time++ }))
	f.add("numbers at their most", "", f.token(f.rawAuthority(map[int]any{1: []ID{acme}, 9: math.MaxInt64, 10: uint64(math.MaxUint64), 11: []uint64{math.MaxUint64, 366 * 86400}})),
		ask(func(r *vectorRequest) { r.Time = math.MaxInt64 }))
	f.add("the first user and the last", "", f.token(encode(f.authority(Attached, Caveats{Peer: &Peer{UIDs: []uint32{0, last}, Executables: []string{"/", "/opt/a b/.c"}}})), acme),
		ask(func(r *vectorRequest) { r.UID, r.Executable = &uid, "/opt/a b/.c" }), ask(func(r *vectorRequest) { r.UID, r.Executable = &last, "/" }),
		ask(func(r *vectorRequest) { r.UID, r.Executable = &last, "/opt/a b" }), ask(func(r *vectorRequest) { r.Executable = "/" }))
	f.add("networks of both versions", "", f.token(encode(f.authority(Attached, Caveats{Networks: []string{"192.0.2.0/24", "2001:db8:0:1::/64", "64:ff9b::/96"}})), acme),
		ask(func(r *vectorRequest) { r.Address = "192.0.2.9" }), ask(func(r *vectorRequest) { r.Address = "::ffff:192.0.2.9" }), ask(func(r *vectorRequest) { r.Address = "::ffff:192.0.3.9" }),
		ask(func(r *vectorRequest) { r.Address = "2001:db8:0:1::7" }), ask(func(r *vectorRequest) { r.Address = "64:ff9b::c000:209" }), ask(func(*vectorRequest) {}))
	f.add("every network of version 6", "", f.token(encode(f.authority(Attached, Caveats{Networks: []string{"::/0"}})), acme),
		ask(func(r *vectorRequest) { r.Address = "2001:db8::1" }), ask(func(r *vectorRequest) { r.Address = "192.0.2.9" }), ask(func(r *vectorRequest) { r.Address = "::ffff:192.0.2.9" }))
	f.add("scripts of any printable name", "", f.token(encode(f.authority(Attached, Caveats{Scripts: []string{"customscript_a/customdeploy-1", "A!/~"}})), acme),
		ask(func(r *vectorRequest) { r.Script = "customscript_a/customdeploy-1" }), ask(func(r *vectorRequest) { r.Script = "CUSTOMSCRIPT_A/customdeploy-1" }))
	f.add("an identity of 64 claims", "", f.token(encode(f.authority(Attached, Caveats{Identities: []Identity{{Issuer: "https://i", Claims: claims(64)}}})), acme),
		ask(func(r *vectorRequest) { r.Issuer = "https://i" }))
}

// claims returns n claims of different names.
func claims(n int) (all []Claim) {
	for i := range n {
		all = append(all, Claim{Name: fmt.Sprintf("c%d", i), Values: []string{"1"}})
	}
	return all
}

// beyond freezes what is just not allowed of each rule on caveats.
func (f *frozen) beyond() {
	with := func(name, wrong string, key int, value any) {
		c := map[int]any{1: []ID{acme}, 9: 1_800_000_000}
		c[key] = value
		f.add(name, wrong, f.token(f.rawAuthority(c)))
	}
	peer := func(uids, executables any) []any { return []any{uids, executables} }
	identity := func(all []Claim) []Identity { return []Identity{{Issuer: "https://i", Claims: all}} }
	with("a beginning of 0", "format", 8, 0)
	with("an end of 0", "format", 9, 0)
	with("an end of 64 bits", "format", 9, uint64(math.MaxInt64+1))
	with("a beginning behind the end", "caveats", 8, 1_800_000_001)
	with("no uses", "format", 10, 0)
	with("a rate of none", "caveats", 11, []uint64{0, 60})
	with("a rate in no time", "caveats", 11, []uint64{1, 0})
	with("a rate in more than a year", "caveats", 11, []uint64{1, 366*86400 + 1})
	f.add("issued at a time of 64 bits", "format", f.token(encode([]any{labelAuthority, ID{9}, ID{8}, Attached, uint64(math.MaxInt64 + 1), map[int]any{1: []ID{acme}, 9: 1_800_000_000}})))
	with("an empty list", "format", 3, []string{})
	with("an entry twice", "caveats", 3, []string{"a", "a"})
	with("a list of 65", "format", 12, slices.Repeat([]string{"192.0.2.0/24"}, 65))
	for _, s := range []string{"1", "1/1/1", "/1", "1/", "1 /1", "1?/1", "1&/1", "1#/1", "1=/1", "1%/1"} {
		with("the script "+s, "caveats", 6, []string{s})
	}
	for _, n := range []string{"192.0.2.0", "2001:DB8::/32", "2001:db8:0::/48", "2001:db8::1/32", "::1.2.3.4/128", "fe80::%eth0/64", "::ffff:192.0.2.0/120", "::ffff:c000:200/120"} {
		with("the network "+n, "caveats", 12, []string{n})
	}
	with("an identity without claims", "caveats", 13, identity([]Claim{}))
	with("a claim without values", "caveats", 13, identity([]Claim{{Name: "c", Values: []string{}}}))
	with("a claim twice", "caveats", 13, identity(append(claims(1), claims(1)...)))
	with("an identity of 65 claims", "format", 13, identity(claims(65)))
	with("a peer who is nobody", "caveats", 14, peer([]int{}, []string{}))
	with("a user of 33 bits", "format", 14, peer([]uint64{1 << 32}, []string{}))
	for _, e := range []string{"python3", "./a", "/usr/../bin/a", "/usr/./a", "/usr//a", "/usr/a/", "//"} {
		with("the program "+e, "caveats", 14, peer([]int{}, []string{e}))
	}
}

// paths freezes what is a pattern, and which paths fit.
func (f *frozen) paths() {
	path := func(p string) vectorRequest {
		return vectorRequest{Time: 1_800_000_000, Credential: hex.EncodeToString(acme[:]), Kind: "sign", Path: p}
	}
	f.add("the root and what is below it", "", f.token(encode(f.authority(Attached, Caveats{Paths: []string{"/**"}})), acme),
		path("/"), path("/a"), path("/A/%C3%A1/b"), path("/a/"), path("//"), path("/%7F"), path("/%1f"), path("/%5C"), path("/%3B"), path("/%25"), path("/%2e"), path("/%7E"), path("/%"), path("/%2"))
	f.add("the root alone", "", f.token(encode(f.authority(Attached, Caveats{Paths: []string{"/"}})), acme), path("/"), path("/a"), path(""))
	f.add("patterns with escapes", "", f.token(encode(f.authority(Attached, Caveats{Paths: []string{"/%3A*%3a", "/%20/**"}})), acme),
		path("/%3A%3a"), path("/%3Ax%21%3a"), path("/%3A%3A"), path("/%3a%3a"), path("/%3A"), path("/%20/x"), path("/%20"))
	for _, p := range []string{"", "a", "/a/", "/a//b", "/./a", "/a b", "/a;b", "/a?b", "/%61", "/%2F", "/%0a", "/%2*", "/%*1", "/a*b*", "/**/a", "/a/**b", "/**/**"} {
		f.add("the pattern "+p, "caveats", f.token(f.rawAuthority(map[int]any{1: []ID{acme}, 5: []string{p}, 9: 1_800_000_000})))
	}
}

// twice freezes the one list in which an entry may be there twice.
func (f *frozen) twice() {
	job := Identity{Issuer: "https://i", Claims: []Claim{{Name: "repository_id", Values: []string{"1"}}}}
	f.add("an identity twice", "", f.token(encode(f.authority(Attached, Caveats{Identities: []Identity{job, job}})), acme),
		vectorRequest{Time: 1_800_000_000, Credential: hex.EncodeToString(acme[:]), Kind: "sign", Issuer: "https://i", Claims: map[string]string{"repository_id": "1"}})
}
