package secret

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	mrand "math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"unsafe"
)

func take(t testing.TB, a *Arena, s string) Bytes {
	t.Helper()
	b, err := a.Take([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// content returns a copy of test bytes.
func content(t testing.TB, b Bytes) []byte {
	t.Helper()
	var out []byte
	if err := b.Use(func(p []byte) error { out = bytes.Clone(p); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBytesLife(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	src := []byte("secret")
	b, err := a.Take(src)
	if err != nil {
		t.Fatal(err)
	}
	if !allZero(src) {
		t.Errorf("Take left its source: %q", src)
	}
	if got := content(t, b); string(got) != "secret" || b.Len() != 6 || b.IsZero() {
		t.Errorf("got %q, length %d", got, b.Len())
	}
	b.Destroy()
	b.Destroy()
	if err := b.Use(func([]byte) error { return nil }); !errors.Is(err, ErrDestroyed) {
		t.Errorf("Use after Destroy: %v", err)
	}
	if err := b.Truncate(0); !errors.Is(err, ErrDestroyed) || b.Len() != 0 || b.Equal(b) {
		t.Errorf("after Destroy: Truncate %v, Len %d", err, b.Len())
	}
	if _, err := a.Clone(b); !errors.Is(err, ErrDestroyed) {
		t.Errorf("Clone after Destroy: %v", err)
	}

	var zero Bytes
	zero.Destroy()
	if err := zero.Use(nil); !zero.IsZero() || zero.Len() != 0 || zero.Equal(zero) || !errors.Is(err, ErrDestroyed) || !errors.Is(zero.Truncate(0), ErrDestroyed) {
		t.Errorf("zero Bytes: %v", err)
	}
	boom := errors.New("boom")
	if err := take(t, a, "x").Use(func([]byte) error { return boom }); err != boom {
		t.Errorf("Use: got %v, want the callback's error", err)
	}
}

func TestBytesEqual(t *testing.T) {
	a, other := newArena(t, ArenaConfig{}), newArena(t, ArenaConfig{})
	x := take(t, a, "same")
	for _, c := range []struct {
		b    Bytes
		want bool
	}{
		{x, true}, {take(t, a, "same"), true}, {take(t, other, "same"), true},
		{take(t, a, "samE"), false}, {take(t, a, "sam"), false}, {take(t, a, ""), false}, {Bytes{}, false},
	} {
		if got := x.Equal(c.b); got != c.want {
			t.Errorf("Equal with %d bytes: got %v, want %v", c.b.Len(), got, c.want)
		}
	}
	if !take(t, a, "").Equal(take(t, a, "")) {
		t.Error("two empty Bytes differ")
	}
}

// What is given back is zero, also the end that Truncate cuts off, and a slice
// cannot grow into its neighbour.
func TestMemoryIsWipedAndBounded(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	b := take(t, a, strings.Repeat("s", 100))
	after := take(t, a, "neighbour")
	var p []byte
	_ = b.Use(func(q []byte) error { p = q; return nil })
	if cap(p) != 100 {
		t.Errorf("capacity %d, want 100", cap(p))
	}
	used := a.Info().Used
	if err := b.Truncate(33); err != nil || b.Len() != 33 || !allZero(p[33:]) {
		t.Errorf("Truncate: %v, length %d, rest % x", err, b.Len(), p[33:])
	}
	if got := used - a.Info().Used; got != 64 {
		t.Errorf("Truncate gave back %d bytes, want 64", got)
	}
	for _, n := range []int{-1, 34} {
		if err := b.Truncate(n); !errors.Is(err, ErrLength) {
			t.Errorf("Truncate(%d): %v", n, err)
		}
	}
	b.Destroy()
	if !allZero(p) {
		t.Errorf("Destroy left % x", p)
	}
	if got := content(t, after); string(got) != "neighbour" {
		t.Errorf("neighbour is %q", got)
	}
	if uintptr(unsafe.Pointer(&p[0]))%granule != 0 {
		t.Error("not aligned")
	}
}

// A range in use outlives Destroy, Truncate and Close until the use ends, and is
// wiped then.
func TestUseKeepsMemory(t *testing.T) {
	a, err := NewArena(ArenaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	b, c := take(t, a, "one"), take(t, a, "two")
	err = b.Use(func(p []byte) error {
		b.Destroy()
		if string(p) != "one" {
			t.Errorf("destroyed in use: %q", p)
		}
		return c.Use(func(q []byte) error {
			if err := c.Truncate(2); err != nil || string(q) != "tw\x00" {
				t.Errorf("truncated in use: %q, %v", q, err)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if string(p)+string(q) != "onetw\x00" {
				t.Errorf("closed in use: %q %q", p, q)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if !a.gone {
		t.Error("memory is still mapped after the last use")
	}
	if _, err := a.Alloc(1); !errors.Is(err, ErrClosed) {
		t.Errorf("Alloc after Close: %v", err)
	}
	if _, err := a.Random(1); !errors.Is(err, ErrClosed) {
		t.Errorf("Random after Close: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	b.Destroy()
}

// A panic in the callback releases the bytes.
func TestUsePanic(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	b := take(t, a, "x")
	func() {
		defer func() { _ = recover() }()
		_ = b.Use(func([]byte) error { panic("in use") })
	}()
	used := a.Info().Used
	b.Destroy()
	if a.Info().Used != used-granule {
		t.Error("Destroy after a panic gave nothing back")
	}
}

// Many goroutines use and destroy the same handles, and one closes the arena
// beneath them: nothing faults, nothing is seen half.
func TestConcurrentLife(t *testing.T) {
	for range 20 {
		a, err := NewArena(ArenaConfig{Size: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		var handles []Bytes
		for range 50 {
			handles = append(handles, take(t, a, "0123456789abcdef"))
		}
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				r := mrand.New(mrand.NewPCG(uint64(g), 7))
				for range 200 {
					b := handles[r.IntN(len(handles))]
					switch r.IntN(10) {
					case 0:
						b.Destroy()
					case 1:
						if c, err := a.Clone(b); err == nil {
							c.Destroy()
						}
					default:
						_ = b.Use(func(p []byte) error {
							if string(p) != "0123456789abcdef" {
								t.Errorf("saw %q", p)
							}
							return nil
						})
					}
				}
			})
		}
		wg.Go(func() { _ = a.Close() })
		wg.Wait()
		if !a.gone {
			t.Fatal("memory is still mapped")
		}
	}
}

func TestReadAll(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	base := a.Info().Used
	text := make([]byte, 20_000)
	_, _ = rand.Read(text)
	for _, n := range []int{0, 1, 31, 32, 511, 512, 513, 1023, 1024, 1025, 5000, 20_000} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"plain": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader,
			"data with EOF": iotest.DataErrReader, "half": iotest.HalfReader,
		} {
			for _, max := range []int{n, n + 1, 30_000} {
				b, err := a.ReadAll(wrap(bytes.NewReader(text[:n])), max)
				if err != nil || !bytes.Equal(content(t, b), text[:n]) {
					t.Fatalf("%s, %d bytes, max %d: %v", name, n, max, err)
				}
				b.Destroy()
			}
			if n > 0 {
				if _, err := a.ReadAll(wrap(bytes.NewReader(text[:n])), n-1); !errors.Is(err, ErrTooLong) {
					t.Fatalf("%s, %d bytes, max %d: %v", name, n, n-1, err)
				}
			}
		}
	}
	if _, err := a.ReadAll(iotest.ErrReader(io.ErrUnexpectedEOF), 10); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("failing reader: %v", err)
	}
	if _, err := a.ReadAll(emptyReader{}, 10); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("reader without progress: %v", err)
	}
	if _, err := a.ReadAll(lyingReader{}, 10); err == nil {
		t.Error("reader that lies about its count: no error")
	}
	if _, err := a.ReadAll(bytes.NewReader(nil), -1); !errors.Is(err, ErrLength) {
		t.Errorf("negative limit: %v", err)
	}
	small := newArena(t, ArenaConfig{Size: minSize})
	if _, err := small.ReadAll(bytes.NewReader(text), 30_000); !errors.Is(err, ErrFull) {
		t.Errorf("more than the arena holds: %v", err)
	}
	if got := a.Info().Used; got != base {
		t.Errorf("%d bytes of the arena are lost", got-base)
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

type lyingReader struct{}

func (lyingReader) Read(p []byte) (int, error) { return len(p) + 1, nil }

// The kernel copies straight in and out, on whatever memory the arena has.
func TestReadAllFromPipe(t *testing.T) {
	for _, mode := range modes(t) {
		a := newArena(t, ArenaConfig{Mode: mode})
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		in := take(t, a, "through a pipe")
		if err := in.Use(func(p []byte) error { _, err := w.Write(p); return err }); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		out, err := a.ReadAll(r, 100)
		_ = r.Close()
		if err != nil || !out.Equal(in) {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestRandom(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	x, err := a.Random(32)
	if err != nil {
		t.Fatal(err)
	}
	y, err := a.Random(32)
	if err != nil || x.Equal(y) || allZero(content(t, x)) {
		t.Errorf("random bytes are not: %v", err)
	}
	if _, err := a.Random(-1); !errors.Is(err, ErrLength) {
		t.Errorf("negative length: %v", err)
	}
	c, err := a.Clone(x)
	if err != nil || !c.Equal(x) {
		t.Errorf("Clone: %v", err)
	}
	x.Destroy()
	if c.Len() != 32 {
		t.Error("a clone died with its original")
	}
}
