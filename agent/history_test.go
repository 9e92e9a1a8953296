package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// history is a daemon to which faults happen, and what it has acknowledged.
type history struct {
	d     *daemon
	arena *secret.Arena // for the long secret
	base  string        // a copy of the home; see rewind
	first promised      // of that copy

	mu  sync.Mutex // guards now
	now promised
}

// promised is what clients were told, and what may be true besides: a call that was
// sent and not answered has been carried out or not.
type promised struct {
	signed      int
	stored      map[string]bool
	value, sent int  // number of the long secret: acknowledged, sent
	wrong, last int  // tries at a passphrase in a row: known to be wrong, sent
	opening     bool // an unlock was sent, which sets them to 0
}

func (p promised) clone() promised {
	p.stored = maps.Clone(p.stored)
	return p
}

// promises returns what holds at this moment.
func (h *history) promises() promised {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now.clone()
}

func (h *history) note(change func(*promised)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.now)
}

// newHistory is an unlocked daemon with one profile and one long secret, and a copy of
// its home.
func newHistory(t *testing.T) *history {
	t.Helper()
	needs.Root(t, "traces, or mounts for, a process that is not dumpable")
	return &history{d: newDaemon(t, os.Geteuid(), ""), arena: longArena(t), now: promised{stored: map[string]bool{"acme": true}}}
}

func (h *history) begin() {
	t := h.d.t
	t.Helper()
	h.d.start()
	h.d.unlock()
	h.d.addByFile("acme", sample(2), sample(4))
	admin := h.d.dialAdmin()
	defer func() { _ = admin.Close() }()
	if _, err := admin.AddSecret(t.Context(), apiSecret("api"), longSecret(h.arena, h.text(0))); err != nil {
		t.Fatal(err)
	}
	h.now.stored["api"] = true
}

// text returns the long secret of that number: long enough for a blob.
func (h *history) text(n int) string { return fmt.Sprintf("%06d", n) + strings.Repeat("x", 80_000) }

// keep stops the daemon, has prepare do what else is to be there, and copies its home,
// to go back to.
func (h *history) keep(prepare func(*daemon)) {
	h.d.t.Helper()
	h.d.stop()
	prepare(h.d)
	h.base, h.first = h.d.t.TempDir(), h.promises()
	copyTree(h.d.t, h.d.home, h.base)
}

// rewind ends the daemon, puts the home back as keep found it and starts anew.
func (h *history) rewind() {
	t := h.d.t
	t.Helper()
	if h.d.running() {
		h.d.stop()
	}
	copyTree(t, h.base, h.d.home)
	h.note(func(p *promised) { *p = h.first.clone() })
	h.d.start()
	h.d.unlock()
}

// copyTree makes the directory to a copy of from.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(to + "/" + e.Name()); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil { // #nosec G204 -- of the test
		t.Fatalf("%v: %s", err, out)
	}
}

// clear fails unless err is nil or an error that somebody can act on.
func (h *history) clear(what string, err error) bool {
	h.d.t.Helper()
	e := (*client.Error)(nil)
	switch {
	case err == nil:
		return true
	case !errors.As(err, &e) || e.Message == "":
		h.d.t.Errorf("%s: got %v, want a code and words", what, err)
	case errors.Is(err, context.DeadlineExceeded):
		h.d.t.Errorf("%s: it hangs: %v", what, err)
	}
	return false
}

// round adds a profile, changes the long secret, signs, locks, tries a wrong passphrase
// and unlocks, whatever fails. Locking has to work. Where the agent is killed meanwhile,
// killed is set.
func (h *history) round(name string, killed bool) {
	t := h.d.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	signer, err := client.Dial(ctx, client.WithSocket(h.d.paths.Agent))
	if killed && errors.Is(err, client.ErrAgent) {
		return // what the agent does by itself led there already
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer func() { _ = signer.Close() }()
	admin, err := client.DialAdmin(ctx, client.WithSocket(h.d.paths.Admin))
	if killed && errors.Is(err, client.ErrAgent) {
		return
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer func() { _ = admin.Close() }()

	_, err = admin.AddProfile(ctx, tba(name), map[string]client.Sealer{"consumer_secret": sealWith(h.d.arena, sample(2)), "token_secret": sealWith(h.d.arena, sample(4))})
	if h.clear("adding", err) {
		h.note(func(p *promised) { p.stored[name] = true })
	}
	h.edit(ctx, admin)
	for range 3 {
		if _, err := signer.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL}); h.clear("signing", err) {
			h.note(func(p *promised) { p.signed++ })
		}
	}
	h.clear("locking", admin.Lock(ctx))
	_, err = signer.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL})
	if code := errorCode(err); !killed && code != string(pb.CodeLocked) && code != string(pb.CodeAudit) {
		t.Errorf("signing after lock: got %v, want it locked", err)
	}
	h.note(func(p *promised) { p.last = p.wrong + 1 })
	_, err = admin.Unlock(ctx, sealWith(h.d.arena, "wrong horse"), 0)
	if h.clear("unlocking with a wrong passphrase", err) {
		t.Error("a wrong passphrase unlocks")
	}
	if errorCode(err) == string(pb.CodePassphrase) {
		h.note(func(p *promised) { p.wrong = p.last })
	}
	h.note(func(p *promised) { p.last, p.opening = p.wrong+1, true })
	_, err = admin.Unlock(ctx, sealWith(h.d.arena, testPassphrase), 0)
	if h.clear("unlocking", err) {
		h.note(func(p *promised) { p.wrong, p.last, p.opening = 0, 0, false })
	}
}

// edit gives the long secret its next value.
func (h *history) edit(ctx context.Context, admin *client.Admin) {
	n := 0
	h.note(func(p *promised) { p.sent++; n = p.sent })
	value := longSecret(h.arena, h.text(n))
	if _, err := admin.EditProfile(ctx, "api", client.ProfileEdit{Value: &value}); h.clear("editing", err) {
		h.note(func(p *promised) { p.value = n })
	}
}

// recovered waits until the agent, whose faults are over, does everything again, and
// checks that what it acknowledged is there.
func (h *history) recovered(after string) {
	t := h.d.t
	t.Helper()
	eventually(t, 60*time.Second, func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		admin, err := client.DialAdmin(ctx, client.WithSocket(h.d.paths.Admin))
		if err != nil {
			return err.Error()
		}
		defer func() { _ = admin.Close() }()
		if _, err := admin.Unlock(ctx, sealWith(h.d.arena, testPassphrase), 0); err != nil {
			return err.Error()
		}
		h.note(func(p *promised) { p.wrong, p.last, p.opening = 0, 0, false })
		signer, err := client.Dial(ctx, client.WithSocket(h.d.paths.Agent))
		if err != nil {
			return err.Error()
		}
		defer func() { _ = signer.Close() }()
		if _, err := signer.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL}); err != nil {
			return err.Error()
		}
		h.note(func(p *promised) { p.signed++ })
		list, err := signer.Profiles(ctx)
		if err != nil {
			return err.Error()
		}
		there := make(map[string]bool)
		for _, p := range list.GetProfiles() {
			there[p.GetName()] = true
		}
		for name := range h.promises().stored {
			if !there[name] {
				t.Fatalf("after %s: profile %s was acknowledged and is gone", after, name)
			}
		}
		return ""
	})
	h.whole(after)
}

// whole checks the vault file with all its blobs, and that the long secret has the value
// that was acknowledged, or one that was sent later.
func (h *history) whole(after string) {
	h.d.t.Helper()
	p := h.promises()
	n := storedNumber(h.d.t, h.d, h.arena)
	if n < p.value || n > p.sent {
		h.d.t.Errorf("after %s: value %d of the long secret is there; %d was acknowledged, %d sent", after, n, p.value, p.sent)
	}
	h.note(func(p *promised) { p.value, p.sent = n, n })
}

// check stops the agent and holds the log against what clients have.
func (h *history) check() {
	t := h.d.t
	t.Helper()
	h.d.stop()
	if r, err := audit.CheckDir(h.d.paths.AuditDir, audit.Trust{}); err != nil || !r.OK {
		t.Errorf("CheckDir: got %+v, %v", r, err)
	}
	p := h.promises()
	if signed, stored := recordedBy(t, h.d); signed < p.signed || stored < len(p.stored) {
		t.Errorf("clients hold %d signatures and %d profiles, the log has %d and %d", p.signed, len(p.stored), signed, stored)
	}
	h.d.start() // from the files alone
	h.recovered("a restart")
}

// recordedBy returns how many signatures and new profiles the log has.
func recordedBy(t *testing.T, d *daemon) (signed, stored int) {
	t.Helper()
	for _, e := range readLog(t, d.paths.AuditDir) {
		switch {
		case e.Outcome != audit.OutcomeOK:
		case e.Event == audit.EventSign:
			signed++
		case e.Event == audit.EventProfileAdd:
			stored++
		}
	}
	return signed, stored
}

// storedNumber checks the vault of a daemon that is not running, and returns the number
// that its long secret begins with.
func storedNumber(t *testing.T, d *daemon, a *secret.Arena) int {
	t.Helper()
	passphrase, err := a.Take([]byte(testPassphrase))
	if err != nil {
		t.Fatal(err)
	}
	defer passphrase.Destroy()
	v, err := vault.Open(t.Context(), vault.Config{Store: store.NewFile(d.paths.Vault), Arena: a})
	if err == nil {
		err = v.Unlock(t.Context(), passphrase)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer v.Lock()
	if got := found(t, Fsck(t.Context(), FsckConfig{Paths: d.paths, Arena: a, Open: v})); strings.Contains(got, "problem") || !strings.HasSuffix(got, "contents=ok") {
		t.Errorf("after a kill: %s", got)
	}
	b, err := v.OpenRaw("api")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Destroy()
	n := -1
	if err := b.Use(func(p []byte) error { _, err := fmt.Sscanf(string(p[:6]), "%d", &n); return err }); err != nil {
		t.Error(err)
	}
	return n
}
