package audit

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMeddlingWithTheFileIsNoticed(t *testing.T) {
	for name, meddle := range map[string]func(path string) error{
		"removed": os.Remove,
		"replaced": func(path string) error {
			p, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := os.WriteFile(path+".new", p, 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
		"directory moved": func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+"2") },
		"emptied":         func(path string) error { return os.Truncate(path, 0) },
		"shortened":       func(path string) error { return os.Truncate(path, 900) },
		"added to": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.WriteString(f, "x\n")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("in a pause", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l, _, dir := openFaulty(t)
					mustAppend(t, l, 3)
					time.Sleep(time.Second)
					if err := meddle(filepath.Join(dir, fileName)); err != nil {
						t.Fatal(err)
					}
					if err := stayFailed(l); err != nil {
						t.Fatal(err)
					}
				})
			})
			t.Run("at work", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l, _, dir := openFaulty(t)
					mustAppend(t, l, 3)
					if err := meddle(filepath.Join(dir, fileName)); err != nil {
						t.Fatal(err)
					}
					time.Sleep(maxFlushEvery)
					synctest.Wait()
					if err := stayFailed(l); err != nil {
						t.Fatal(err)
					}
				})
			})
		})
	}
}

func TestRecoverTellsOfLostEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, dir := openFaulty(t)
		mustAppend(t, l, 5)
		time.Sleep(time.Second)
		lines := splitLines(contents(t, dir))
		if err := os.Truncate(filepath.Join(dir, fileName), int64(len(lines[0])+len(lines[1]))); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(use(5)); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("got %v, want ErrUnavailable", err)
		}
		if err := l.Recover(); err != nil {
			t.Fatal(err)
		}
		e := wantGood(t, dir, 3)[2]
		if !strings.Contains(e.Detail, " expected=5:") || !strings.HasSuffix(e.Detail, " found=2") {
			t.Errorf("detail: got %q, want it to tell the head that was expected", e.Detail)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Lines chained to entries that somebody cut out of the file are no trace of a crash:
// the log stays unavailable until a person has looked at it.
func TestRecoverRefusesABrokenLog(t *testing.T) {
	l, _, dir := openFaulty(t)
	mustAppend(t, l, 5)
	if err := os.Truncate(filepath.Join(dir, fileName), int64(len(splitLines(contents(t, dir))[0]))); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AppendSync(use(5)); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	for range 2 {
		if err := l.Recover(); !errors.Is(err, ErrBroken) {
			t.Fatalf("Recover: got %v, want ErrBroken", err)
		}
		if err := stayFailed(l); err != nil {
			t.Fatal(err)
		}
	}
}
