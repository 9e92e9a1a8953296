package secret

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// memlockChild lowers its limit, makes an arena and lets 200 goroutines sign.
func memlockChild() error {
	limit, err := strconv.ParseUint(os.Getenv("LIMIT_KIB"), 10, 64)
	if err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: limit << 10, Max: limit << 10}); err != nil {
		return err
	}
	if kib, _ := strconv.Atoi(os.Getenv("LOCK_KIB")); kib > 0 {
		other, err := unix.Mmap(-1, 0, kib<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err == nil {
			err = unix.Mlock(other)
		}
		if err != nil {
			return err
		}
	}
	h := thisHost()
	if os.Getenv("BELIEVE_EXEMPT") != "" {
		h.budget = func() (budget, error) { return budget{exempt: true, limit: limit << 10}, nil }
	}
	a, err := newArenaOn(ArenaConfig{Mode: Mode(os.Getenv("MODE"))}, h)
	if err != nil {
		if !errors.Is(err, ErrMemlock) {
			return fmt.Errorf("not ErrMemlock: %w", err)
		}
		fmt.Println("refused:", err)
		return nil
	}
	raw := []byte("a key of a test")
	b, err := a.Take(bytes.Clone(raw))
	if err != nil {
		return err
	}
	k, err := a.NewHMACKey(b)
	if err != nil {
		return err
	}
	errs := make(chan error, 200)
	var wg sync.WaitGroup
	for g := range 200 {
		wg.Go(func() {
			msg := bytes.Repeat([]byte{byte(g)}, g)
			var mac [32]byte
			if err := k.HMACSHA256(&mac, msg); err != nil {
				errs <- err
			} else if !bytes.Equal(mac[:], reference(raw, msg)) {
				errs <- errors.New("wrong MAC")
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		return <-errs
	}
	fmt.Println("size", a.Info().Size>>10, a.Info().Mode)
	return a.Close()
}

// With little memory to lock, a normal user gets a smaller arena that works, or
// a sentence: never a panic, never a hang.
func TestLowMemlock(t *testing.T) {
	for _, mode := range append(modes(t), ModeAuto) {
		for _, c := range []struct {
			limit, locked int // KiB
			size          int // KiB, 0 for a refusal
		}{
			{0, 0, 0}, {4, 0, 0}, {8, 0, 0}, {12, 0, 0}, {16, 0, 0}, {39, 0, 0}, {40, 0, 16}, {64, 0, 40}, {64, 40, 0}, {64, 20, 20},
			{8192, 0, 4096},
		} {
			t.Run(fmt.Sprintf("%s/%d-%d", mode, c.limit, c.locked), func(t *testing.T) {
				t.Parallel()
				p := start(t, "memlock", true, fmt.Sprintf("LIMIT_KIB=%d", c.limit), fmt.Sprintf("LOCK_KIB=%d", c.locked), "MODE="+string(mode))
				got := p.line()
				if c.size > 0 {
					if !strings.HasPrefix(got, fmt.Sprintf("size %d ", c.size)) {
						t.Errorf("got %q, want %d KiB", got, c.size)
					}
					return
				}
				for _, part := range []string{"refused: ", fmt.Sprintf("limit is %d KiB, %d KiB are locked", c.limit, c.locked), "40 KiB are needed", "ulimit -l", "LimitMEMLOCK="} {
					if !strings.Contains(got, part) {
						t.Errorf("got %q, want it to say %q", got, part)
					}
				}
			})
		}
	}
}

// A process that believes it may lock without limit, as root in a container
// does, gets what there is.
func TestMemlockBelow(t *testing.T) {
	for _, mode := range modes(t) {
		p := start(t, "memlock", true, "LIMIT_KIB=64", "MODE="+string(mode), "BELIEVE_EXEMPT=1")
		if got, want := p.line(), fmt.Sprintf("size 64 %s", mode); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		p = start(t, "memlock", true, "LIMIT_KIB=12", "MODE="+string(mode), "BELIEVE_EXEMPT=1")
		if got := p.line(); !strings.HasPrefix(got, "refused: ") {
			t.Errorf("got %q, want a refusal", got)
		}
	}
}

func TestBudgetSize(t *testing.T) {
	const page = 4096
	for _, c := range []struct {
		b          budget
		want, size int // bytes; size 0 for a refusal
	}{
		{budget{exempt: true}, 0, maxDefaultSize}, {budget{exempt: true}, 1, minSize}, {budget{exempt: true}, 100_000, 102_400},
		{budget{limit: 8 << 20}, 0, maxDefaultSize}, {budget{limit: 8 << 20}, 8<<20 - margin, 8<<20 - margin},
		{budget{limit: 8 << 20}, 8<<20 - margin + 1, 0}, {budget{limit: 8 << 20, locked: 7 << 20}, 0, 1<<20 - margin},
		{budget{limit: 8 << 20, locked: 9 << 20}, 0, 0}, {budget{limit: 1 << 63}, 0, maxDefaultSize}, {budget{}, -1, 0},
	} {
		got, err := c.b.size(c.want, page)
		if got != c.size || (err == nil) != (c.size > 0) {
			t.Errorf("%+v asked for %d: got %d, %v, want %d", c.b, c.want, got, err, c.size)
		}
	}
}

// auto stays off memfd_secret only where hibernation could work.
func TestHibernation(t *testing.T) {
	for _, c := range []struct {
		state, resume string
		want          bool
	}{
		{"freeze mem disk\n", "8:2\n", true}, {"freeze mem disk\n", "0:0\n", false}, {"freeze mem\n", "8:2\n", false},
		{"disk", "", false}, {"", "8:2", false}, {"diskette", "8:2", false},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"state": c.state, "resume": c.resume} {
			if text != "" {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		dev, on := Hibernation(dir)
		if on != c.want || on && dev != "8:2" {
			t.Errorf("state %q, resume %q: got %q, %v", c.state, c.resume, dev, on)
		}
	}
}

func TestModeChoice(t *testing.T) {
	refuse := func(int, string, budget) (*region, error) {
		return nil, fmt.Errorf("%w: memfd_secret: no such call", ErrMode)
	}
	sleeps := func() (string, bool) { return "8:2", true }
	awake := func() (string, bool) { return "", false }
	for name, c := range map[string]struct {
		mode        Mode
		hibernation func() (string, bool)
		memfd       func(int, string, budget) (*region, error)
		want        Mode
		why         string
		err         error
	}{
		"hibernates": {ModeAuto, sleeps, memfdRegion, ModeMlock, "8:2", nil},
		"refused":    {"", awake, refuse, ModeMlock, "no such call", nil},
		"insists":    {ModeMemfdSecret, awake, refuse, "", "", ErrMode},
		"mlock":      {ModeMlock, awake, memfdRegion, ModeMlock, "asked for", nil},
		"unknown":    {"swap", awake, memfdRegion, "", "", ErrMode},
	} {
		h := host{budget: readBudget, hibernation: c.hibernation, memfd: c.memfd}
		a, err := newArenaOn(ArenaConfig{Mode: c.mode, Size: minSize}, h)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", name, err, c.err)
		}
		if err != nil {
			continue
		}
		if i := a.Info(); i.Mode != c.want || !strings.Contains(i.Why, c.why) {
			t.Errorf("%s: got %s because %q, want %s because %q", name, i.Mode, i.Why, c.want, c.why)
		}
		_ = a.Close()
	}
	if modes(t)[0] == ModeMemfdSecret {
		h := host{budget: readBudget, hibernation: sleeps, memfd: memfdRegion}
		a, err := newArenaOn(ArenaConfig{Mode: ModeMemfdSecret, Size: minSize}, h)
		if err != nil || a.Info().Mode != ModeMemfdSecret {
			t.Fatalf("memfd_secret asked for on a machine that hibernates: %v", err)
		}
		_ = a.Close()
	}
}
