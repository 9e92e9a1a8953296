package policy

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// testCA returns a certificate as PEM.
func testCA(t testing.TB) string {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// issuerWith is a policy with an issuer that has more keys.
func issuerWith(more string) string {
	return "version = 1\n[[issuer]]\nurl = \"https://gitlab.acme.example\"\n" + more
}

func mustParse(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A file that is copied in is there when the policy is read, to the byte, and says so.
func TestCopiedFiles(t *testing.T) {
	const text = "version = 1\n[[issuer]]\nurl = \"https://h\"\n[[issuer]]\nurl = \"https://i\"\njwks_file = \"/etc/a.json\"\n[[issuer]]\nurl = \"https://j\"\njwks_file = \"/etc/b.json\"\n" +
		"[[issuer]]\nurl = \"https://k\"\nca_file = \"/etc/c.pem\"\n[[issuer]]\nurl = \"https://l\"\nca_file = \"/etc/c.pem\"\n[[rule]]\nname = \"a\"\neffect = \"deny\"\nwhat = \"*\""
	p := mustParse(t, text)
	if strings.Join(p.Files(), " ") != "/etc/a.json /etc/b.json /etc/c.pem" {
		t.Fatalf("got %v", p.Files())
	}
	whole, ca := text, testCA(t)
	for path, content := range map[string]string{"/etc/a.json": "{\"keys\":\n[]}\n", "/etc/b.json": "{}", "/etc/c.pem": ca} {
		var err error
		if whole, err = p.WithFile(whole, path, content); err != nil {
			t.Fatal(err)
		}
	}
	got := mustParse(t, whole)
	if len(got.Files()) != 0 {
		t.Errorf("files are left: %v", got.Files())
	}
	for i, want := range []Issuer{
		{URL: "https://h"}, {URL: "https://i", JWKSFile: "/etc/a.json", JWKS: "{\"keys\":\n[]}\n"}, {URL: "https://j", JWKSFile: "/etc/b.json", JWKS: "{}"},
		{URL: "https://k", CAFile: "/etc/c.pem", CA: ca}, {URL: "https://l", CAFile: "/etc/c.pem", CA: ca},
	} {
		if got.Issuers[i] != want {
			t.Errorf("got %+v, want %+v", got.Issuers[i], want)
		}
	}
	for path, content := range map[string]string{"/etc/a.json": "'''", "/etc/\"": "{}", "/etc/c.pem": "{}"} {
		if _, err := p.WithFile(text, path, content); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: got %v", path, err)
		}
	}
	for more, want := range map[string]string{
		"\"/etc/x.json\" = \"{}\"": "unknown key", "\"\" = \"{}\"": "unknown key", "\"/etc/a.json\" = 1": "it is the content", "\"/etc/a.json\" = \"\"": "it is the content",
		"\"/etc/c.pem\" = 1": "the CA has no certificate", "\"/etc/c.pem\" = \"\"": "the CA has no certificate",
	} {
		if _, err := Parse(text + "\n[copied]\n" + more); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", more, err)
		}
	}
}

// A CA is certificates in PEM and nothing else; what is wrong is said with its line, and
// never quoted.
func TestCAOfAnIssuer(t *testing.T) {
	ca := testCA(t)
	for name, text := range map[string]string{
		"one": ca, "two, with blank lines": "\n" + ca + "\n \n" + testCA(t) + "\n", "a blank line within": strings.Replace(ca, endPEM, "\n"+endPEM, 1), "line ends of Windows": strings.ReplaceAll(ca, "\n", "\r\n"),
		"no line end": strings.TrimSuffix(ca, "\n"),
	} {
		if err := checkCA(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM([]byte(text)) {
			t.Errorf("%s: whoever connects reads it otherwise", name)
		}
	}
	n := strings.Count(ca, "\n")
	broken := strings.Replace(ca, "\nMII", "\nAAA", 1)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":              {"", "the CA has no certificate"},
		"blank":                {"\n\n", "the CA has no certificate"},
		"a private key":        {ca + "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n", fmt.Sprintf("line %d of the CA: only certificates in PEM may stand there", n+1)},
		"words before":         {"# our CA\n" + ca, "line 1 of the CA: only certificates in PEM"},
		"words behind":         {ca + "secret", fmt.Sprintf("line %d of the CA: only", n+1)},
		"cut":                  {ca + strings.TrimSuffix(ca, endPEM+"\n"), fmt.Sprintf("line %d of the CA: the certificate that begins there has no end", n+1)},
		"one in another":       {beginPEM + "\n" + ca, "line 1 of the CA: the certificate that begins there cannot be read"},
		"headers":              {strings.Replace(ca, beginPEM, beginPEM+"\nA: b\n", 1), "line 1 of the CA: the certificate"},
		"not base64":           {beginPEM + "\n!!\n" + endPEM, "line 1 of the CA: the certificate"},
		"more behind base64":   {strings.Replace(ca, endPEM, "!\n"+endPEM, 1), "line 1 of the CA: the certificate"},
		"no certificate in it": {"\n" + beginPEM + "\nAAAA\n" + endPEM, "line 2 of the CA: the certificate"},
		"another's bytes":      {broken, "line 1 of the CA: the certificate"},
		"too large":            {strings.Repeat(ca, maxCA/len(ca)+1), "larger than 16384 bytes"},
	} {
		if err := checkCA(c.text); err == nil || !strings.HasPrefix(err.Error(), c.want) && !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	inline := "ca = '''\n" + ca + "'''\n"
	if got := mustParse(t, issuerWith(inline)).Issuers[0]; got.CA != ca {
		t.Errorf("in the text itself: got %+v", got)
	}
	refusals(t, map[string]string{
		issuerWith("ca = 1"):                                          `line 4, "ca": the CA has no certificate`,
		issuerWith("ca = \"\"\"\n" + ca + "x\"\"\""):                  fmt.Sprintf(`line 4, "ca": line %d of the CA: only certificates`, n+1),
		issuerWith("ca_file = \"ca.pem\""):                            `line 4, "ca_file": it is an absolute path`,
		issuerWith(inline + "ca_file = \"/ca.pem\""):                  `line 4, "ca": it goes without ca_file`,
		issuerWith("jwks = \"{}\"\n" + inline):                        `line 5, "ca": it is for keys that are fetched, and goes without jwks`,
		issuerWith("jwks_file = \"/k.json\"\nca_file = \"/ca.pem\""):  `line 5, "ca_file": it is for keys that are fetched`,
		issuerWith("ca_files = \"/ca.pem\""):                          `unknown key; did you mean ca_file?`,
		issuerWith("ca_file = \"/a\"\n[copied]\n\"/a\" = \"secret\""): `line 6, "/a": line 1 of the CA: only certificates`,
	})
}

// Who vouches for the keys of jobs is a right: another CA, or another key set, may let
// others in, whatever the file is called; the same bytes in another file do not.
func TestDiffOfIssuers(t *testing.T) {
	a, b := testCA(t), "\n"+testCA(t)
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	ca := func(text string) string { return "ca = '''\n" + text + "'''\n" }
	file := func(path, text string) string {
		return "ca_file = \"" + path + "\"\n[copied]\n\"" + path + "\" = '''\n" + text + "'''\n"
	}
	const fetched, too = "by keys that are fetched", "by keys that are fetched, where a CA with SHA-256 %s counts too"
	jobs := func(now, before string) []string {
		return []string{"~ true jobs of https://gitlab.acme.example are known " + now + ", and were " + before}
	}
	for name, c := range map[string]struct {
		old, next string
		want      []string
	}{
		"the same":         {ca(a), ca(a), nil},
		"from a file":      {ca(a), file("/a.pem", a), nil},
		"another path":     {file("/a.pem", a), file("/b.pem", a), nil},
		"another CA":       {ca(a), ca(b), jobs(fmt.Sprintf(too, sum(b)), fmt.Sprintf(too, sum(a)))},
		"in the same file": {file("/a.pem", a), file("/a.pem", b), jobs(fmt.Sprintf(too, sum(b)), fmt.Sprintf(too, sum(a)))},
		"a CA":             {"", ca(a), jobs(fmt.Sprintf(too, sum(a)), fetched)},
		"no CA":            {ca(a), "", jobs(fetched, fmt.Sprintf(too, sum(a)))},
		"pinned":           {ca(a), "jwks = \"{}\"", jobs("by pinned keys with SHA-256 "+sum("{}"), fmt.Sprintf(too, sum(a)))},
		"another":          {"", "[[issuer]]\nurl = \"https://i\"\n", []string{"+ true jobs of https://i, known " + fetched}},
		"twice":            {ca(a), ca(a) + "[[issuer]]\nurl = \"https://gitlab.acme.example\"\n", []string{"+ true jobs of https://gitlab.acme.example, known " + fetched}},
	} {
		var got []string
		for _, ch := range Diff(mustParse(t, issuerWith(c.old)), mustParse(t, issuerWith(c.next)), nil) {
			got = append(got, fmt.Sprintf("%s %t %s", ch.Sign, ch.Wider, ch.Text))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// An issuer that is known anyway counts by keys that are fetched where no policy names it: to
// pin its keys, or to pin them no more, is a change of keys, and neither adds nor takes away.
func TestDiffOfKnownIssuers(t *testing.T) {
	const github = "https://token.actions.githubusercontent.com"
	none := mustParse(t, "version = 1\n")
	named := mustParse(t, "version = 1\n[[issuer]]\nurl = \""+github+"\"\n")
	pinned := mustParse(t, "version = 1\n[[issuer]]\nurl = \""+github+"\"\njwks = \"{}\"\n")
	other := mustParse(t, issuerWith(""))
	keys := fmt.Sprintf("by pinned keys with SHA-256 %x", sha256.Sum256([]byte("{}")))
	pins := []string{"~ true jobs of " + github + " are known " + keys + ", and were by keys that are fetched"}
	unpins := []string{"~ true jobs of " + github + " are known by keys that are fetched, and were " + keys}
	for name, c := range map[string]struct {
		old, next *Policy
		want      []string
	}{
		"pinned, then not named":    {pinned, none, unpins},
		"pinned, then named":        {pinned, named, unpins},
		"pinned, then no policy":    {pinned, nil, append([]string{"- true whatever no rule allows is denied"}, unpins...)},
		"not named, then pinned":    {none, pinned, pins},
		"named, then pinned":        {named, pinned, pins},
		"no policy, then pinned":    {nil, pinned, append([]string{"+ false whatever no rule allows is denied"}, pins...)},
		"not named, then named":     {none, named, nil},
		"named, then not":           {named, none, nil},
		"another":                   {none, other, []string{"+ true jobs of https://gitlab.acme.example, known by keys that are fetched"}},
		"another no more":           {other, none, []string{"- false jobs of https://gitlab.acme.example"}},
		"the same, pinned as it is": {pinned, pinned, nil},
	} {
		var got []string
		for _, ch := range Diff(c.old, c.next, []string{github, "https://gitlab.com"}) {
			got = append(got, fmt.Sprintf("%s %t %s", ch.Sign, ch.Wider, ch.Text))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// A file that cannot be read is a fault of the key that names it, on its line.
func TestFileFault(t *testing.T) {
	const text = "version = 1\n[[issuer]]\nurl = \"https://h\"\n[[issuer]]\nurl = \"https://i\"\njwks_file = \"/a\"\n[[issuer]]\nurl = \"https://j\"\nca_file = \"/b\"\n[[issuer]]\nurl = \"https://k\"\nca_file = \"/b\"\n"
	for path, want := range map[string]string{"/a": `line 6, issuer, "jwks_file": it is 100% gone`, "/b": `line 9, issuer, "ca_file": it is 100% gone`} {
		err := FileFault(text, path, "it is 100% gone")
		if s := (*SyntaxError)(nil); !errors.As(err, &s) || s.Place()+": "+s.Why != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	if err := FileFault("version", "/a", "x"); !errors.Is(err, ErrSyntax) {
		t.Errorf("no policy: got %v", err)
	}
}
