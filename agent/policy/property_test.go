package policy

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyAttempt draws from what is known, and from anything.
func anyAttempt(t *rapid.T) Attempt {
	pick := func(label string, some ...string) string {
		return rapid.OneOf(rapid.SampledFrom(some), rapid.String()).Draw(t, label)
	}
	uid := rapid.OneOf(rapid.SampledFrom([]uint32{0, 1, 1000, 1001, 1<<32 - 1}), rapid.Uint32())
	return Attempt{
		UID: uid.Draw(t, "uid"), Owner: uid.Draw(t, "owner"),
		Profile:     pick("profile", "acme", "acme-prod", "a", ""),
		Environment: pick("environment", "production", "sandbox", ""),
		Access:      Access(pick("access", "read", "read", "write", "", "READ", "all")),
		Kind:        Kind(pick("kind", "sign", "sign", "send", "passport", "connect-password", "assertion", "token", "")),
		Method:      pick("method", "GET", "HEAD", "POST", "POST", "PUT", "PATCH", "DELETE", "get", ""),
		Host:        pick("host", "1234567.suitetalk.api.netsuite.com"),
		Path:        pick("path", SuiteQLPath, SuiteQLPath, "/", "/services/rest/record/v1/customer", SuiteQLPath+"/", "/rest/revoketoken", ""),
	}
}

// Limiting a profile never widens it.
func TestReadIsPartOfWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyAttempt(t)
		a.Access = Read
		read := decide(a)
		a.Access = Write
		if write := decide(a); read == nil && write != nil {
			t.Fatalf("allowed to read, denied to write: %+v: %v", a, write)
		}
	})
}

func TestOthersGetNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyAttempt(t)
		if a.UID == a.Owner {
			a.UID++
		}
		if decide(a) == nil {
			t.Fatalf("allowed: %+v", a)
		}
	})
}

// What is allowed to a profile that may read is one of three things.
func TestReadAllowsOnlyReading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyAttempt(t)
		a.Access, a.UID = Read, a.Owner
		if decide(a) != nil {
			return
		}
		if a.Kind != KindSign && a.Kind != KindSend {
			t.Fatalf("kind %q was allowed", a.Kind)
		}
		if a.Method != "GET" && a.Method != "HEAD" && (a.Method != "POST" || a.Path != SuiteQLPath) {
			t.Fatalf("%s %s was allowed", a.Method, a.Path)
		}
	})
}

// An unknown kind or access is denied to everybody.
func TestUnknownIsDenied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyAttempt(t)
		if decide(a) == nil && (!known(a.Kind) || a.Access != Read && a.Access != Write || a.Profile == "") {
			t.Fatalf("allowed: %+v", a)
		}
	})
}

// A refusal can be shown as it is, and the same attempt always gets the same one.
func TestRefusalsAreComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyAttempt(t)
		err := decide(a)
		if err == nil {
			return
		}
		d := new(Denied)
		if !errors.As(err, &d) || !errors.Is(err, ErrDenied) {
			t.Fatalf("%v is not a *Denied that wraps ErrDenied", err)
		}
		if d.Code != CodeDenied && d.Code != CodeReadOnly {
			t.Fatalf("code %q", d.Code)
		}
		for _, text := range []string{d.What, d.Why, d.Next} {
			if text == "" || len(text) > 300 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("text %q of %+v", text, a)
			}
		}
		again := new(Denied)
		if !errors.As(decide(a), &again) || *again != *d {
			t.Fatalf("two answers to %+v: %v and %v", a, d, again)
		}
	})
}

// FuzzPath guards that a read-only profile posts to one path only, and that making a
// path plain ends and is stable, whatever the path.
func FuzzPath(f *testing.F) {
	for _, p := range []string{SuiteQLPath, SuiteQLPath + "/", "/rest/revoke%74oken", "/%25%32%35", "%", "/a;b/..;/c", `\`, "/%2e%2e/"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		post := Attempt{Profile: "acme", Access: Read, Kind: KindSign, Method: "POST", Path: p}
		if (decide(post) == nil) != (p == SuiteQLPath) {
			t.Fatalf("POST %q", p)
		}
		decoded, ok := decodeAll(p)
		if !ok {
			return
		}
		if again, ok := decodeAll(decoded); !ok || again != decoded {
			t.Fatalf("%q was decoded to %q, then to %q", p, decoded, again)
		}
		plain := resolve(decoded)
		if again := resolve(plain); again != plain {
			t.Fatalf("%q became %q, then %q", p, plain, again)
		}
		switch strings.ToLower(plain) {
		case "/rest/issuetoken", "/rest/revoketoken", "/rest/requesttoken", "/rest/accesstoken":
			post.Method = "GET"
			if decide(post) == nil {
				t.Fatalf("GET %q was allowed, and is %q", p, plain)
			}
		}
	})
}
