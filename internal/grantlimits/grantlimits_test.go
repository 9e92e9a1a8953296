package grantlimits

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// drawn returns limits of any kind.
func drawn(t *rapid.T) *pb.GrantLimits {
	list := func(name string) []string {
		return rapid.SliceOfN(rapid.StringMatching(`[a-z/]{1,9}`), 0, 3).Draw(t, name)
	}
	m := &pb.GrantLimits{
		Kinds: list("kinds"), Hosts: list("hosts"), Methods: list("methods"), Paths: list("paths"), Scripts: list("scripts"),
		NotBefore: rapid.Int64Range(0, 9).Draw(t, "not before"), Uses: rapid.Uint64Range(0, 9).Draw(t, "uses"),
		RateCount: rapid.Uint64Range(0, 2).Draw(t, "count"), RateSeconds: rapid.Uint64Range(0, 2).Draw(t, "seconds"),
		Networks: list("networks"), Executables: list("executables"), Operations: list("operations"),
		Uids: rapid.SliceOfN(rapid.Uint32(), 0, 2).Draw(t, "uids"),
	}
	for range rapid.IntRange(0, 2).Draw(t, "identities") {
		i := &pb.GrantIdentity{Issuer: rapid.String().Draw(t, "issuer")}
		for range rapid.IntRange(0, 2).Draw(t, "claims") {
			i.Claims = append(i.Claims, &pb.GrantClaim{Name: rapid.String().Draw(t, "name"), Values: list("values")})
		}
		m.Identities = append(m.Identities, i)
	}
	return m
}

// TestNothingIsLost: there and back, limits are what they were.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawn(t)
		if got := Limits(Caveats(m)); !proto.Equal(got, m) {
			t.Fatalf("got %v, want %v", got, m)
		}
	})
}

// TestEveryCaveatCounts: a caveat that is added to the token, and not here, is noticed: each
// but credentials and end makes limits that are not empty.
func TestEveryCaveatCounts(t *testing.T) {
	kind := reflect.TypeFor[unlocktoken.Caveats]()
	for i := range kind.NumField() {
		var all []unlocktoken.Caveats
		set := func(fill func(reflect.Value)) {
			var c unlocktoken.Caveats
			fill(reflect.ValueOf(&c).Elem().Field(i))
			all = append(all, c)
		}
		switch f := kind.Field(i); {
		case f.Name == "Credentials" || f.Name == "NotAfter":
			continue
		case f.Name == "Peer":
			set(func(v reflect.Value) { v.Set(reflect.ValueOf(&unlocktoken.Peer{UIDs: []uint32{0}})) })
			set(func(v reflect.Value) { v.Set(reflect.ValueOf(&unlocktoken.Peer{Executables: []string{"/x"}})) })
		case f.Name == "Rate":
			set(func(v reflect.Value) { v.Set(reflect.ValueOf(&unlocktoken.Rate{Count: 1, Seconds: 1})) })
		case f.Type.Kind() == reflect.Slice:
			set(func(v reflect.Value) { v.Set(reflect.MakeSlice(f.Type, 1, 1)) })
		case f.Type.Kind() == reflect.Int64:
			set(func(v reflect.Value) { v.SetInt(1) })
		default:
			set(func(v reflect.Value) { v.SetUint(1) })
		}
		for _, c := range all {
			if m := Limits(c); proto.Equal(m, &pb.GrantLimits{}) {
				t.Errorf("%s is lost", kind.Field(i).Name)
			}
		}
	}
}

// TestEveryLimitCounts: a limit that is added to the API, and not here, is noticed: each
// field by itself makes caveats that are not empty.
func TestEveryLimitCounts(t *testing.T) {
	fields := (&pb.GrantLimits{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		m := &pb.GrantLimits{}
		r := m.ProtoReflect()
		switch {
		case f.IsList() && f.Kind() == protoreflect.StringKind:
			r.Mutable(f).List().Append(protoreflect.ValueOfString("x"))
		case f.IsList() && f.Kind() == protoreflect.Uint32Kind:
			r.Mutable(f).List().Append(protoreflect.ValueOfUint32(0)) // root
		case f.IsList():
			r.Mutable(f).List().Append(r.Mutable(f).List().NewElement())
		case f.Kind() == protoreflect.Int64Kind:
			r.Set(f, protoreflect.ValueOfInt64(1))
		default:
			r.Set(f, protoreflect.ValueOfUint64(1))
		}
		if reflect.DeepEqual(Caveats(m), unlocktoken.Caveats{}) {
			t.Errorf("%s limits nothing", f.Name())
		}
	}
	if got := Caveats(nil); !reflect.DeepEqual(got, unlocktoken.Caveats{}) {
		t.Errorf("no limits are %+v", got)
	}
}
