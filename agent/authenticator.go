package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/totp"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

const (
	// kindTOTP is the kind of the record that holds the secret of an authenticator app,
	// and what proofs by a code are called.
	kindTOTP = "totp"
	// nameTOTP is the name of that record: "+" is no character of profile names.
	nameTOTP = "+totp"

	fieldCode       = "totp"
	fieldNewCode    = "new_totp"
	fieldTOTPSecret = "new_totp_secret"
	maxTOTP         = 32 // bytes of what is sealed as a code
)

// What the ledger has of an authenticator app, by the ID of its record.
const (
	ledgerCodeStep     store.Kind = 16 // the last step whose code was taken; by the vault's ID: that of the app's first code
	ledgerCodeFailures store.Kind = 17 // how many wrong codes in a row
	ledgerLastCode     store.Kind = 18 // Unix milliseconds of the last one
)

// authenticator is the app on somebody's phone whose codes prove that they are there.
type authenticator struct {
	id      store.ID // of its record
	created time.Time
	key     secret.Bytes
}

// message returns what may be told of it; nil where there is none.
func (t *authenticator) message() *pb.Totp {
	if t == nil {
		return nil
	}
	return &pb.Totp{Id: fmt.Sprintf("%x", t.id[:]), CreatedAt: t.created.Unix()}
}

// takeAuthenticator has the session know the app of a record, whose secret it takes over.
func (s *session) takeAuthenticator(r vault.Record, key secret.Bytes) error {
	if r.Name != nameTOTP || key.Len() != totp.KeySize || len(r.Meta) != 0 {
		key.Destroy()
		return fmt.Errorf("record %q: %w: it is no authenticator app", r.Name, vault.ErrDamaged)
	}
	s.authenticator = &authenticator{id: r.ID, created: r.Created, key: key}
	return nil
}

// is reports whether id names the app, which may be none.
func (t *authenticator) is(id string) bool { return t != nil && t.message().GetId() == id }

// wantsCode returns why a proof that has no code is not enough; nil if it has one.
func (s *session) wantsCode(code *pb.Sealed, what string) error {
	switch {
	case s.authenticator == nil:
		return refuse(ErrProof, pb.CodeTOTP, what+" needs a code", "policy wants one, and no authenticator app is set up", "set one up:  nsagent key add totp")
	case code == nil:
		return refuse(ErrProof, pb.CodeTOTP, what+" needs a code of the authenticator app", "being unlocked is not enough for it", "give it at a terminal, or with --totp-fd N")
	case code.GetField() != fieldCode:
		return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("a sealed %.40s is no code", code.GetField()), "", "")
	}
	return nil
}

// proveCode checks a code that is sealed for a call, and returns what proved it, for the
// log. That the code was used is durable before it counts.
func (a *Agent) proveCode(ctx context.Context, s *session, sealed *pb.Sealed, method, profile, what string) (string, error) {
	if err := s.wantsCode(sealed, what); err != nil {
		return "", err
	}
	code, err := a.open(ctx, sealed, method, profile, maxTOTP)
	if err != nil {
		return "", err
	}
	defer code.Destroy()
	return kindTOTP, a.useLedger(ctx, s.vault, func(l *ledger) error { return a.checkCode(l, s.vault.ID(), s.authenticator, code) })
}

// checkCode checks a code unless too many wrong ones came before. It counts as a wrong one
// before it is looked at, so that what cannot be counted is no guess. Where it is right, its
// step is used up.
func (a *Agent) checkCode(l tally, vaultID []byte, t *authenticator, code secret.Bytes) error {
	now := a.clock()
	subject := t.id[:]
	guesses := tries{l, subject, ledgerCodeFailures, ledgerLastCode}
	failures, wait, err := guesses.pause(now)
	if err != nil {
		return err
	}
	last, _ := l.Get(ledgerLastCode, subject)
	if wait > 0 {
		return refuse(ErrBackoff, pb.CodeBackoff, "codes are not taken for a while",
			fmt.Sprintf("%d wrong codes in a row; the next try is open in %s", failures, wait.Round(time.Second)), "wait, and look at the clock of the phone")
	}
	used, _ := l.Get(ledgerCodeStep, subject)
	first, _ := l.Get(ledgerCodeStep, vaultID)
	used = max(used, first)
	if err := guesses.wrong(failures, now); err != nil {
		return err
	}
	step, err := totp.Check(a.arena, t.key, code, now, used)
	if err != nil && !errors.Is(err, totp.ErrCode) { // it was no guess
		if werr := l.Append(guesses.count(failures), store.Entry{Kind: ledgerLastCode, Subject: subject, Value: last}); werr != nil {
			return fmt.Errorf("taking back that a code was wrong: %w", werr)
		}
	}
	switch {
	case errors.Is(err, totp.ErrCode):
		return refuse(err, pb.CodeTOTP, "the code is wrong", "it is not the one that the app shows now", "try again; if it stays wrong, set the clocks of phone and machine")
	case errors.Is(err, totp.ErrUsed):
		return refuse(err, pb.CodeTOTP, "the code was used already", "a code counts once, and none from before it", "wait for the next one, up to 30 seconds")
	case t.key.Len() == 0: // a lock has wiped it since
		return vault.ErrLocked
	case err != nil:
		return fmt.Errorf("checking a code: %w", err)
	}
	if err := l.Append(guesses.count(0), store.Entry{Kind: ledgerCodeStep, Subject: subject, Value: step}); err != nil {
		return fmt.Errorf("noting that a code was used: %w", err)
	}
	return nil
}

// AddTOTP sets up an authenticator app.
func (s adminService) AddTOTP(ctx context.Context, q *pb.AddTOTPRequest) (*pb.AddTOTPResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, boxes(q.GetProof(), q.GetSecret(), q.GetCode())...)
	out, err := s.addTOTP(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventKeyAdd, "", err))
	}
	return &pb.AddTOTPResponse{Totp: out}, nil
}

// addTOTP stores the secret of an app whose first code shows that it has it; without either
// it checks the proof alone. Where policy wants codes and there is no app yet, the rest of
// the proof does: the first app could not be set up else.
func (a *Agent) addTOTP(ctx context.Context, q *pb.AddTOTPRequest) (*pb.Totp, error) {
	const method = pb.Admin_AddTOTP_FullMethodName
	s, end, err := a.beginChange(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := a.catchUp(s); err != nil {
		return nil, err
	}
	if s.authenticator != nil {
		return nil, refuse(vault.ErrExists, pb.CodeExists, "there is an authenticator app already", "the vault takes the codes of one", "remove it before:  nsagent key rm "+s.authenticator.message().GetId()[:8])
	}
	by, err := a.prove(ctx, s, q.GetProof(), method, "", "setting up an authenticator app", func(*session) bool { return false })
	if err != nil {
		return nil, err
	}
	if q.GetSecret() == nil && q.GetCode() == nil {
		return nil, nil // the proof holds, before a secret is shown to anybody
	}
	key, step, err := a.newTOTP(ctx, q, method)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	// Before the app is stored, which has no ID until then: its first code proves nothing
	// any more, whatever breaks off in between.
	err = a.useLedger(ctx, s.vault, func(l *ledger) error {
		return l.Append(store.Entry{Kind: ledgerCodeStep, Subject: s.vault.ID(), Value: step})
	})
	if err != nil {
		return nil, fmt.Errorf("noting that a code was used: %w", err)
	}
	e := audit.Event{Event: audit.EventKeyAdd, Outcome: audit.OutcomeOK, Kind: kindTOTP, Detail: kindTOTP + " proof=" + by}
	err = a.carryOut(callerOf(ctx), e, func() error {
		_, err := s.vault.Add(ctx, vault.NewRecord{Name: nameTOTP, Kind: kindTOTP, SignOnly: key})
		return err
	})
	if err != nil {
		return nil, err
	}
	return a.publishTOTP(s)
}

// newTOTP opens the secret and the first code of an app, and checks the one by the other.
// It returns the secret, which the caller destroys, and the step of the code.
func (a *Agent) newTOTP(ctx context.Context, q *pb.AddTOTPRequest, method string) (key secret.Bytes, step uint64, err error) {
	if q.GetSecret().GetField() != fieldTOTPSecret || q.GetCode().GetField() != fieldNewCode {
		return key, 0, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("an authenticator app needs %q and a first code, %q", fieldTOTPSecret, fieldNewCode), "", "")
	}
	if key, err = a.open(ctx, q.GetSecret(), method, "", totp.KeySize); err != nil {
		return key, 0, err
	}
	defer func() {
		if err != nil {
			key.Destroy()
		}
	}()
	if key.Len() != totp.KeySize {
		return key, 0, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("the secret of an authenticator app has %d bytes", totp.KeySize), "", "")
	}
	code, err := a.open(ctx, q.GetCode(), method, "", maxTOTP)
	if err != nil {
		return key, 0, err
	}
	defer code.Destroy()
	if step, err = totp.Check(a.arena, key, code, a.clock(), 0); err != nil {
		return key, 0, refuse(err, pb.CodeTOTP, "the code is wrong", "nothing was set up: the app has another secret, or a clock is wrong", "begin again:  nsagent key add totp")
	}
	return key, step, nil
}

// publishTOTP has the session take the codes of the app that was stored.
func (a *Agent) publishTOTP(s *session) (*pb.Totp, error) {
	all, err := s.vault.Records()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(r vault.Record) bool { return r.Name == nameTOTP })
	if i < 0 {
		return nil, fmt.Errorf("reading the authenticator app: %w", vault.ErrNotFound)
	}
	key, err := s.vault.OpenSignOnly(nameTOTP)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session != s {
		key.Destroy()
		return nil, vault.ErrLocked
	}
	old := s.authenticator
	if err := s.takeAuthenticator(all[i], key); err != nil {
		return nil, err
	}
	if old != nil {
		old.key.Destroy()
	}
	return s.authenticator.message(), nil
}

// forgetTOTP has the session take the codes of no app any more.
func (a *Agent) forgetTOTP(s *session) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session != s { // whoever took it away wipes the key, too
		return vault.ErrLocked
	}
	s.authenticator.key.Destroy()
	s.authenticator = nil
	return nil
}

// removeTOTP plans the removal of the app.
func (a *Agent) removeTOTP(ctx context.Context, s *session) slotChange {
	gone := s.authenticator
	return slotChange{
		audit.Event{Event: audit.EventKeyRemove, Kind: kindTOTP, Detail: "slot=" + gone.message().GetId()},
		func() error {
			if err := s.vault.Remove(ctx, nameTOTP); err != nil {
				return err
			}
			return a.forgetTOTP(s)
		},
	}
}
