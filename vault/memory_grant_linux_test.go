package vault

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/store"
)

// TestGrantMemory is TestMemory for a process that opens a grant, and the policy by the
// machine key, while the vault is locked: wrap keys, CKs, DEKs, what they open and the
// keys of the policy are nowhere outside locked memory, and nowhere once they are dropped.
func TestGrantMemory(t *testing.T) {
	needs.Root(t, "reads the memory of another process")
	if !newArena(t).Info().RuntimeSecret {
		needs.Missing(t, "runtimesecret", "GOEXPERIMENT=runtimesecret: freed memory is erased by it alone")
	}
	python(t)
	g, vault := readGolden(t, goldenGrants)
	out, err := g.read(t, vault, SlotKeyring, "trace")
	if err != nil {
		t.Fatal(err)
	}
	computed := map[string]string{}
	if err := json.Unmarshal(out, &computed); err != nil {
		t.Fatal(err)
	}
	var needles []memscan.Needle
	for name, value := range computed {
		key, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "CK of sign-only") || strings.Contains(name, "DEK of sign-only") || name == "policy: key" {
			if !strings.Contains(name, "sealed") {
				needles = append(needles, memscan.Needles(name, key)...)
			}
		}
	}
	if len(needles) == 0 {
		t.Fatal("nothing to look for")
	}
	var stdin strings.Builder
	for _, name := range []string{"acme-sb1", "acme-m2m"} {
		needles = append(needles, memscan.Needles("wrap key", goldenBytes(name+" wrap key", 32))...)
		stdin.Write(goldenBytes(name+" wrap key", 32))
	}
	stdin.Write(goldenBytes("machine key", 32))
	needles = append(needles, memscan.Needles("machine key", goldenBytes("machine key", 32))...)
	needles = append(needles, memscan.Needles("midstates", goldenBytes("acme-sb1 midstates 2", 64))...)
	needles = append(needles, memscan.Needles("key", goldenBytes("acme-m2m key", 1217))...)

	opened, dropped := scanSteps(t, opensGrantRole, vault, stdin.String(), needles)
	if opened.Total.Unlocked != 0 {
		t.Errorf("opened: %d hits outside locked memory: %+v", opened.Total.Unlocked, opened.Hits[:min(8, len(opened.Hits))])
	}
	if opened.Total.Locked == 0 && opened.SkippedLocked() == 0 {
		t.Error("opened: nothing in locked memory either: the scan sees nothing")
	}
	if n := dropped.Total.Unlocked + dropped.Total.Locked; n != 0 {
		t.Errorf("dropped: %d hits: %+v", n, dropped.Hits[:min(8, len(dropped.Hits))])
	}
	if control, _ := scanSteps(t, keepsGrantRole, vault, stdin.String(), needles); control.Total.Unlocked == 0 {
		t.Error("control: no hit outside locked memory in a process that keeps a secret there")
	}
}

// openGoldenGrant is the process that is looked at: the wrap keys of the two records and
// the machine key come on standard input.
func openGoldenGrant(file string, keep bool) error {
	ctx := context.Background()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 128 << 10})
	if err != nil {
		return err
	}
	given, err := a.ReadAll(os.Stdin, 96)
	if err != nil {
		return err
	}
	v, err := Open(ctx, Config{Store: store.NewFile(file), Arena: a})
	if err != nil {
		return err
	}
	opened, err := v.OpenGranted(ctx, goldenGrantID, func(record [16]byte) (secret.Bytes, error) {
		for from := 0; from < 64; from += 32 { // whichever of the two it is
			key, err := part(a, given, from)
			if err != nil {
				return key, err
			}
			if opensWrap(v, a, record, key) {
				return key, nil
			}
			key.Destroy()
		}
		return secret.Bytes{}, fmt.Errorf("no wrap key opens record %x", record)
	})
	if err != nil {
		return err
	}
	machine, err := part(a, given, 64)
	if err != nil {
		return err
	}
	key, err := a.NewHMACKey(machine)
	if err != nil {
		return err
	}
	machine.Destroy()
	if _, _, err := v.PolicyBy(ctx, key); err != nil {
		return err
	}
	given.Destroy()
	var kept []byte
	if keep {
		_ = opened[0].SignOnly.Use(func(p []byte) error { kept = append(kept, p...); return nil })
	}
	step := os.NewFile(3, "step")
	for _, now := range []string{"unlocked", "locked"} {
		if now == "locked" {
			for _, o := range opened {
				o.SignOnly.Destroy()
			}
			key.Destroy()
		}
		a.ReleaseMemoryNow()
		fmt.Println(now)
		_, _ = step.Read(make([]byte, 1)) // or its end, when the test is through
	}
	runtime.KeepAlive(kept)
	return nil
}

// part returns 32 bytes of b.
func part(a *secret.Arena, b secret.Bytes, from int) (secret.Bytes, error) {
	key, err := a.Alloc(32)
	if err != nil {
		return key, err
	}
	return key, b.Use(func(p []byte) error {
		return key.Use(func(q []byte) error {
			secret.Copy(q, p[from:from+32])
			return nil
		})
	})
}

// opensWrap reports whether a wrap key is that of a record.
func opensWrap(v *Vault, a *secret.Arena, record [16]byte, key secret.Bytes) bool {
	opened, err := v.OpenGranted(context.Background(), goldenGrantID, func(id [16]byte) (secret.Bytes, error) {
		if id != record {
			return secret.Bytes{}, nil
		}
		return a.Clone(key)
	})
	for _, o := range opened {
		o.SignOnly.Destroy()
	}
	return err == nil
}
