package agent

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// refreshWorld is an agent with two TBA profiles and an M2M one of a sandbox, and one of
// each other account.
func refreshWorld(t *testing.T) *tokenWorld {
	f := start(t)
	f.unlock()
	w := &tokenWorld{fixture: f}
	for name, account := range map[string]string{"a": "1234567_SB1", "b": "1234567_SB1", "other": "1234567_SB2", "prod": "1234567"} {
		f.addTBA(name, func(p *pb.Profile) { p.Account, p.Access = account, "write" })
	}
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(300*day))
	w.addM2M("m2m", key, cert, "", "")
	return w
}

// states returns the profiles in order, each with its state.
func (f *fixture) states() string {
	f.t.Helper()
	r, err := f.signer.Profiles(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	var out []string
	for _, p := range r.GetProfiles() {
		out = append(out, p.GetName()+"="+p.GetState())
	}
	return strings.Join(out, " ")
}

// use makes a signature, or an assertion.
func (f *fixture) use(name string) error {
	_, err := f.signer.Sign(f.t.Context(), client.Request{Profile: name, URL: "https://1234567-sb1.suitetalk.api.netsuite.com/"})
	if name == "m2m" {
		_, err = f.signer.Assertion(f.t.Context(), client.AssertionRequest{Profile: name})
	}
	return err
}

// A refresh takes all credentials of the sandbox out of use, those of no other account,
// for good, and each comes back with what NetSuite has been told anew.
func TestRefreshed(t *testing.T) {
	w := refreshWorld(t)
	ctx := t.Context()
	marked, err := w.admin.MarkRefreshed(ctx, "b", false)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range marked {
		names = append(names, p.GetName())
		if p.GetStaleSince() == 0 {
			t.Errorf("%s is not marked", p.GetName())
		}
	}
	if got := strings.Join(names, " "); got != "a b m2m" {
		t.Errorf("marked %q", got)
	}
	const all = "a=stale b=stale m2m=stale other=ready prod=ready"
	if got := w.states(); got != all {
		t.Errorf("states: %s", got)
	}
	for _, name := range []string{"a", "b", "m2m"} {
		if err := w.use(name); !errors.Is(err, client.ErrStale) || !strings.Contains(err.Error(), "refresh of 1234567_SB1") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := w.signer.Passport(ctx, "a", ""); !errors.Is(err, client.ErrStale) {
		t.Errorf("passport: got %v", err)
	}
	if _, err := w.signer.AccessToken(ctx, client.AccessTokenRequest{Profile: "m2m"}); !errors.Is(err, client.ErrStale) {
		t.Errorf("token: got %v", err)
	}
	before := marked[0].GetStaleSince()
	again, err := w.admin.MarkRefreshed(ctx, "a", false)
	if err != nil || len(again) != 3 || again[0].GetStaleSince() != before {
		t.Errorf("a second time: got %v, %v", again, err)
	}
	w.restart()
	w.unlock()
	if got := w.states(); got != all {
		t.Errorf("after a restart: %s", got)
	}

	// The consumer secret alone, a note and a rename bring no token back.
	w.edit("a", client.ProfileEdit{Secrets: map[string]client.Sealer{"consumer_secret": w.sealer(sample(7))}})
	w.edit("a", client.ProfileEdit{Fields: []string{"note"}, Profile: &pb.Profile{Note: "x"}})
	if _, err := w.admin.RenameProfile(ctx, client.Proof{}, "a", "c"); err != nil {
		t.Fatal(err)
	}
	if got := w.states(); got != "b=stale c=stale m2m=stale other=ready prod=ready" {
		t.Errorf("after other edits: %s", got)
	}
	w.edit("c", client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": w.sealer(sample(8))}})
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(300*day))
	w.edit("m2m", client.ProfileEdit{Fields: []string{"certificate"}, Profile: &pb.Profile{Certificate: cert}, Secrets: map[string]client.Sealer{"private_key": w.sealer(key)}})
	if got := w.states(); got != "b=stale c=ready m2m=ready other=ready prod=ready" {
		t.Errorf("after new secrets: %s", got)
	}
	// The version before is one from before the refresh, whoever goes back to it.
	w.edit("c", client.ProfileEdit{UsePrevious: true})
	if err := w.use("c"); !errors.Is(err, client.ErrStale) {
		t.Errorf("the previous version: got %v", err)
	}
	w.edit("c", client.ProfileEdit{UsePrevious: true})
	if err := w.use("c"); err != nil {
		t.Errorf("and the new one again: %v", err)
	}
	// Undone, it is one profile alone.
	if undone, err := w.admin.MarkRefreshed(ctx, "b", true); err != nil || len(undone) != 1 || undone[0].GetStaleSince() != 0 {
		t.Errorf("undo: got %v, %v", undone, err)
	}
	if got := w.states(); got != "b=ready c=ready m2m=ready other=ready prod=ready" {
		t.Errorf("after undo: %s", got)
	}
}

// What cannot have been refreshed is not marked, and each attempt is on record.
func TestRefreshedIsRefused(t *testing.T) {
	w := refreshWorld(t)
	api := &pb.Profile{Name: "api", Account: "1234567_SB1", Auth: "secret", Hosts: []string{"sftp.example.com"}}
	if _, err := w.admin.AddProfile(t.Context(), api, map[string]client.Sealer{"value": w.sealer("v")}); err != nil {
		t.Fatal(err)
	}
	begin := len(w.entries())
	for name, want := range map[string]error{"prod": client.ErrRequest, "api": client.ErrRequest, "nobody": client.ErrNoProfile} {
		if _, err := w.admin.MarkRefreshed(t.Context(), name, false); !errors.Is(err, want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got := w.states(); strings.Contains(got, "stale") {
		t.Errorf("states: %s", got)
	}
	if _, err := w.admin.MarkRefreshed(t.Context(), "a", false); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range w.entries()[begin:] {
		got = append(got, fmt.Sprintf("%s %s %s%s", e.Event, e.Outcome, e.Profile, e.Reason))
	}
	slices.Sort(got)
	event := audit.EventProfileRefresh
	want := []string{
		event + " denied apiNSA-REQUEST", event + " denied nobodyNSA-NOPROFILE", event + " denied prodNSA-REQUEST",
		event + " ok a", event + " ok b", event + " ok m2m",
	}
	if !slices.Equal(got, want) {
		t.Errorf("entries: got %q, want %q", got, want)
	}
	if got := w.states(); !strings.Contains(got, "api=ready") {
		t.Errorf("the API secret: %s", got)
	}
}

// What is staged for a profile is of the same sandbox: it is marked too, and a new pair of
// its integration record is its own as well.
func TestRefreshedAndRotatedWhileStaged(t *testing.T) {
	w := refreshWorld(t)
	ctx := t.Context()
	s, old, end, err := w.agent.beginChangeOf(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	p := *old.profile
	p.TokenID = sample(30)
	m, err := newTBA(w.agent.arena, w.agentSecret(sample(2)), w.agentSecret(sample(31)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.agent.stage(ctx, s, old, &p, m, "test", audit.EventProfileEdit, ""); err != nil {
		t.Fatal(err)
	}
	m.destroy()
	end()
	marked, err := w.admin.MarkRefreshed(ctx, "b", false)
	if err != nil || len(marked) != 3 {
		t.Errorf("marked %v, %v", marked, err)
	}
	done, err := w.admin.RotateIntegration(ctx, "b", sample(20), w.sealer(sample(21)), 0)
	if err != nil || len(done) != 2 {
		t.Errorf("rotated %v, %v", done, err)
	}
	for _, e := range w.entries() {
		if strings.Contains(e.Profile, "+") {
			t.Errorf("the log names a record: %+v", e)
		}
	}
	w.restart()
	w.unlock()
	st := w.agent.stagedFor(w.agent.session, "a")
	if st == nil || st.Stale == 0 || st.ConsumerKey != sample(20) || st.TokenID != sample(30) {
		t.Fatalf("staged: %+v", st)
	}
	key, err := signingKey(w.agent.arena, w.agentSecret(sample(21)), w.agentSecret(sample(31)))
	if err != nil {
		t.Fatal(err)
	}
	mac, err := w.agent.arena.NewHMACKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := st.sameKey(&live{profile: st.profile, mac: mac}); err != nil || !same {
		t.Errorf("the staged key is not that of the new pair and its own token: %v", err)
	}
}

// agentSecret puts a sample into the agent's own arena.
func (f *fixture) agentSecret(s string) secret.Bytes {
	f.t.Helper()
	b, err := f.agent.arena.Take([]byte(s))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(b.Destroy)
	return b
}
