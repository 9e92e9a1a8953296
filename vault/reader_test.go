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
	"slices"
	"strings"
	"testing"
)

// python returns the interpreter that Debian's packages belong to. Without it, or
// without the packages, the test is skipped, unless NSAGENT_TEST_REQUIRE asks for it.
func python(t *testing.T) string {
	t.Helper()
	const path = "/usr/bin/python3"
	out, err := exec.Command(path, "-c", "import cbor2, nacl, argon2").CombinedOutput()
	if err == nil {
		return path
	}
	const advice = "apt-get install python3-cbor2 python3-nacl python3-argon2"
	required := strings.Split(os.Getenv("NSAGENT_TEST_REQUIRE"), ",")
	if slices.Contains(required, "python") || slices.Contains(required, "all") {
		t.Fatalf("the second implementation cannot run (%s): %v\n%s", advice, err, out)
	}
	t.Skipf("the second implementation needs Python packages: %s", advice)
	return ""
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
// docs/vault-format.md alone, open the golden vault by each of its slots.
func TestSecondImplementation(t *testing.T) {
	python(t)
	g, path := readGolden(t)
	for _, kind := range []SlotKind{SlotKeyring, SlotPassphrase, SlotKeyringPassphrase} {
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
	f := makeGolden(t, path)
	for i := range 30 {
		f.add(fmt.Sprintf("more-%d", i))
	}
	g, _ := readGolden(t)
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
	g, path := readGolden(t)
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

// TestFormatPage compares the worked values on the page with those that the second
// implementation computes.
func TestFormatPage(t *testing.T) {
	python(t)
	g, path := readGolden(t)
	computed := map[string]string{}
	for _, kind := range []SlotKind{SlotKeyring, SlotPassphrase, SlotKeyringPassphrase} {
		out, err := g.read(t, path, kind, "trace")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &computed); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range workedValues(t) {
		if got := computed[name]; got != hex.EncodeToString(value) {
			t.Errorf("%s: the page says %x, computed %s", name, value, got)
		}
	}
}

// workedValues returns the values of docs/vault-format.md by their names.
func workedValues(t *testing.T) map[string][]byte {
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
	values := map[string][]byte{}
	name := ""
	for line := range strings.Lines(worked) {
		value, err := hex.DecodeString(strings.TrimSpace(line))
		switch {
		case strings.HasPrefix(line, "        ") && err == nil:
			values[name] = value
		case strings.HasPrefix(line, "    "):
			name = strings.TrimSpace(line)
		}
	}
	if len(values) < 20 {
		t.Fatalf("only %d values on the page", len(values))
	}
	return values
}
