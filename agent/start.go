package agent

import (
	"context"
	"slices"
	"time"

	"github.com/nsagent/nsagent/vault"
)

// startUnlockTime bounds what the first callers wait for, beside the start: they give up
// after fifteen seconds. The keyring is asked four times, by a process each.
const startUnlockTime = 8 * time.Second

// unlockAtStart opens a vault that the keyring alone opens, before anybody is
// answered: an agent that systemd or a command started for a request could not serve
// it otherwise. Whoever can start the agent could unlock such a vault too, without
// being asked for anything; a lock afterwards lasts until somebody unlocks.
//
// A keyring that does not help is no failure. The vault stays locked.
func (a *Agent) unlockAtStart(ctx context.Context) {
	if a.cfg.Keyring == nil {
		return
	}
	v, err := a.openVault(ctx)
	if err != nil || !slices.ContainsFunc(v.Slots(), func(s vault.SlotInfo) bool { return s.Kind == vault.SlotKeyring }) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, startUnlockTime)
	defer cancel()
	if _, err := a.unlock(ctx, nil, vault.Proof{}, 0); err != nil {
		a.log.Warn("the vault stays locked", "error", err)
	}
}
