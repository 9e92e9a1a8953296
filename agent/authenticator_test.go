package agent

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/totp"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// phone is an authenticator app of the tests, with a clock of its own, which the agent
// goes by too.
type phone struct {
	key string
	now atomic.Int64 // Unix seconds
}

func newPhone() *phone {
	p := &phone{key: "a phone with 20 bytes"[:totp.KeySize]}
	p.now.Store(2_000_000_000)
	return p
}

func (p *phone) clock(c *Config) { c.Clock = func() time.Time { return time.Unix(p.now.Load(), 0) } }

// wait lets steps go by.
func (p *phone) wait(steps int64) { p.now.Add(steps * 30) }

// code is what the app shows so many steps from now, by the standard library.
func (p *phone) code(off int64) string {
	m := hmac.New(sha1.New, []byte(p.key))
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(p.now.Load()/30+off)))
	sum := m.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1000000)
}

// wrong is a code that is none of now.
func (p *phone) wrong() string {
	for n := 0; ; n++ {
		c := fmt.Sprintf("%06d", n)
		if !slices.Contains([]string{p.code(-2), p.code(-1), p.code(0), p.code(1), p.code(2)}, c) {
			return c
		}
	}
}

// enrol sets the phone up, and lets its first code go by.
func (f *fixture) enrol(p *phone) *pb.Totp {
	f.t.Helper()
	out, err := f.admin.AddTOTP(f.t.Context(), f.passphrase(testPassphrase), f.sealer(p.key), f.sealer(p.code(0)))
	if err != nil {
		f.t.Fatalf("AddTOTP: %v", err)
	}
	p.wait(1)
	return out
}

// both is a proof by passphrase and code.
func (f *fixture) both(code string) client.Proof {
	return client.Proof{Passphrase: f.sealer(testPassphrase), TOTP: f.sealer(code)}
}

// stepUp has a policy want codes, also where there is no app: such a one cannot be adopted.
func (f *fixture) stepUp() { f.keepPolicy("version = 1\nstep_up = {admin = true}\n") }

// keepPolicy puts a policy into the vault, or none where text is empty, and in force.
func (f *fixture) keepPolicy(text string) {
	f.t.Helper()
	var packed []byte
	if text != "" {
		packed = packedPolicy(f.t, text)
	}
	s := f.agent.session
	if err := s.vault.SetPolicy(f.t.Context(), packed, nil, nil); err != nil {
		f.t.Fatal(err)
	}
	f.agent.putInForce(s, readRules(s.vault.Policy()))
}

// widen makes a call that needs a fresh proof, and undoes it.
func (f *fixture) widen(proof client.Proof) error {
	f.t.Helper()
	_, err := f.admin.EditProfile(f.t.Context(), "acme", client.ProfileEdit{Profile: &pb.Profile{Access: "write"}, Fields: []string{"access"}, Proof: proof})
	if err == nil {
		_, err = f.admin.EditProfile(f.t.Context(), "acme", client.ProfileEdit{Profile: &pb.Profile{Access: "read"}, Fields: []string{"access"}})
	}
	return err
}

func startWithPhone(t *testing.T, change ...func(*Config)) (*fixture, *phone) {
	p := newPhone()
	f := startApart(t, append(change, p.clock)...)
	f.unlock()
	f.addTBA("acme", func(p *pb.Profile) { p.Access = "read" })
	return f, p
}

func TestAddTOTP(t *testing.T) {
	f, p := startWithPhone(t)
	ctx := t.Context()
	add := func(proof client.Proof, key, code string) error {
		_, err := f.admin.AddTOTP(ctx, proof, f.sealer(key), f.sealer(code))
		return err
	}
	right := f.passphrase(testPassphrase)
	for name, c := range map[string]struct {
		proof     client.Proof
		key, code string
		want      error
	}{
		"no proof":            {client.Proof{}, p.key, p.code(0), client.ErrProof},
		"a yes in its place":  {client.Proof{Confirmed: true}, p.key, p.code(0), client.ErrProof},
		"a code in its place": {client.Proof{TOTP: f.sealer(p.code(0))}, p.key, p.code(0), client.ErrProof},
		"wrong passphrase":    {f.passphrase("wrong"), p.key, p.code(0), client.ErrPassphrase},
		"wrong code":          {right, p.key, p.wrong(), client.ErrTOTP},
		"no code":             {right, p.key, "", client.ErrTOTP},
		"a code of yesterday": {right, p.key, p.code(-2880), client.ErrTOTP},
		"a short secret":      {right, p.key[:19], p.code(0), client.ErrRequest},
		"a long secret":       {right, p.key + "x", p.code(0), client.ErrRequest},
		"no secret":           {right, "", p.code(0), client.ErrRequest},
	} {
		if err := add(c.proof, c.key, c.code); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	for name, one := range map[string][2]client.Sealer{"no code at all": {f.sealer(p.key), nil}, "no secret at all": {nil, f.sealer(p.code(0))}} {
		if _, err := f.admin.AddTOTP(ctx, right, one[0], one[1]); !errors.Is(err, client.ErrRequest) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if out, err := f.admin.AddTOTP(ctx, right, nil, nil); err != nil || out != nil {
		t.Errorf("the proof alone: got %v, %v", out, err)
	}
	if _, err := f.admin.AddTOTP(ctx, f.passphrase("wrong"), nil, nil); !errors.Is(err, client.ErrPassphrase) {
		t.Errorf("a wrong proof alone: got %v", err)
	}
	if r, err := f.admin.KeySlots(ctx); err != nil || r.GetTotp() != nil {
		t.Fatalf("after refusals: %v, %v", r.GetTotp(), err)
	}
	set := f.enrol(p)
	if r, err := f.admin.KeySlots(ctx); err != nil || r.GetTotp().GetId() != set.GetId() || len(set.GetId()) != 32 || len(r.GetSlots()) != 1 {
		t.Errorf("got %v, %v", r, err)
	}
	if err := add(right, p.key, p.code(0)); !errors.Is(err, client.ErrExists) || !strings.Contains(err.Error(), "the codes of one") {
		t.Errorf("a second app: got %v", err)
	}
	// It is no profile, and the vault is in order.
	if r, err := f.signer.Profiles(ctx); err != nil || len(r.GetProfiles()) != 1 {
		t.Errorf("profiles: %v, %v", r, err)
	}
	if r, err := f.admin.CheckVault(ctx); err != nil || !allOK(r) {
		t.Errorf("check: %v, %v", r, err)
	}
	f.restart()
	if r, err := f.admin.KeySlots(ctx); err != nil || r.GetTotp() != nil {
		t.Errorf("while locked: %v, %v", r.GetTotp(), err)
	}
	if err := add(right, p.key, p.code(0)); !errors.Is(err, client.ErrLocked) {
		t.Errorf("adding one while locked: got %v", err)
	}
	f.unlock()
	if r, err := f.admin.KeySlots(ctx); err != nil || r.GetTotp().GetId() != set.GetId() {
		t.Errorf("after a restart: %v, %v", r.GetTotp(), err)
	}
	var kinds []string
	for _, e := range f.entries() {
		if e.Event == "key.add" && e.Outcome == "ok" {
			kinds = append(kinds, e.Kind+" "+e.Detail)
		}
	}
	if !slices.Equal(kinds, []string{"totp totp proof=passphrase"}) {
		t.Errorf("the log says %q", kinds)
	}
}

func allOK(r *pb.CheckVaultResponse) bool {
	return !slices.ContainsFunc(r.GetChecks(), func(c *pb.Check) bool { return c.GetState() == "problem" })
}

// Without a policy that wants it, a passphrase is enough; with one, a code as well, once,
// in order, and for both the recovery code.
func TestStepUp(t *testing.T) {
	f, p := startWithPhone(t)
	f.addSlot("recovery", testCode)
	f.enrol(p)
	if err := f.widen(f.passphrase(testPassphrase)); err != nil {
		t.Errorf("without step-up: %v", err)
	}
	f.stepUp()
	for name, c := range map[string]struct {
		proof client.Proof
		want  error
	}{
		"nothing":                {client.Proof{}, client.ErrProof},
		"a code alone":           {client.Proof{TOTP: f.sealer(p.code(0))}, client.ErrProof},
		"a passphrase alone":     {f.passphrase(testPassphrase), client.ErrTOTP},
		"a yes beside it":        {client.Proof{Passphrase: f.sealer(testPassphrase), Confirmed: true}, client.ErrTOTP},
		"the first code":         {f.both(p.code(-1)), client.ErrTOTP},
		"a wrong passphrase":     {client.Proof{Passphrase: f.sealer("wrong"), TOTP: f.sealer(p.code(0))}, client.ErrPassphrase},
		"a key file that's none": {client.Proof{KeyFile: f.sealer(testKeyFile), TOTP: f.sealer(p.code(0))}, &client.Error{Code: pb.CodeNotFound}},
		"a wrong recovery code":  {client.Proof{Recovery: f.sealer("X123456789abcdef"), TOTP: f.sealer(p.code(0))}, client.ErrKey},
	} {
		if err := f.widen(c.proof); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	// None of that used the code up.
	if err := f.widen(f.both(p.code(0))); err != nil {
		t.Errorf("both: %v", err)
	}
	if err := f.widen(f.both(p.code(0))); !errors.Is(err, client.ErrTOTP) || !strings.Contains(err.Error(), "used already") {
		t.Errorf("replayed: got %v", err)
	}
	if err := f.widen(f.both(p.code(1))); err != nil {
		t.Errorf("a phone that is a step ahead: %v", err)
	}
	if err := f.widen(f.both(p.code(0))); !errors.Is(err, client.ErrTOTP) {
		t.Errorf("an earlier one: got %v", err)
	}
	if err := f.widen(client.Proof{Recovery: f.sealer(testCode)}); err != nil {
		t.Errorf("the recovery code: %v", err)
	}
	var proofs []string
	for _, e := range f.entries() {
		if _, by, ok := strings.Cut(e.Detail, "proof="); ok && e.Event == "profile.edit" && e.Outcome == "ok" {
			proofs = append(proofs, strings.Fields(by)[0])
		}
	}
	if want := []string{"passphrase", "passphrase+totp", "passphrase+totp", "recovery"}; !slices.Equal(proofs, want) {
		t.Errorf("the log says %q, want %q", proofs, want)
	}
}

// The first code of an app counts for nothing more, also where its setting up broke off
// right after the app was stored.
func TestFirstCodeIsUsedUp(t *testing.T) {
	f, p := startWithPhone(t)
	ctx := t.Context()
	s := f.agent.session
	if _, err := s.vault.Add(ctx, vault.NewRecord{Name: nameTOTP, Kind: kindTOTP, SignOnly: f.secret(p.key)}); err != nil {
		t.Fatal(err)
	}
	s.caughtUp = s.vault.Generation() // the agent goes on as before
	if _, err := f.admin.AddTOTP(ctx, f.passphrase(testPassphrase), f.sealer(p.key), f.sealer(p.code(0))); err == nil {
		t.Fatal("the app is stored twice")
	}
	f.restart()
	f.unlock()
	f.stepUp()
	if err := f.widen(f.both(p.code(0))); !errors.Is(err, client.ErrTOTP) || !strings.Contains(err.Error(), "used already") {
		t.Errorf("the first code: got %v", err)
	}
	if err := f.widen(f.both(p.code(1))); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// Who has the passphrase alone puts no other in its place.
func TestStepUpForANewPassphrase(t *testing.T) {
	f, p := startWithPhone(t)
	f.enrol(p)
	f.stepUp()
	change := func(proof client.Proof) error {
		_, err := f.admin.ChangePassphrase(t.Context(), proof, f.sealer("new"), "low")
		return err
	}
	for name, proof := range map[string]client.Proof{"no code": f.passphrase(testPassphrase), "a wrong one": f.both(p.wrong())} {
		if err := change(proof); !errors.Is(err, client.ErrTOTP) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := change(f.both(p.code(0))); err != nil {
		t.Errorf("with a code: %v", err)
	}
}

// A policy that wants codes in a vault without an app stops all but the recovery code and
// the setting up of an app.
func TestStepUpWithoutAnApp(t *testing.T) {
	f, p := startWithPhone(t)
	f.stepUp()
	if err := f.widen(f.both("000000")); !errors.Is(err, client.ErrTOTP) || !strings.Contains(err.Error(), "no authenticator app is set up") {
		t.Errorf("got %v", err)
	}
	f.enrol(p)
	if err := f.widen(f.both(p.code(0))); err != nil {
		t.Error(err)
	}
}

// What was used stays used after the agent was killed, and wrong ones count.
func TestCodesSurviveARestart(t *testing.T) {
	f, p := startWithPhone(t)
	f.enrol(p)
	f.stepUp()
	if err := f.widen(f.both(p.code(0))); err != nil {
		t.Fatal(err)
	}
	f.restart()
	f.unlock()
	f.stepUp()
	if err := f.widen(f.both(p.code(0))); !errors.Is(err, client.ErrTOTP) {
		t.Errorf("replayed: got %v", err)
	}
	// Back-off, as for passphrases: three are free, and a right one must wait as well.
	for range freeTries {
		if err := f.widen(f.both(p.wrong())); !errors.Is(err, client.ErrTOTP) {
			t.Errorf("wrong: got %v", err)
		}
	}
	if err := f.widen(f.both(p.code(1))); !errors.Is(err, client.ErrBackoff) {
		t.Errorf("too soon: got %v", err)
	}
	f.restart()
	f.unlock()
	f.stepUp()
	if err := f.widen(f.both(p.code(1))); !errors.Is(err, client.ErrBackoff) {
		t.Errorf("too soon after a restart: got %v", err)
	}
	p.now.Add(1)
	if err := f.widen(f.both(p.wrong())); !errors.Is(err, client.ErrTOTP) {
		t.Errorf("after a second: got %v", err)
	}
	if err := f.widen(f.both(p.code(1))); !errors.Is(err, client.ErrBackoff) {
		t.Errorf("after a fourth: got %v", err)
	}
	p.now.Add(2)
	if err := f.widen(f.both(p.code(1))); err != nil {
		t.Errorf("after two seconds: %v", err)
	}
	// The clock set back opens no window again.
	p.wait(-2)
	if err := f.widen(f.both(p.code(0))); !errors.Is(err, client.ErrTOTP) {
		t.Errorf("after the clock was set back: got %v", err)
	}
}

// Of many who show the same code at once, one gets through.
func TestOneCodeOneUse(t *testing.T) {
	f, p := startWithPhone(t)
	f.enrol(p)
	f.stepUp()
	code := p.code(0)
	var all sync.WaitGroup
	var through atomic.Int32
	for range 5 {
		admin := f.dialAdmin()
		all.Go(func() {
			_, err := admin.AddKeySlot(context.Background(), f.both(code), client.NewSlot{Kind: "key-file", Opener: f.sealer(testKeyFile)})
			switch {
			case err == nil:
				through.Add(1)
			case !errors.Is(err, client.ErrTOTP) && !errors.Is(err, client.ErrBackoff):
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if through.Load() != 1 {
		t.Errorf("%d got through", through.Load())
	}
}

// The app goes with a code of it or with the recovery code, whatever policy says.
func TestRemoveTOTP(t *testing.T) {
	f, p := startWithPhone(t)
	ctx := t.Context()
	f.addSlot("recovery", testCode)
	id := f.enrol(p).GetId()
	for name, c := range map[string]struct {
		proof client.Proof
		want  error
	}{
		"a passphrase alone": {f.passphrase(testPassphrase), client.ErrTOTP}, "a wrong code": {f.both(p.wrong()), client.ErrTOTP}, "nothing": {client.Proof{}, client.ErrProof},
	} {
		if _, err := f.admin.RemoveKeySlot(ctx, c.proof, id); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if r, err := f.admin.RemoveKeySlot(ctx, f.both(p.code(0)), id); err != nil || len(r.GetSlots()) != 2 || len(r.GetWarnings()) != 0 {
		t.Fatalf("got %v, %v", r, err)
	}
	if r, err := f.admin.KeySlots(ctx); err != nil || r.GetTotp() != nil {
		t.Errorf("got %v, %v", r, err)
	}
	// Another phone, which is lost.
	p.wait(2)
	id = f.enrol(p).GetId()
	if _, err := f.admin.RemoveKeySlot(ctx, client.Proof{Recovery: f.sealer(testCode)}, id); err != nil {
		t.Errorf("by the recovery code: %v", err)
	}
	f.restart()
	f.unlock()
	if r, err := f.admin.KeySlots(ctx); err != nil || r.GetTotp() != nil {
		t.Errorf("after a restart: %v, %v", r, err)
	}
}
