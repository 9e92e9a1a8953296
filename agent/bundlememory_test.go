//go:build !race

package agent

import (
	"crypto/rand"
	"os"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// An agent that serves a bundle holds in locked memory what it signs with, and nowhere
// the token that opened it; after a lock it holds nothing.
func TestMemoryOfABundle(t *testing.T) {
	needs.Root(t, "scans the memory of another process")
	f := start(t)
	f.unlock()
	c := newCanaries(t, rand.Text())
	if _, err := f.admin.AddProfile(t.Context(), tba("acme"), map[string]client.Sealer{"consumer_secret": f.sealer(c.consumerSecret), "token_secret": f.sealer(c.tokenSecret)}); err != nil {
		t.Fatal(err)
	}
	text, token := f.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	needles := append(tbaOnly(c.needles), memscan.Needles("token", token.Text())...)
	needles = append(needles, memscan.Needles("share", token.Shares[0].Key[:])...)

	d := emptyHome(t, os.Geteuid())
	d.write(".config/nsagent/config.toml", "memory = \"mlock\"\n")
	d.write("bundle", string(text))
	d.write("token", string(token.Text()))
	d.env = append(d.env, "NSAGENT_TOKEN_FILE="+d.file("token"))
	d.wrap = []string{"sh", "-c", `exec "$@" --bundle bundle`, "sh"}
	d.start()
	d.needsErasing()
	signer := d.dial()
	for range 200 {
		if _, err := signer.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
			t.Fatal(err)
		}
	}
	if r := d.atRest("after 200 signatures", needles, noneUnlocked); r.Total.Locked == 0 {
		t.Errorf("control: locked memory holds nothing either:\n%s", r)
	}
	d.must("lock")
	d.atRest("after lock", needles, none)
}
