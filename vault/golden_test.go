package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/slotkey"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// updateGolden writes the golden vaults anew. A released golden vault is never
// written again: a new format version gets a directory of its own.
var updateGolden = flag.Bool("update-golden", false, "write the golden vault anew")

// The golden vaults: one with the kinds of key slots that came first, one with all, and
// one with a grant and a policy as well.
const (
	goldenDir    = "testdata/golden-v1"
	goldenSlots  = "testdata/golden-v1-slots"
	goldenGrants = "testdata/golden-v1-grants"
)

var goldenDirs = []string{goldenDir, goldenSlots, goldenGrants}

// goldenKinds are the kinds of slots of a golden vault.
func goldenKinds(dir string) []SlotKind {
	if dir == goldenSlots {
		return allKinds
	}
	return []SlotKind{SlotKeyring, SlotPassphrase, SlotKeyringPassphrase}
}

// golden is golden.json: what opens the golden vault, and what is in it. Its
// secrets are made from their names and protect nothing.
type golden struct {
	About       string            `json:"about"`
	Passphrases map[string]string `json:"passphrases"`     // by slot kind; also recovery code and line of the key file
	Keyring     map[string]string `json:"keyring"`         // item to hexadecimal value
	Wraps       map[string]string `json:"wraps,omitempty"` // wrap keys of the grant, by record id
	Content     goldenContent     `json:"content"`         // what every reader prints
}

type goldenContent struct {
	Vault        string         `json:"vault"`
	Created      uint64         `json:"created"`
	Generation   uint64         `json:"generation"`
	ManifestHash string         `json:"manifest_hash"`
	Slots        []goldenSlot   `json:"slots"`
	Records      []goldenRecord `json:"records"`
	Grants       []goldenGrant  `json:"grants,omitempty"`
	Policy       string         `json:"policy,omitempty"`
}

type goldenGrant struct {
	ID      string   `json:"id"`
	Issuer  string   `json:"issuer"`
	Meta    string   `json:"meta"`
	Records []string `json:"records"`
}

type goldenSlot struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	KDF  []int  `json:"kdf"` // memory in KiB, passes, threads; zeros without passphrase
}

type goldenRecord struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Kind     string          `json:"kind"`
	Created  uint64          `json:"created"`
	Meta     string          `json:"meta"` // hexadecimal, as the secrets
	Versions []goldenVersion `json:"versions"`
}

type goldenVersion struct {
	Number   uint64 `json:"number"`
	Created  uint64 `json:"created"`
	SignOnly string `json:"sign_only"`
	Raw      string `json:"raw"` // "" if the record has no such part
}

// goldenBytes returns n bytes that follow from label.
func goldenBytes(label string, n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "nsagent golden %s %d", label, i))
		b = append(b, sum[:]...)
	}
	return b[:n]
}

// goldenBoth returns the passphrase of the golden vault's slot that takes both shares. It
// is no constant, because TestMemory looks for it in processes of this binary.
func goldenBoth() string { return strings.ReplaceAll("gol|den: bo|th sha|res", "|", "") }

// makeGolden makes a golden vault at path, the same each time.
func makeGolden(t *testing.T, dir, path string) *fixture {
	t.Helper()
	ctx := context.Background()
	seconds := int64(1_790_000_000)
	seed := [32]byte([]byte("nsagent golden vault, version 1."))
	switch dir {
	case goldenSlots:
		seed = [32]byte([]byte("nsagent golden vault, all slots."))
	case goldenGrants:
		seed = [32]byte([]byte("nsagent golden vault, with grant"))
	}
	a := newArena(t)
	f := &fixture{t: t, keyring: newKeyring(a)}
	f.cfg = Config{
		Store: store.NewFile(path), Arena: a, Keyring: f.keyring, Rand: rand.NewChaCha8(seed),
		now: func() time.Time { seconds += 3600; return time.Unix(seconds, 0) },
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	take := func(p []byte) secret.Bytes {
		b, err := a.Take(p)
		must(err)
		return b
	}
	var err error
	f.Vault, err = Create(ctx, f.cfg, Slot{Kind: SlotKeyringPassphrase, KDF: KDFLow, Passphrase: take([]byte(goldenBoth()))})
	must(err)
	must(f.AddSlot(ctx, Slot{Kind: SlotPassphrase, KDF: KDF{MemoryKiB: 20 << 10, Time: 3, Threads: 2}, Passphrase: take([]byte("golden: Straße ≠ strasse "))}))
	must(f.AddSlot(ctx, Slot{Kind: SlotKeyring}))
	if dir == goldenSlots {
		must(f.AddSlot(ctx, Slot{Kind: SlotRecovery, Key: take(goldenBytes("recovery code", 16))}))
		must(f.AddSlot(ctx, Slot{Kind: SlotKeyFile, Key: take(goldenBytes("key file", 32))}))
	}
	must(errOf(f.AddAll(ctx, []NewRecord{
		{Name: "acme-sb1", Kind: "tba", Meta: []byte("opaque meta of acme-sb1"), SignOnly: take(goldenBytes("acme-sb1 midstates 1", 64)), Raw: take(goldenBytes("acme-sb1 pair 1", 129))},
		{Name: "acme-m2m", Kind: "m2m", Meta: goldenBytes("acme-m2m meta", 700), SignOnly: take(goldenBytes("acme-m2m key", 1217))},
	})))
	must(errOf(f.Add(ctx, NewRecord{Name: "gone", Kind: "tba", SignOnly: take(goldenBytes("gone", 64))})))
	must(f.Rotate(ctx, "acme-sb1", take(goldenBytes("acme-sb1 midstates 2", 64)), take(goldenBytes("acme-sb1 pair 2", 129))))
	must(f.Remove(ctx, "gone"))
	if dir == goldenGrants {
		f.addGoldenGrant()
	}
	f.integrity()
	return f
}

// describe returns what is in f by way of this implementation.
func (f *fixture) describe() goldenContent {
	f.t.Helper()
	hash := f.root.Hash()
	c := goldenContent{
		Vault: hex.EncodeToString(f.ID()), Created: f.root.Created, Generation: f.Generation(),
		ManifestHash: hex.EncodeToString(hash[:]), Slots: []goldenSlot{}, Records: []goldenRecord{},
	}
	for _, s := range f.Slots() {
		c.Slots = append(c.Slots, goldenSlot{s.ID.String(), string(s.Kind), []int{int(s.KDF.MemoryKiB), int(s.KDF.Time), int(s.KDF.Threads)}})
	}
	s, err := f.current()
	if err != nil {
		f.t.Fatal(err)
	}
	o, err := s.keys.NewOpener()
	if err != nil {
		f.t.Fatal(err)
	}
	defer o.Close()
	for _, e := range s.index.sorted() {
		r, err := s.parse(e.ID)
		if err != nil {
			f.t.Fatal(err)
		}
		m, err := o.Check(r)
		if err != nil {
			f.t.Fatal(err)
		}
		g := goldenRecord{ID: e.ID.String(), Name: m.Name, Kind: m.Kind, Created: m.Created, Meta: hex.EncodeToString(m.Meta)}
		for _, v := range m.Versions {
			g.Versions = append(g.Versions, goldenVersion{
				Number: v.Number, Created: v.Created,
				SignOnly: f.hex(o, r, envelope.PartSignOnly, v.Number), Raw: f.hex(o, r, envelope.PartRaw, v.Number),
			})
		}
		c.Records = append(c.Records, g)
	}
	f.describeGrants(&c)
	return c
}

func (f *fixture) hex(o *envelope.Opener, r *envelope.Record, part envelope.Part, number uint64) (s string) {
	if blob, err := o.Blob(r, number); err == nil && part == envelope.PartRaw && !blob.DEK.IsZero() {
		defer blob.DEK.Destroy()
		return f.blobSum(blob)
	}
	b, err := o.Content(r, part, number)
	if err != nil {
		return ""
	}
	defer b.Destroy()
	_ = b.Use(func(p []byte) error {
		s = hex.EncodeToString(p)
		return nil
	})
	return s
}

// TestGoldenWriter makes the golden vaults again: what is written today is, byte for
// byte, what was written when the format was fixed.
func TestGoldenWriter(t *testing.T) {
	for _, dir := range goldenDirs {
		writeGolden(t, dir)
	}
}

func writeGolden(t *testing.T, dir string) {
	path := filepath.Join(t.TempDir(), "vault.nsv")
	f := makeGolden(t, dir, path)
	g := golden{
		About: "Opens vault.nsv beside it. All secrets are made up: SHA-256 of their names.",
		Passphrases: map[string]string{
			string(SlotPassphrase):        "golden: Straße ≠ strasse ",
			string(SlotKeyringPassphrase): goldenBoth(),
		},
		Keyring: map[string]string{}, Content: f.describe(),
	}
	if dir == goldenSlots {
		code, err := slotkey.EncodeCode(f.cfg.Arena, f.bytesOf(string(goldenBytes("recovery code", 16))))
		if err != nil {
			t.Fatal(err)
		}
		line, err := slotkey.EncodeFile(f.cfg.Arena, f.bytesOf(string(goldenBytes("key file", 32))))
		if err != nil {
			t.Fatal(err)
		}
		g.Passphrases[string(SlotRecovery)], g.Passphrases[string(SlotKeyFile)] = f.text(code), f.text(line)
	}
	for item, value := range f.keyring.items {
		g.Keyring[item] = hex.EncodeToString(value)
	}
	if dir == goldenGrants {
		g.Wraps = f.goldenWraps()
	}
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"vault.nsv": data, "golden.json": text} {
		file := filepath.Join(dir, name)
		if *updateGolden {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from what is written today (%d bytes, want %d)", file, len(got), len(want))
		}
	}
}

// text returns what b holds, which is no secret in tests.
func (f *fixture) text(b secret.Bytes) (s string) {
	f.t.Helper()
	if err := b.Use(func(p []byte) error {
		s = string(p)
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
	return s
}

// goldenProof returns what opens the slot of a kind.
func (f *fixture) goldenProof(g golden, kind SlotKind) (p Proof) {
	f.t.Helper()
	var err error
	text := f.bytesOf(g.Passphrases[string(kind)])
	switch kind {
	case SlotRecovery:
		p.Recovery, err = slotkey.DecodeCode(f.cfg.Arena, text)
	case SlotKeyFile:
		p.KeyFile, err = slotkey.DecodeFile(f.cfg.Arena, text)
	default:
		p.Passphrase = text
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// readGolden returns golden.json and a private copy of a golden vault.
func readGolden(t *testing.T, dir string) (g golden, path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "vault.nsv"))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "vault.nsv")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return g, path
}

// TestGoldenOpens is V-10: the vault of this format's first release opens, by each of
// its key slots, and takes new records.
func TestGoldenOpens(t *testing.T) {
	for _, dir := range goldenDirs {
		for _, kind := range goldenKinds(dir) {
			openGoldenBy(t, dir, kind)
		}
	}
}

func openGoldenBy(t *testing.T, dir string, kind SlotKind) {
	g, path := readGolden(t, dir)
	a := newArena(t)
	f := &fixture{t: t, keyring: newKeyring(a)}
	f.cfg = Config{Store: store.NewFile(path), Arena: a, Keyring: f.keyring}
	for item, value := range g.Keyring {
		b, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		f.keyring.items[item] = b
	}
	f = f.another()
	if err := f.UnlockBy(context.Background(), f.goldenProof(g, kind)); err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	got, want := asJSON(t, f.describe()), asJSON(t, g.Content)
	if got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", kind, got, want)
	}
	f.add("new")
	if n := len(f.names()); n != len(g.Content.Records)+1 {
		t.Errorf("%d records after adding one", n)
	}
	f.integrity()
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
