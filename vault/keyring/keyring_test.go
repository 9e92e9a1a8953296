//go:build linux

package keyring

import (
	"bufio"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/internal/keyringtest"
	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/secret"
)

func TestSetGetDelete(t *testing.T) {
	_, d, a := session(t, keyringtest.Unlocked)
	ctx, before := t.Context(), a.Info().Used
	const item = "0123456789abcdef0123456789abcdef/share"
	if _, err := d.Get(ctx, item); !errors.Is(err, ErrNotFound) {
		t.Fatalf("before: got %v, want %v", err, ErrNotFound)
	}
	if err := d.Delete(ctx, item); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleting nothing: got %v, want %v", err, ErrNotFound)
	}
	for _, n := range []int{1, 31, 32, 47, 48} { // each replaces the one before
		want := random(t, a, n)
		if err := d.Set(ctx, item, want); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		got, err := d.Get(ctx, item)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if !got.Equal(want) {
			t.Errorf("%d bytes: got another value back", n)
		}
		got.Destroy()
		want.Destroy()
	}
	if err := d.Delete(ctx, item); err != nil {
		t.Error(err)
	}
	if _, err := d.Get(ctx, item); !errors.Is(err, ErrNotFound) {
		t.Errorf("after: got %v, want %v", err, ErrNotFound)
	}
	if used := a.Info().Used; used != before {
		t.Errorf("%d bytes of the arena are in use, %d were before", used, before)
	}
}

func TestValuesOfAnyBytes(t *testing.T) {
	_, d, a := session(t, keyringtest.Unlocked)
	for first := 0; first < 256; first += MaxValue {
		p := make([]byte, MaxValue)
		for i := range p {
			p[i] = byte(first + i)
		}
		want, err := a.Take(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Set(t.Context(), "x", want); err != nil {
			t.Fatal(err)
		}
		got, err := d.Get(t.Context(), "x")
		if err != nil || !got.Equal(want) {
			t.Errorf("bytes from %d on: another value, %v", first, err)
		}
	}
}

func TestRefusedBeforeACall(t *testing.T) {
	a := arena(t)
	launch, ended := launcher(nil, roleSilent)
	d := New(a, launch)
	tests := []struct {
		item string
		size int
		want error
	}{
		{"x", MaxValue + 1, ErrTooLarge},
		{"x", 1000, ErrTooLarge},
		{"x", 0, ErrRequest},
		{"", 1, ErrRequest},
		{"X", 1, ErrRequest},
		{"/x", 1, ErrRequest},
		{"x y", 1, ErrRequest},
		{"x\n", 1, ErrRequest},
		{strings.Repeat("x", 65), 1, ErrRequest},
	}
	for _, test := range tests {
		var v secret.Bytes
		if test.size > 0 {
			v = random(t, a, test.size)
		}
		if err := d.Set(t.Context(), test.item, v); !errors.Is(err, test.want) {
			t.Errorf("%q, %d bytes: got %v, want %v", test.item, test.size, err, test.want)
		}
	}
	if len(ended) != 0 {
		t.Error("a helper was started")
	}
}

// What somebody else keeps under our name is neither taken nor guessed at.
func TestForeignItem(t *testing.T) {
	s, d, _ := session(t, keyringtest.Unlocked)
	for _, text := range []string{"", "not base64!", "QUJD\nREVG", "QUI", strings.Repeat("QUJD", 17), strings.Repeat("QUJD", 20_000)} {
		if out, err := command(s.Env(), roleForeign, text).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		v, err := d.Get(t.Context(), "foreign")
		if !errors.Is(err, ErrForeign) {
			t.Errorf("%.20q: got %v, want %v", text, err, ErrForeign)
		}
		if err != nil && text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%.20q: the error shows it: %v", text, err)
		}
		v.Destroy()
	}
}

// The bus is found where systemd puts it, without DBUS_SESSION_BUS_ADDRESS.
func TestBusInRuntimeDirectory(t *testing.T) {
	s := keyringtest.Start(t, keyringtest.Unlocked)
	launch, _ := launcher([]string{"HOME=" + s.Home, "XDG_RUNTIME_DIR=" + s.RuntimeDir}, roleHelper)
	d := New(arena(t), launch)
	if _, err := d.Get(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want %v", err, ErrNotFound)
	}
}

func TestConcurrentCalls(t *testing.T) {
	_, d, a := session(t, keyringtest.Unlocked)
	var all sync.WaitGroup
	for _, item := range []string{"a", "b", "c", "d", "e", "f"} {
		all.Go(func() {
			want := random(t, a, 32)
			if err := d.Set(t.Context(), item, want); err != nil {
				t.Error(err)
				return
			}
			got, err := d.Get(t.Context(), item)
			if err != nil || !got.Equal(want) {
				t.Errorf("%s: another value, %v", item, err)
			}
		})
	}
	all.Wait()
}

// The process behind a door has the value in locked memory and nowhere else.
func TestNoCopyOutsideTheArena(t *testing.T) {
	needs.Root(t, "reads the memory of another process")
	s, d, a := session(t, keyringtest.Unlocked)
	plain := make([]byte, 32)
	share := random(t, a, len(plain))
	if err := share.Use(func(p []byte) error { copy(plain, p); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := d.Set(t.Context(), "share", share); err != nil {
		t.Fatal(err)
	}

	cmd := command(s.Env(), roleDoor, "10")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stdin.Close(); cmd.Wait() }()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
	report, err := memscan.Scan(cmd.Process.Pid, memscan.Needles("share", plain))
	if err != nil {
		t.Fatal(err)
	}
	if report.Total.Unlocked != 0 {
		t.Errorf("%d hits outside locked memory: %+v", report.Total.Unlocked, report.Hits[:min(5, len(report.Hits))])
	}
	if report.Total.Locked == 0 && report.SkippedLocked() == 0 {
		t.Error("the value was not found at all: the scan sees nothing")
	}
}

func BenchmarkGet(b *testing.B) {
	s := keyringtest.Start(b, keyringtest.Unlocked)
	a, err := secret.NewArena(secret.ArenaConfig{Size: 16 << 10})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	launch, _ := launcher(s.Env(), roleHelper)
	d := New(a, launch)
	v, err := a.Random(32)
	if err != nil {
		b.Fatal(err)
	}
	if err := d.Set(b.Context(), "x", v); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		got, err := d.Get(b.Context(), "x")
		if err != nil {
			b.Fatal(err)
		}
		got.Destroy()
	}
}
