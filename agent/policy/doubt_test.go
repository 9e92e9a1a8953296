package policy

import (
	"slices"
	"testing"
)

// TestUnsaid: what is told of a process is not asked for again, nor is a claim of a token by
// another issuer.
func TestUnsaid(t *testing.T) {
	p := rules(t, "effect = \"allow\"\nwhat = \"*\"\nwho = { exe = \"/a\", exe_sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\", unit = \"u\", container = \"c\", tty = true, "+
		"oidc = { issuer = \"https://i\", x = \"1\" } }")
	who := &p.Rules[0].Who
	a := &Attempt{Issuer: "https://i"}
	all := []string{"exe", "exe_sha256", "unit", "container", "tty", "claim.x"}
	for fact, names := range map[Facts][]string{
		0: all, FactExe: all[1:], FactExe | FactHash: all[2:], FactExe | FactHash | FactCgroup: all[4:], FactExe | FactHash | FactCgroup | FactTTY: all[5:],
	} {
		a.Evidence.Known = fact
		if got, _ := who.unsaid(a); !slices.Equal(got, names) {
			t.Errorf("%d is known: got %q, want %q", fact, got, names)
		}
	}
	a.Evidence.Known, a.Issuer = FactExe, "https://j"
	if got, _ := who.unsaid(a); !slices.Equal(got, all[1:5]) {
		t.Errorf("of another issuer: got %q", got)
	}
}

// TestUnread: a passport is no request, whatever path somebody gives for it.
func TestUnread(t *testing.T) {
	s := see(&Attempt{Kind: KindPassport, Path: RESTletPath})
	if got := s.unread(); got != "a TokenPassport does not say for which operation it is" {
		t.Errorf("got %q", got)
	}
}
