package agent

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// edit edits a profile and must succeed.
func (f *fixture) edit(name string, e client.ProfileEdit) *pb.Profile {
	f.t.Helper()
	p, err := f.admin.EditProfile(f.t.Context(), name, e)
	if err != nil {
		f.t.Fatalf("EditProfile(%s): %v", name, err)
	}
	return p
}

// signsLike reports whether a profile makes the same Connect signature as another
// one at some moment: with all public parts the same, the keys are too.
func (f *fixture) signsLike(name, other string) bool {
	f.t.Helper()
	var a, b [32]byte
	f.agent.mu.RLock()
	defer f.agent.mu.RUnlock()
	s := f.agent.session
	if err := errors.Join(s.profiles[name].mac.HMACSHA256(&a, []byte("x")), s.profiles[other].mac.HMACSHA256(&b, []byte("x"))); err != nil {
		f.t.Fatal(err)
	}
	return a == b
}

// tbaWith stores a profile with other secrets than addTBA, to compare with.
func (f *fixture) tbaWith(name string, cs, ts byte) {
	f.t.Helper()
	if _, err := f.admin.AddProfile(f.t.Context(), tba(name), map[string]client.Sealer{"consumer_secret": f.sealer(sample(cs)), "token_secret": f.sealer(sample(ts))}); err != nil {
		f.t.Fatal(err)
	}
}

func states(p *pb.Profile) string {
	var all []string
	for _, v := range p.GetVersions() {
		all = append(all, v.GetState())
	}
	return strings.Join(all, " ")
}

// overlaps reports whether the previous version goes so long after the current one began:
// the change takes a moment from the one time to the other.
func overlaps(v []*pb.SecretVersion, want time.Duration) bool {
	got := time.Duration(v[1].GetUntil()-v[0].GetSince()) * time.Second
	return got <= want && got > want-time.Minute
}

// TestEditSecret shows the life of a secret in an agent: the new one signs at once,
// the one before is kept for an hour, can be gone back to, and is erased.
func TestEditSecret(t *testing.T) {
	f := start(t, func(c *Config) { c.IdleLock, c.HardLock = 100*time.Hour, 100*time.Hour })
	f.unlock()
	f.addTBA("acme")
	f.tbaWith("old", 2, 4)
	f.tbaWith("new", 2, 9)
	used := f.agent.arena.Info().Used
	defer func() {
		if got := f.agent.arena.Info().Used; got > used {
			t.Errorf("edits left %d bytes of locked memory taken", got-used)
		}
	}()
	p := f.edit("acme", client.ProfileEdit{
		Fields: []string{"token_id"}, Profile: &pb.Profile{TokenId: sample(8)},
		Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(9))},
	})
	if v := p.GetVersions(); states(p) != "current previous" || v[0].GetNumber() != 2 || !overlaps(v, time.Hour) {
		t.Errorf("versions: %v", p.GetVersions())
	}
	if p.GetTokenId() != sample(8) || p.GetConsumerKey() != sample(1) || !f.signsLike("acme", "new") {
		t.Error("the agent does not sign with the new token")
	}
	if !strings.Contains(f.sign("acme").GetAuthorization(), sample(8)) {
		t.Error("the header does not name the new token ID")
	}

	p = f.edit("acme", client.ProfileEdit{UsePrevious: true, Overlap: 2 * time.Hour})
	if v := p.GetVersions(); p.GetTokenId() != sample(3) || !f.signsLike("acme", "old") || !overlaps(v, 2*time.Hour) {
		t.Errorf("going back: token ID %s, versions %v", p.GetTokenId(), v)
	}

	// Locking and unlocking changes nothing of it.
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.unlock()
	if got, err := f.admin.ShowProfile(t.Context(), "acme"); err != nil || states(got) != "current previous" || !f.signsLike("acme", "old") {
		t.Errorf("after unlocking: %v, %v", got.GetVersions(), err)
	}

	// Two hours, of which the machine slept one, are over.
	f.clock.Add(int64(2*time.Hour - time.Minute))
	if err := f.agent.eraseDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := f.admin.ShowProfile(t.Context(), "acme"); err != nil || states(got) != "current previous" {
		t.Errorf("a minute before the end: %v, %v", got.GetVersions(), err)
	}
	before := len(f.entries())
	f.clock.Add(int64(time.Minute + time.Second))
	if err := f.agent.eraseDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := f.admin.ShowProfile(t.Context(), "acme")
	if err != nil || states(got) != "current" || !f.signsLike("acme", "old") {
		t.Errorf("after the end: %v, %v", got.GetVersions(), err)
	}
	if e := f.entries()[before]; e.Event != audit.EventSecretErase || e.Profile != "acme" {
		t.Errorf("the log says %+v", e)
	}
	if _, err := f.admin.EditProfile(t.Context(), "acme", client.ProfileEdit{UsePrevious: true}); errorCode(err) != string(pb.CodeNotFound) {
		t.Errorf("going back to what is gone: %v", err)
	}
	f.sign("acme")
}

// TestEraseAtUnlock shows that an agent that was away erases what became due
// meanwhile as soon as it is unlocked.
func TestEraseAtUnlock(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.edit("acme", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(9))}})
	if err := f.admin.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.waitEnd()
	v, err := vault.Open(t.Context(), vault.Config{Store: store.NewFile(f.paths.Vault), Arena: f.arena})
	if err == nil {
		err = v.Unlock(t.Context(), f.secret(testPassphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Edit(t.Context(), "acme", func(r vault.Record) (vault.Edit, error) {
		p, err := f.agent.codec.decode(r.Meta)
		if err != nil {
			return vault.Edit{}, err
		}
		p.Previous.Until = time.Now().Unix() - 1
		meta, err := f.agent.codec.encode(p)
		return vault.Edit{Meta: meta}, err
	}); err != nil {
		t.Fatal(err)
	}
	v.Lock()
	f.run()
	f.unlock()
	deadline := time.Now().Add(30 * time.Second)
	for {
		p, err := f.admin.ShowProfile(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if states(p) == "current" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the previous version is still there: %v", p.GetVersions())
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.sign("acme")
}

// TestRename shows that a profile goes on under another name, with its last use and
// its previous version.
func TestRename(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	f.edit("acme", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(9))}})
	f.sign("acme")
	for to, want := range map[string]pb.Code{"other": pb.CodeExists, "acme": pb.CodeExists, "A": pb.CodeRequest, "../x": pb.CodeRequest, "": pb.CodeRequest} {
		if _, err := f.admin.RenameProfile(t.Context(), client.Proof{}, "acme", to); errorCode(err) != string(want) {
			t.Errorf("to %q: got %v, want %s", to, err, want)
		}
	}
	if p, err := f.admin.RenameProfile(t.Context(), client.Proof{}, "acme", "new"); err != nil || p.GetName() != "new" {
		t.Fatal(p, err)
	}
	if _, err := f.signer.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); !errors.Is(err, client.ErrNoProfile) {
		t.Errorf("the old name: %v", err)
	}
	check := func() {
		t.Helper()
		p, err := f.admin.ShowProfile(t.Context(), "new")
		if err != nil || p.GetLastUsed() == 0 || states(p) != "current previous" {
			t.Errorf("got %v, %v", p, err)
		}
	}
	check()
	f.restart()
	f.unlock()
	deadline := time.Now().Add(30 * time.Second)
	for p, _ := f.admin.ShowProfile(t.Context(), "new"); p.GetLastUsed() == 0 && time.Now().Before(deadline); p, _ = f.admin.ShowProfile(t.Context(), "new") {
		time.Sleep(10 * time.Millisecond) // the log is read in the background
	}
	check()
	f.sign("new")
}

// TestEditWhileSigning guards that nobody who signs notices an edit: each signature
// is made with the old or the new secret, and none fails.
func TestEditWhileSigning(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	done := make(chan struct{})
	var wg sync.WaitGroup
	signed := make([]int, 4)
	for i := range signed {
		wg.Go(func() {
			c := f.dial()
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := c.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); err != nil {
					t.Error(err)
					return
				}
				signed[i]++
			}
		})
	}
	for n := byte(10); n < 30; n++ {
		f.edit("acme", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": f.sealer(sample(n))}, Profile: &pb.Profile{TokenId: sample(n + 100)}, Fields: []string{"token_id"}})
		f.edit("acme", client.ProfileEdit{UsePrevious: true})
	}
	close(done)
	wg.Wait()
	if slices.Contains(signed, 0) {
		t.Errorf("signed %v times meanwhile", signed)
	}
}
