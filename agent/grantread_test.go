package agent

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/secrettest"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// A grant that cannot be read hides no other, and stays when those go that ended.
func TestGrantThatCannotBeReadStays(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	if err := f.agent.session.vault.AddGrant(t.Context(), vault.NewGrant{ID: [16]byte{7}, Meta: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	f.mustGrant("acme")
	if all := f.grants(t); len(all) != 2 {
		t.Errorf("%d grants are there", len(all))
	}
}

// Where the vault or the ledger cannot be read nothing is told of grants, and that is said:
// a grant would look good, or gone.
func TestGrantsWithoutVaultOrLedger(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	_, g := f.mustGrant("acme")
	v := f.agent.session.vault
	calls := map[string]func() error{
		"list":   func() error { _, err := f.admin.Grants(t.Context()); return err },
		"show":   func() error { _, err := f.admin.Grant(t.Context(), g.GetId()); return err },
		"revoke": func() error { _, err := f.admin.RevokeGrant(t.Context(), g.GetId(), false); return err },
	}
	f.unreadableLedger(t, func() {
		for name, call := range calls {
			if err := call(); errorCode(err) != string(pb.CodeUnsafe) {
				t.Errorf("%s without the ledger: got %v", name, err)
			}
		}
		if _, err := f.agent.endGrant(t.Context(), &pb.RevokeGrantRequest{Id: g.GetId()}); err == nil || !strings.HasPrefix(err.Error(), "revoking a grant") {
			t.Errorf("got %v", err)
		}
	})
	empty := secrettest.LeaveRoom(f.agent.arena, 0)
	if _, err := f.agent.describeGrants(t.Context(), v, nil); !errors.Is(err, secret.ErrFull) {
		t.Errorf("without room for the key of the ledger: got %v", err)
	}
	empty()
	away := f.paths.Vault + ".away"
	for _, locked := range []bool{false, true} {
		if locked {
			f.lock()
		}
		if err := os.Rename(f.paths.Vault, away); err != nil {
			t.Fatal(err)
		}
		for name, call := range calls {
			if err := call(); err == nil || errorCode(err) == string(pb.CodeInternal) || errors.Is(err, client.ErrNotFound) || locked && errorCode(err) != string(pb.CodeNoVault) {
				t.Errorf("%s without the vault, locked %v: got %v", name, locked, err)
			}
		}
		if err := os.Rename(away, f.paths.Vault); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever has the turn for long keeps a grant from being looked at, and not from being
// revoked.
func TestGrantsWaitForTheTurn(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token, g := f.mustGrant("acme")
	end, err := f.agent.beginAdmin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if v, _, err := f.agent.anyVault(gone); err == nil || v != nil {
		t.Errorf("got %v", err)
	}
	soon, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := f.agent.endGrant(soon, &pb.RevokeGrantRequest{Id: g.GetId()})
		done <- err
	}()
	awaitIn(t, "endInVault")
	cancel()
	if err := <-done; !errors.As(err, new(*recorded)) {
		t.Errorf("got %v", err)
	}
	end()
	if _, err := f.dialWith(token); !errors.Is(err, client.ErrRevoked) {
		t.Errorf("shown: got %v", err)
	}
}

// A record that cannot be read is told of a grant by its name of then, and gets no new keys.
func TestGrantOfAnUnreadableRecord(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.mustGrant("acme")
	v := f.agent.session.vault
	codec := f.agent.codec
	odd, err := codec.encode(&profile{Auth: authTBA, Account: "no account"})
	if err != nil {
		t.Fatal(err)
	}
	for name, meta := range map[string][]byte{"garbage": {1}, "no account": odd} {
		if _, err := v.Edit(t.Context(), "acme", func(r vault.Record) (vault.Edit, error) { return vault.Edit{Name: r.Name, Meta: meta}, nil }); err != nil {
			t.Fatal(err)
		}
		all, err := f.admin.Grants(t.Context())
		if err != nil || len(all) != 1 || all[0].GetState() != grantActive || all[0].GetProfiles()[0].GetName() != "acme" || all[0].GetProfiles()[0].GetAccount() != "" {
			t.Errorf("%s: got %v, %v", name, all, err)
		}
		if name != "garbage" {
			continue
		}
		before := v.Generation()
		if names, _, err := f.agent.rekeyGrant(t.Context(), v, f.grants(t)[0]); err == nil || names != nil || v.Generation() != before {
			t.Errorf("new keys: got %v, %v", names, err)
		}
	}
}

// New keys take what they opened from all grants but the one that they are made for, which has
// ended: the others are told.
func TestNewKeysTellOfOtherGrants(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.mustGrant("acme")
	f.mustGrant("acme")
	all := f.grants(t)
	names, affected, err := f.agent.rekeyGrant(t.Context(), f.agent.session.vault, all[0])
	if err != nil || !slices.Equal(names, []string{"acme"}) || !slices.Equal(affected, []string{unlocktoken.GrantName(all[1].ID)}) {
		t.Errorf("got %v, %v, %v", names, affected, err)
	}
}

// What cannot be done, or said of a grant, is in nobody's log as done, and refused for its own
// reason.
func TestNewKeysOfADamagedVault(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.mustGrant("acme")
	v, g := f.agent.session.vault, f.grants(t)[0]
	f.whileDamaged(func() {
		if names, _, err := f.agent.rekeyGrant(t.Context(), v, g); !errors.Is(err, vault.ErrDamaged) || names != nil {
			t.Errorf("got %v, %v", names, err)
		}
	})
	for _, e := range f.entries() {
		if e.Event == audit.EventProfileRekey {
			t.Errorf("the log has %v", e)
		}
	}
	f.lock()
	if _, _, err := f.agent.endInVault(t.Context(), &pb.RevokeGrantRequest{Id: "g_777777", Rotate: true}, &pb.RevokeGrantResponse{}); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("of a grant that is gone by then: got %v", err)
	}
}

// A grant whose profiles are gone has nothing that could get new keys.
func TestGrantOfNothingGetsNoKeys(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.mustGrant("acme")
	f.mustGrant("acme")
	if err := f.admin.RemoveProfile(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	v := f.agent.session.vault
	before := v.Generation()
	if names, affected, err := f.agent.rekeyGrant(t.Context(), v, f.grants(t)[0]); err != nil || names != nil || affected != nil || v.Generation() != before {
		t.Errorf("got %v, %v, %v", names, affected, err)
	}
}
