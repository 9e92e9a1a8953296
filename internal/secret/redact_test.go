package secret

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

const canary = "canary-7d1f0c3b9a"

// forms are how a printer may show the canary.
func forms() []string {
	h := hex.EncodeToString([]byte(canary))
	list := fmt.Sprint([]byte(canary))
	return []string{canary, h, strings.ToUpper(h), strings.Trim(list, "[]"), strings.Trim(fmt.Sprintf("%#v", []byte(canary)), "[]byte{}")}
}

func assertClean(t *testing.T, what, out string) {
	t.Helper()
	for _, f := range forms() {
		if strings.Contains(out, f) {
			t.Errorf("%s shows the secret: %s", what, out)
		}
	}
}

// No verb and no way of nesting prints the bytes.
func TestPrintsRedacted(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	b := take(t, a, canary)
	hk := newKey(t, a, []byte(canary))
	type inner struct{ secret Bytes }
	type outer struct {
		Bytes
		in  inner
		Out Bytes
	}
	values := map[string]any{
		"value": b, "pointer": &b, "embedded": outer{b, inner{b}, b}, "pointer to embedded": &outer{b, inner{b}, b},
		"unexported": inner{b}, "slice": []Bytes{b}, "map": map[string]Bytes{"k": b}, "in any": []any{b},
		"hmac key": hk, "hmac key value": *hk, "arena": a,
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%s", "%#v", "%x", "%X", "%q", "%d", "%p", "%t", "%U", "%c"} {
			assertClean(t, name+" "+verb, fmt.Sprintf(verb, v))
		}
		assertClean(t, name+" Sprint", fmt.Sprint(v))
		var buf bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&buf, nil), slog.NewJSONHandler(&buf, nil)} {
			slog.New(h).Info("x", "v", v)
		}
		assertClean(t, name+" slog", buf.String())
		if out, err := json.Marshal(v); err == nil {
			assertClean(t, name+" json", string(out))
		}
	}
	for _, got := range []string{fmt.Sprintf("%v|%+v|%s|%#v|%x|%q", b, b, b, b, b, b), fmt.Sprint(&b), b.String(), b.GoString(), b.LogValue().String()} {
		for _, s := range strings.Split(got, "|") {
			if s != redacted {
				t.Errorf("printed %q, want %q", s, redacted)
			}
		}
	}
}

func TestMarshalRefuses(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	b := take(t, a, canary)
	type holder struct{ B Bytes }
	for name, marshal := range map[string]func(any) error{
		"json": func(v any) error { _, err := json.Marshal(v); return err },
		"xml":  func(v any) error { _, err := xml.Marshal(v); return err },
		"gob":  func(v any) error { return gob.NewEncoder(&bytes.Buffer{}).Encode(v) },
	} {
		for _, v := range []any{b, &b, holder{b}} {
			if err := marshal(v); err == nil || !strings.Contains(err.Error(), ErrRedacted.Error()) {
				t.Errorf("%s of %T: %v", name, v, err)
			}
		}
	}
	if _, err := b.MarshalBinary(); !errors.Is(err, ErrRedacted) {
		t.Error(err)
	}
}

// Comparing two Bytes with == must not compile, nor using one as a map key; the
// same code with Equal must.
func TestCompareDoesNotCompile(t *testing.T) {
	goTool := needs.Program(t, "go")
	for fixture, want := range map[string]string{"equal": "cannot be compared", "mapkey": "invalid map key", "allowed": ""} {
		out, err := exec.Command(goTool, "build", "-o", os.DevNull, "./testdata/compare/"+fixture).CombinedOutput()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(string(out), want)) {
			t.Errorf("%s: %v: %s", fixture, err, out)
		}
	}
}
