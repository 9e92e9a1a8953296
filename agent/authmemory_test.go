//go:build !race

package agent

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/memscan"
)

// TestMemoryOfAuthenticators guards M-12 and G-10 for authenticator apps with the product:
// 20 of them are set up, well or badly, and removed by a code. No copy of a secret, nor of
// what HMAC makes of it, stays outside locked memory, and none anywhere after a lock.
func TestMemoryOfAuthenticators(t *testing.T) {
	d, admin := scannedDaemon(t)
	ctx := t.Context()
	var needles []memscan.Needle
	enrol := func(name string, p *phone, code string) error {
		p.now.Store(time.Now().Unix())
		if code == "" {
			code = p.code(0)
		}
		needles = append(needles, memscan.Needles(name, []byte(p.key))...)
		_, err := admin.AddTOTP(ctx, client.Proof{Passphrase: sealWith(d.arena, testPassphrase)}, sealWith(d.arena, p.key), sealWith(d.arena, code))
		return err
	}
	draw := func() *phone {
		b := make([]byte, 20)
		_, _ = rand.Read(b)
		return &phone{key: string(b)}
	}
	for i := range 20 {
		if err := enrol(fmt.Sprintf("refused secret %d", i), draw(), "none"); err == nil {
			t.Fatal("a code that is none was taken")
		}
		p := draw()
		if err := enrol(fmt.Sprintf("secret %d", i), p, ""); err != nil {
			t.Fatal(err)
		}
		if i == 19 {
			break // the last one stays
		}
		r, err := admin.KeySlots(ctx)
		if err != nil {
			t.Fatal(err)
		}
		p.now.Store(time.Now().Unix())
		proof := client.Proof{Passphrase: sealWith(d.arena, testPassphrase), TOTP: sealWith(d.arena, p.code(1))}
		if _, err := admin.RemoveKeySlot(ctx, proof, r.GetTotp().GetId()); err != nil {
			t.Fatal(err)
		}
	}
	if r := d.atRest("after 20 apps", needles, noneUnlocked); r.Total.Locked == 0 {
		t.Errorf("control: locked memory holds nothing either:\n%s", r)
	}
	if err := admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	d.atRest("after lock", needles, none)
}
