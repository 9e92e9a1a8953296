package vault

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/slotkey"
)

// python returns the interpreter of the second implementation.
func python(t *testing.T) string {
	t.Helper()
	return needs.Python(t, "cbor2", "nacl", "argon2")
}

// read runs the second implementation on a vault.
func (g golden) read(t *testing.T, path string, kind SlotKind, more ...string) ([]byte, error) {
	t.Helper()
	share := g.Keyring[g.Content.Vault+"/share"]
	if !kind.NeedsShare() {
		share = ""
	}
	cmd := exec.Command("/usr/bin/python3", append([]string{"testdata/reader.py", path, string(kind), share}, more...)...)
	cmd.Stdin = strings.NewReader(g.Passphrases[string(kind)])
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// TestSecondImplementation has a reader in another language, written from
// docs/vault-format.md alone, open the golden vaults by each of their slots.
func TestSecondImplementation(t *testing.T) {
	python(t)
	for _, dir := range goldenDirs {
		readInPython(t, dir)
	}
}

func readInPython(t *testing.T, dir string) {
	g, path := readGolden(t, dir)
	for _, kind := range goldenKinds(dir) {
		out, err := g.read(t, path, kind)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		var content goldenContent
		if err := json.Unmarshal(out, &content); err != nil {
			t.Fatal(err)
		}
		if got, want := asJSON(t, content), asJSON(t, g.Content); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", kind, got, want)
		}
	}
}

// TestSecondImplementationReadsAFreshVault: what is written today, by a random
// source, is what the page says as well, past a few commits of every kind.
func TestSecondImplementationReadsAFreshVault(t *testing.T) {
	python(t)
	path := filepath.Join(t.TempDir(), "vault.nsv")
	f := makeGolden(t, goldenGrants, path)
	for i := range 30 {
		f.add(fmt.Sprintf("more-%d", i))
	}
	g, _ := readGolden(t, goldenGrants)
	out, err := g.read(t, path, SlotKeyring)
	if err != nil {
		t.Fatal(err)
	}
	var content goldenContent
	if err := json.Unmarshal(out, &content); err != nil {
		t.Fatal(err)
	}
	if got, want := asJSON(t, content), asJSON(t, f.describe()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestSecondImplementationRefuses: the checks on the page find damage too.
func TestSecondImplementationRefuses(t *testing.T) {
	python(t)
	g, path := readGolden(t, goldenGrants)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		bad := bytes.Clone(good)
		i := rand.IntN(len(good) - 32)
		bad[i] ^= 1 << rand.IntN(8)
		if err := os.WriteFile(path, withChecksum(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := g.read(t, path, SlotKeyring)
		if err == nil || !strings.Contains(err.Error(), "damaged: ") && !strings.Contains(err.Error(), "newer: ") {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

// TestSecondImplementationReadsCodes: a recovery code as people type it is understood,
// and a mistyped one or a wrong key file is not.
func TestSecondImplementationReadsCodes(t *testing.T) {
	python(t)
	g, path := readGolden(t, goldenSlots)
	code, line := g.Passphrases[string(SlotRecovery)], g.Passphrases[string(SlotKeyFile)]
	for _, c := range []struct {
		kind SlotKind
		text string
		want string // "" opens
	}{
		{SlotRecovery, strings.ToUpper(strings.ReplaceAll(code, "-", " ")) + "\n", ""},
		{SlotRecovery, strings.TrimPrefix(code, slotkey.Prefix), ""},
		{SlotRecovery, code + "s", "damaged: word 13"},
		{SlotRecovery, code + " zoo", "damaged: 14 words"},
		{SlotRecovery, "NSR1" + strings.Repeat("-zoo", 13), "damaged: check of the code"},
		{SlotRecovery, "NSR1-zoo-zoo-zoo-zoo-zoo-zoo-zoo-zoo-zoo-zoo-zoo-zoo-frown", "damaged: does not open"},
		{SlotKeyFile, strings.TrimSpace(line), ""},
		{SlotKeyFile, strings.ToUpper(line), "damaged: key file"},
		{SlotKeyFile, "nsk1_" + strings.Repeat("0", 64), "damaged: does not open"},
	} {
		g.Passphrases[string(c.kind)] = c.text
		_, err := g.read(t, path, c.kind)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
}

// TestFormatPage compares the worked values on the page with those that the second
// implementation computes.
func TestFormatPage(t *testing.T) {
	python(t)
	for dir, values := range workedValues(t) {
		g, path := readGolden(t, dir)
		computed := map[string]string{}
		for _, kind := range goldenKinds(dir) {
			out, err := g.read(t, path, kind, "trace")
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(out, &computed); err != nil {
				t.Fatal(err)
			}
		}
		if dir == goldenGrants {
			inPython(t, &computed, asJSON(t, g.Wraps), path, "grant", hex.EncodeToString(goldenGrantID[:]), "trace")
			inPython(t, &computed, hex.EncodeToString(goldenBytes("machine key", 32)), path, "machine", "", "trace")
		}
		for name, value := range values {
			if got := computed[name]; got != hex.EncodeToString(value) {
				t.Errorf("%s: the page says %x, computed %s", name, value, got)
			}
		}
	}
}

// workedValues returns the values of docs/vault-format.md by golden vault and name.
func workedValues(t *testing.T) map[string]map[string][]byte {
	t.Helper()
	page, err := os.ReadFile("../docs/vault-format.md")
	if err != nil {
		t.Fatal(err)
	}
	vector := "01424242424242424242424242424242424242424242424242d191efd0015655e4"
	if !strings.Contains(string(page), vector) {
		t.Error("the page lacks the value of envelope.TestSuiteVector")
	}
	_, worked, ok := strings.Cut(string(page), "\n## 14. Worked values\n")
	if !ok {
		t.Fatal("the page has no worked values")
	}
	worked, _, _ = strings.Cut(worked, "\n## ")
	all := map[string]map[string][]byte{}
	dir := goldenDir
	for i, text := range strings.Split(worked, "\nOf the vault in `vault/") {
		if i > 0 {
			dir, text, _ = strings.Cut(text, "/`")
		}
		all[dir] = valuesIn(text)
	}
	if len(all) != 3 || len(all[goldenDir]) < 20 || len(all[goldenSlots]) < 6 || len(all[goldenGrants]) < 6 {
		t.Fatalf("only %d, %d and %d values on the page", len(all[goldenDir]), len(all[goldenSlots]), len(all[goldenGrants]))
	}
	return all
}

func valuesIn(text string) map[string][]byte {
	values := map[string][]byte{}
	name := ""
	for line := range strings.Lines(text) {
		value, err := hex.DecodeString(strings.TrimSpace(line))
		switch {
		case strings.HasPrefix(line, "        ") && err == nil:
			values[name] = value
		case strings.HasPrefix(line, "    "):
			name = strings.TrimSpace(line)
		}
	}
	return values
}
