//go:build !race

// What is looked at is memory as it is without the race detector.

package secret

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
)

// snapshots is how often a child under load is stopped and looked at.
func snapshots() int {
	switch {
	case raceEnabled:
		return 3
	case needs.Long():
		return 300
	default:
		return 20
	}
}

// scans is why these tests need root.
const scans = "scans the memory of another process"

// scan looks for needles in the child, which must be there.
func (p *process) scan(needles []memscan.Needle) memscan.Report {
	p.t.Helper()
	rep, err := memscan.Scan(p.cmd.Process.Pid, needles)
	if err != nil {
		p.t.Fatal(err)
	}
	return rep
}

// stops stops the child at random moments and returns how many of the stops
// showed unlocked hits, and the report of the worst.
func (p *process) stops(needles []memscan.Needle) (withHits int, worst memscan.Report) {
	p.t.Helper()
	for range snapshots() {
		time.Sleep(time.Duration(1+mrand.IntN(20)) * time.Millisecond)
		err := memscan.Stopped(p.cmd.Process.Pid, func() error {
			rep, err := memscan.Scan(p.cmd.Process.Pid, needles)
			if rep.Total.Unlocked > 0 {
				withHits++
			}
			if rep.Total.Unlocked > worst.Total.Unlocked {
				worst = rep
			}
			return err
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return withHits, worst
}

// sendKeys gives the child random keys and returns their needles.
func (p *process) sendKeys() (needles []memscan.Needle) {
	p.t.Helper()
	for i, n := range keyLengths() {
		key := randomText(n)
		needles = append(needles, memscan.Needles(fmt.Sprintf("key %d", i), key)...)
		p.send(key)
	}
	return needles
}

// 20,000 MACs leave no copy of a key, of a value derived from it or of a
// midstate outside locked memory, neither afterwards nor at 20 moments under
// load. The same scan of a process that signs with crypto/hmac finds thousands.
func TestScanMAC(t *testing.T) {
	needs.Root(t, scans)
	t.Run("control", func(t *testing.T) {
		p := start(t, "naive", false)
		needles := p.sendKeys()
		p.expect("rest")
		rep := p.scan(needles)
		p.send(nil)
		p.expect("load")
		n, worst := p.stops(needles)
		t.Logf("at rest: %v", rep)
		t.Logf("under load: %d of %d stops with hits, the worst: %v", n, snapshots(), worst)
		if rep.Total.Unlocked < 1000 || n != snapshots() || worst.Total.Unlocked < 1000 {
			t.Error("the scanner does not see what a naive process leaves")
		}
		for _, form := range []string{"raw", "sha256", "ipad", "opad", "midstate"} {
			if rep.Forms[form].Unlocked == 0 {
				t.Errorf("no hit of form %s", form)
			}
		}
	})
	for _, mode := range modes(t) {
		t.Run(string(mode), func(t *testing.T) {
			p := start(t, "mac", false, "MODE="+string(mode))
			needles := p.sendKeys()
			p.expect("rest")
			rep := p.scan(needles)
			if rep.Total.Unlocked != 0 {
				t.Errorf("at rest: %v", rep)
			}
			checkLocked(t, mode, rep, "midstate")
			p.send(nil)
			p.expect("load")
			n, worst := p.stops(needles)
			t.Logf("at rest: %v; under load: %d of %d stops with hits", rep, n, snapshots())
			if n > 0 && !raceEnabled { // whose calls make the compiler spill words of a hash
				t.Errorf("hits under load, the worst: %v", worst)
			}
		})
	}
}

// checkLocked checks that the scan saw the arena for what it is: midstates in
// locked pages, or locked pages that cannot be read.
func checkLocked(t *testing.T, mode Mode, rep memscan.Report, form string) {
	t.Helper()
	if mode == ModeMemfdSecret {
		if rep.SkippedLocked() < minSize || rep.Total.Locked != 0 {
			t.Errorf("memfd_secret memory can be read: %v", rep)
		}
		return
	}
	if rep.Forms[form].Locked == 0 {
		t.Errorf("no hit of form %s in the arena: %v", form, rep)
	}
}

// 20 secrets that came sealed are nowhere but in the arena. Without
// runtime/secret the last few may have left a piece on a stack.
func TestScanHPKE(t *testing.T) {
	needs.Root(t, scans)
	a := newArena(t, ArenaConfig{})
	for _, mode := range modes(t) {
		t.Run(string(mode), func(t *testing.T) {
			p := start(t, "hpke", false, "MODE="+string(mode))
			var needles []memscan.Needle
			for i := range deliveries {
				pub, err := hex.DecodeString(p.line())
				if err != nil {
					t.Fatal(err)
				}
				plain := randomText(128)
				needles = append(needles, memscan.Needles(fmt.Sprintf("secret %d", i), plain)...)
				b, err := a.Take(plain)
				if err != nil {
					t.Fatal(err)
				}
				sealed, err := SealTo(pub, testContext(), b)
				if err != nil {
					t.Fatal(err)
				}
				b.Destroy()
				p.send(sealed)
			}
			p.expect("now")
			now := p.scan(needles)
			p.send(nil)
			p.expect(fmt.Sprint("released ", deliveries))
			rep := p.scan(needles)
			t.Logf("%d hits now; released: %v", now.Total.Unlocked, rep)
			if runtimeSecret && (now.Total.Unlocked != 0 || rep.Total.Unlocked != 0) {
				t.Errorf("now: %v\nreleased: %v", now, rep)
			}
			if limit := 2 * 128; rep.Total.Unlocked > limit {
				t.Errorf("more than %d hits: %v", limit, rep)
			}
			checkLocked(t, mode, rep, "raw")
		})
	}
}

// 50 signatures leave no private number outside the arena once memory was
// released, nor does making the key. The same scan of a process that keeps its
// key parsed finds the numbers.
func TestScanPrivateKey(t *testing.T) {
	needs.Root(t, scans)
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key := newECDSA(t, curve)
		t.Run(curve.Params().Name, func(t *testing.T) { scanKey(t, pkcs8(t, key), keyNeedles(t, key)) })
	}
	key := newRSA(t, 2048)
	t.Run("RSA", func(t *testing.T) { scanKey(t, pkcs8(t, key), keyNeedles(t, key)) })
}

// A key that was made here was never anywhere but in the arena, once memory was released.
// The control of TestScanPrivateKey shows that the scanner sees such keys.
func TestScanGeneratedKey(t *testing.T) {
	needs.Root(t, scans)
	if !runtimeSecret {
		needs.Missing(t, "runtimesecret", "GOEXPERIMENT=runtimesecret: without it what made the key stays on the heap")
	}
	for _, kind := range []KeyKind{KeyEC256, KeyEC384, KeyEC521, KeyRSA3072} {
		for _, mode := range modes(t) {
			if kind == KeyRSA3072 && mode != ModeMlock && !needs.Long() {
				continue // takes seconds
			}
			t.Run(string(kind)+" "+string(mode), func(t *testing.T) {
				p := start(t, "generate", false, "MODE="+string(mode), "KIND="+string(kind))
				n, err := strconv.Atoi(p.line())
				if err != nil {
					t.Fatal(err)
				}
				der := make([]byte, n)
				if _, err := io.ReadFull(p.out, der); err != nil {
					t.Fatal(err)
				}
				key, err := x509.ParsePKCS8PrivateKey(der)
				if err != nil {
					t.Fatal(err)
				}
				rep := p.scan(keyNeedles(t, key))
				t.Logf("%v", rep)
				if rep.Total.Unlocked != 0 {
					t.Errorf("outside of the arena: %v", rep)
				}
				checkLocked(t, mode, rep, "raw")
			})
		}
	}
}

// keyNeedles returns what betrays a private key.
func keyNeedles(t *testing.T, key any) []memscan.Needle {
	t.Helper()
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return memscan.NumberNeedles("scalar", scalar(t, key), key.Curve.Params().N, (key.Curve.Params().BitSize+7)/8)
	case *rsa.PrivateKey:
		var needles []memscan.Needle
		for name, n := range map[string]*big.Int{"d": key.D, "p": key.Primes[0], "q": key.Primes[1], "dp": key.Precomputed.Dp, "dq": key.Precomputed.Dq, "qinv": key.Precomputed.Qinv} {
			needles = append(needles, memscan.NumberNeedles(name, n, nil, (n.BitLen()+7)/8)...)
		}
		return needles
	default:
		t.Fatalf("a key of type %T", key)
		return nil
	}
}

func scanKey(t *testing.T, der []byte, needles []memscan.Needle) {
	control := start(t, "naivesign", false)
	control.send(der)
	control.expect("parsed")
	if rep := control.scan(needles); rep.Total.Unlocked == 0 {
		t.Errorf("the scanner does not see a key that is kept: %v", rep)
	}
	if !runtimeSecret {
		needs.Missing(t, "runtimesecret", "GOEXPERIMENT=runtimesecret: without it parsed keys stay on the heap")
	}
	for _, mode := range modes(t) {
		p := start(t, "sign", false, "MODE="+string(mode))
		p.send(der)
		p.expect("now")
		now := p.scan(needles)
		p.send(nil)
		p.expect("released")
		rep := p.scan(needles)
		t.Logf("%s: %d hits now; released: %v", mode, now.Total.Unlocked, rep)
		if rep.Total.Unlocked != 0 {
			t.Errorf("%s, released: %v", mode, rep)
		}
		checkLocked(t, mode, rep, "raw")
	}
}

func scalar(t *testing.T, key *ecdsa.PrivateKey) *big.Int {
	t.Helper()
	p, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(p)
}

// randomText returns n characters as NetSuite's secrets have them.
func randomText(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.Read(p)
	return []byte(hex.EncodeToString(p))[:n:n]
}
