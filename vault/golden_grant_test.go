package vault

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/store"
)

// goldenGrantID is the id of the grant in the golden vault that has one.
var goldenGrantID = [16]byte(goldenBytes("grant", 16))

const goldenPolicy = "version = 1\n"

// addGoldenGrant adds the grant and the policy of the golden vault. A second grant opens
// nothing.
func (f *fixture) addGoldenGrant() {
	f.t.Helper()
	ctx := context.Background()
	grant := NewGrant{ID: goldenGrantID, Meta: []byte("opaque meta of the grant")}
	for _, name := range []string{"acme-sb1", "acme-m2m"} {
		grant.Wraps = append(grant.Wraps, NewWrap{Record: name, Key: f.bytesOf(string(goldenBytes(name+" wrap key", 32)))})
	}
	for _, g := range []NewGrant{grant, {ID: [16]byte(goldenBytes("empty grant", 16))}} {
		if err := f.AddGrant(ctx, g); err != nil {
			f.t.Fatal(err)
		}
	}
	machine, err := f.cfg.Arena.NewHMACKey(f.bytesOf(string(goldenBytes("machine key", 32))))
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.SetPolicy(ctx, []byte(goldenPolicy), machine, nil); err != nil {
		f.t.Fatal(err)
	}
}

// goldenWraps returns the wrap keys of the golden grant, in hexadecimal.
func (f *fixture) goldenWraps() map[string]string {
	wraps := map[string]string{}
	for name, id := range f.ids() {
		wraps[id.String()] = hex.EncodeToString(goldenBytes(name+" wrap key", 32))
	}
	return wraps
}

// describeGrants says what grants and policy there are.
func (f *fixture) describeGrants(c *goldenContent) {
	f.t.Helper()
	all, err := f.Grants()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, g := range all {
		records := []string{}
		for _, id := range g.Records {
			records = append(records, store.ID(id).String())
		}
		c.Grants = append(c.Grants, goldenGrant{store.ID(g.ID).String(), hex.EncodeToString(g.Issuer[:]), hex.EncodeToString(g.Meta), records})
	}
	text, _, err := f.Policy()
	if err != nil {
		f.t.Fatal(err)
	}
	c.Policy = string(text)
}

// TestGoldenGrant opens the golden grant and the golden policy while the vault is locked,
// here and with the second implementation.
func TestGoldenGrant(t *testing.T) {
	g, path := readGolden(t, goldenGrants)
	a := newArena(t)
	f := &fixture{t: t, cfg: Config{Store: store.NewFile(path), Arena: a}}
	f = f.another()
	opened, err := f.OpenGranted(context.Background(), goldenGrantID, func(record [16]byte) (secret.Bytes, error) {
		key, err := hex.DecodeString(g.Wraps[store.ID(record).String()])
		if err != nil {
			return secret.Bytes{}, err
		}
		return a.Take(key)
	})
	if err != nil || len(opened) != 2 {
		t.Fatalf("%d records, %v", len(opened), err)
	}
	for _, o := range opened {
		want := map[string][]byte{"acme-sb1": goldenBytes("acme-sb1 midstates 2", 64), "acme-m2m": goldenBytes("acme-m2m key", 1217)}[o.Name]
		if got := f.text(o.SignOnly); got != string(want) || want == nil {
			t.Errorf("%s: got %x, want %x", o.Name, got, want)
		}
	}
	machine, err := a.NewHMACKey(f.bytesOf(string(goldenBytes("machine key", 32))))
	if err != nil {
		t.Fatal(err)
	}
	if text, ok, err := f.PolicyBy(context.Background(), machine); string(text) != goldenPolicy || !ok || err != nil {
		t.Errorf("policy %q, %v, %v", text, ok, err)
	}

	python(t)
	var parts []struct {
		Name     string `json:"name"`
		SignOnly string `json:"sign_only"`
	}
	inPython(t, &parts, asJSON(t, g.Wraps), path, "grant", hex.EncodeToString(goldenGrantID[:]))
	if len(parts) != len(opened) {
		t.Errorf("the second implementation opens %d records", len(parts))
	}
	for _, p := range parts {
		want := map[string][]byte{"acme-sb1": goldenBytes("acme-sb1 midstates 2", 64), "acme-m2m": goldenBytes("acme-m2m key", 1217)}[p.Name]
		if p.SignOnly != hex.EncodeToString(want) {
			t.Errorf("the second implementation opens %s to %s, want %x", p.Name, p.SignOnly, want)
		}
	}
	var text string
	inPython(t, &text, hex.EncodeToString(goldenBytes("machine key", 32)), path, "machine")
	if text != goldenPolicy {
		t.Errorf("the second implementation reads the policy %q", text)
	}
}

// inPython runs the second implementation and reads what it prints.
func inPython(t *testing.T, to any, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", append([]string{"testdata/reader.py"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, stderr.String())
	}
	if err := json.Unmarshal(out, to); err != nil {
		t.Fatal(err)
	}
}
