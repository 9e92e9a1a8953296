package term

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rsc.io/qr"

	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/secret"
)

// drawn returns a text as it is drawn on a terminal.
func drawn(t *testing.T, text string, colours bool) (string, error) {
	t.Helper()
	arena, err := secret.NewArena(secret.ArenaConfig{Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	b, err := arena.Take([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "screen"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	err = (&TTY{f: f}).QR(arena, b, colours)
	out, rerr := os.ReadFile(f.Name())
	if rerr != nil {
		t.Fatal(rerr)
	}
	return string(out), err
}

// modules reads a drawing back: true is dark.
func modules(t *testing.T, drawing string, colours bool) [][]bool {
	t.Helper()
	var rows [][]bool
	for line := range strings.Lines(drawing) {
		line = strings.TrimSuffix(line, "\n")
		if colours {
			before, after := "\x1b[38;5;16;48;5;231m", "\x1b[0m"
			if !strings.HasPrefix(line, before) || !strings.HasSuffix(line, after) {
				t.Fatalf("a line without its colours: %q", line)
			}
			line = line[len(before) : len(line)-len(after)]
		}
		var upper, lower []bool
		for _, r := range line {
			u, l := r == '█' || r == '▀', r == '█' || r == '▄'
			upper, lower = append(upper, u == colours), append(lower, l == colours)
		}
		rows = append(rows, upper, lower)
	}
	return rows
}

// What is drawn is what the library makes of the same text, with a quiet zone around it.
func TestQR(t *testing.T) {
	const uri = "otpauth://totp/nsagent:ann@laptop?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=nsagent"
	for _, text := range []string{uri, "a lower case letter", uri + strings.Repeat("&x=yyyyyyyyy", 20)} {
		want, err := qr.Encode(text, qr.L)
		if err != nil {
			t.Fatal(err)
		}
		for _, colours := range []bool{true, false} {
			drawing, err := drawn(t, text, colours)
			if err != nil {
				t.Fatal(err)
			}
			rows := modules(t, drawing, colours)
			if n := want.Size + 2*quietZone; len(rows) < n || len(rows[0]) != n {
				t.Fatalf("%d by %d modules, want %d", len(rows), len(rows[0]), n)
			}
			for y, row := range rows {
				for x, dark := range row {
					if inside := x >= quietZone && y >= quietZone && x < quietZone+want.Size && y < quietZone+want.Size; dark != (inside && want.Black(x-quietZone, y-quietZone)) {
						t.Fatalf("colours %v: module %d, %d is dark: %v", colours, x, y, dark)
					}
				}
			}
		}
	}
	if drawing, err := drawn(t, strings.Repeat("x", 3000), true); !errors.Is(err, ErrTooLong) || drawing != "" {
		t.Errorf("too long a text: got %v, %q", err, drawing)
	}
}

// A reader that is none of ours reads what a person's phone would see.
func TestQRIsReadByAnother(t *testing.T) {
	zbar := needs.Program(t, "zbarimg") // Debian: zbar-tools
	const uri = "otpauth://totp/nsagent:ann@laptop?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=nsagent"
	drawing, err := drawn(t, uri, true)
	if err != nil {
		t.Fatal(err)
	}
	const scale = 4
	rows := modules(t, drawing, true)
	var picture bytes.Buffer // a plain PBM, in which 1 is black
	picture.WriteString("P1\n" + fmt.Sprintf("%d %d", len(rows[0])*scale, len(rows)*scale) + "\n")
	for _, row := range rows {
		for range scale {
			for _, dark := range row {
				picture.WriteString(strings.Repeat(map[bool]string{true: "1 ", false: "0 "}[dark], scale))
			}
			picture.WriteByte('\n')
		}
	}
	file := filepath.Join(t.TempDir(), "code.pbm")
	if err := os.WriteFile(file, picture.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(zbar, "-q", "--raw", file).Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != uri {
		t.Errorf("got %q, %v", got, err)
	}
}
