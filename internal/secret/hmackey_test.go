package secret

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// reference is HMAC-SHA256 by the standard library.
func reference(key, msg []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(msg)
	return h.Sum(nil)
}

func newKey(t testing.TB, a *Arena, key []byte) *HMACKey {
	t.Helper()
	b, err := a.Take(bytes.Clone(key))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Destroy()
	k, err := a.NewHMACKey(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Destroy)
	return k
}

// Every key length from 0 to 198 and every message length from 0 to 699 agrees
// with crypto/hmac: all of both in the long form, else a grid that covers each
// length and both sides of each block boundary.
func TestHMACAgreesWithStdlib(t *testing.T) {
	for _, inPlace := range []bool{true, false} {
		a := newArena(t, ArenaConfig{})
		if !inPlace {
			useHeapDigests(t, a)
		}
		if a.inPlace != inPlace {
			t.Fatalf("digest in arena: %v, want %v", a.inPlace, inPlace)
		}
		text := make([]byte, 199+700)
		_, _ = rand.Read(text)
		for kl := range 199 {
			key := text[:kl]
			k := newKey(t, a, key)
			for ml := range 700 {
				if !needs.Long() && (kl+ml)%23 != 0 && !(kl%64 < 2 && ml%64 > 53) {
					continue
				}
				msg := text[199 : 199+ml]
				var mac [32]byte
				if err := k.HMACSHA256(&mac, msg); err != nil {
					t.Fatal(err)
				}
				if want := reference(key, msg); !bytes.Equal(mac[:], want) {
					t.Fatalf("key of %d, message of %d bytes: got %x, want %x", kl, ml, mac, want)
				}
			}
			k.Destroy()
		}
	}
}

func TestHMACLongMessage(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	key, msg := []byte("a key"), bytes.Repeat([]byte("0123456789"), 50_001)
	var mac [32]byte
	if err := newKey(t, a, key).HMACSHA256(&mac, msg); err != nil {
		t.Fatal(err)
	}
	if want := reference(key, msg); !bytes.Equal(mac[:], want) {
		t.Errorf("got %x, want %x", mac, want)
	}
}

// More goroutines than workers, several keys, and keys that are destroyed under
// way: each MAC is right or refused.
func TestHMACConcurrent(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	keys := make([]*HMACKey, 5)
	raw := make([][]byte, len(keys))
	for i := range keys {
		raw[i] = bytes.Repeat([]byte{byte(i + 1)}, 40*i)
		keys[i] = newKey(t, a, raw[i])
	}
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			msg := bytes.Repeat([]byte{byte(g)}, 10*g)
			for n := range 50 {
				i := (g + n) % len(keys)
				var mac [32]byte
				err := keys[i].HMACSHA256(&mac, msg)
				if i == 0 && errors.Is(err, ErrDestroyed) {
					continue
				}
				if err != nil || !bytes.Equal(mac[:], reference(raw[i], msg)) {
					t.Errorf("goroutine %d: wrong MAC, err %v", g, err)
					return
				}
				if g == 63 && n == 25 {
					keys[0].Destroy()
				}
			}
		})
	}
	wg.Wait()
	var mac [32]byte
	if err := keys[0].HMACSHA256(&mac, nil); !errors.Is(err, ErrDestroyed) {
		t.Errorf("MAC with a destroyed key: got %v, want ErrDestroyed", err)
	}
}

func TestHMACResume(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	key, msg := bytes.Repeat([]byte{7}, 129), []byte("message")
	var mid []byte // of a test key
	k := newKey(t, a, key)
	if err := k.UseMidstates(func(p []byte) error { mid = bytes.Clone(p); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(mid) != MidstatesSize {
		t.Fatalf("midstates of %d bytes, want %d", len(mid), MidstatesSize)
	}
	b, err := a.Take(mid)
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.ResumeHMACKey(b)
	if err != nil {
		t.Fatal(err)
	}
	var mac [32]byte
	if err := again.HMACSHA256(&mac, msg); err != nil || !bytes.Equal(mac[:], reference(key, msg)) {
		t.Errorf("resumed key: wrong MAC, err %v", err)
	}
	short, _ := a.Alloc(63)
	if _, err := a.ResumeHMACKey(short); !errors.Is(err, ErrLength) {
		t.Errorf("63 bytes: got %v, want ErrLength", err)
	}
	if err := short.Use(func([]byte) error { return nil }); !errors.Is(err, ErrDestroyed) {
		t.Errorf("refused midstates live on: %v", err)
	}
}

// After a MAC the worker's memory holds nothing of the key or the result.
func TestHMACWorkerIsWiped(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	var mac [32]byte
	if err := newKey(t, a, []byte("key")).HMACSHA256(&mac, []byte("message")); err != nil {
		t.Fatal(err)
	}
	for range cap(a.workers) {
		w := <-a.workers
		p, _ := w.mem.acquire()
		if !allZero(p[stateAt:]) || !allZero(p[digestAt+stateSize:digestAt+stateSize+block]) {
			t.Errorf("worker memory is not zero: % x", p)
		}
		w.mem.release()
	}
}

func TestHMACAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector adds allocations")
	}
	a := newArena(t, ArenaConfig{})
	k, msg := newKey(t, a, []byte("key")), make([]byte, 600)
	var mac [32]byte
	if n := testing.AllocsPerRun(1000, func() {
		if err := k.HMACSHA256(&mac, msg); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a MAC, want 0", n)
	}
}

func BenchmarkHMAC(b *testing.B) {
	for _, mode := range []Mode{ModeMemfdSecret, ModeMlock} {
		a, err := NewArena(ArenaConfig{Mode: mode})
		if errors.Is(err, ErrMode) {
			continue
		}
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = a.Close() }()
		k, msg := newKey(b, a, make([]byte, 129)), make([]byte, 600)
		b.Run(string(mode), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var mac [32]byte
				_ = k.HMACSHA256(&mac, msg)
			}
		})
		b.Run(string(mode)+"/parallel", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					var mac [32]byte
					_ = k.HMACSHA256(&mac, msg)
				}
			})
		})
	}
	b.Run("stdlib", func(b *testing.B) {
		key, msg := make([]byte, 129), make([]byte, 600)
		b.ReportAllocs()
		for b.Loop() {
			_ = reference(key, msg)
		}
	})
}
