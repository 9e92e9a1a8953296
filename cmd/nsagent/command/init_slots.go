package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/slotkey"
	"github.com/nsagent/nsagent/internal/term"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/keyring"
)

// newSlots are the key slots of a vault to be made, with the files that were made for
// them.
type newSlots struct {
	slots []vault.Slot
	files []string
	show  bool // the recovery code is still to be shown
}

// undo takes the files away again.
func (s *newSlots) undo() {
	for _, f := range s.files {
		_ = os.Remove(f)
	}
}

func (s *newSlots) destroy() {
	for _, slot := range s.slots {
		slot.Passphrase.Destroy()
		slot.Key.Destroy()
	}
}

func (s *newSlots) kinds() []string {
	var out []string
	for _, slot := range s.slots {
		out = append(out, string(slot.Kind))
	}
	return out
}

// slot returns the key slot that the flags name; its kind is empty where the
// person is to be asked.
func (o initOptions) slot() (vault.Slot, error) {
	s := vault.Slot{Kind: vault.SlotKind(o.unlock)}
	switch s.Kind {
	case "", vault.SlotKeyring, vault.SlotPassphrase, vault.SlotKeyringPassphrase, vault.SlotKeyFile:
	default:
		return s, usage(fmt.Sprintf("unknown way to unlock %.40q", o.unlock), "it is keyring, passphrase, keyring+passphrase or key-file", "see:  nsagent help modes")
	}
	switch o.kdf {
	case "default":
		s.KDF = vault.KDFDefault
	case "low":
		s.KDF = vault.KDFLow
	default:
		return s, usage(fmt.Sprintf("unknown cost %.20q", o.kdf), "it is default or low", "see:  nsagent init --help")
	}
	switch file := s.Kind == vault.SlotKeyFile; {
	case file && o.keyFile == "":
		return s, usage("--unlock key-file needs a file", "the vault opens by what is in it", "name it, it is made where it is not there:  --key-file F")
	case file && o.passphrase.given():
		return s, usage("--unlock key-file takes no passphrase", "the file alone opens the vault", "did you mean:  --unlock passphrase")
	case !file && o.keyFile != "":
		return s, usage("--key-file belongs to --unlock key-file", "nothing else has a file that opens the vault", "did you mean:  nsagent init --unlock key-file --key-file F")
	}
	if s.Kind == vault.SlotKeyring && o.passphrase.given() {
		return s, usage("--unlock keyring takes no passphrase", "the keyring alone opens the vault", "did you mean:  --unlock keyring+passphrase")
	}
	return s, nil
}

// fillPassphrase gets the passphrase, and decides on the kind of slot where no
// flag did.
func (o initOptions) fillPassphrase(ctx context.Context, e *env, arena *secret.Arena, s *vault.Slot) (err error) {
	if s.Kind == vault.SlotKeyring {
		return nil
	}
	if o.passphrase.given() {
		if s.Kind == "" {
			s.Kind = vault.SlotKeyringPassphrase
		}
		s.Passphrase, err = o.passphrase.read(e, arena)
		return err
	}
	prompt := "Passphrase (empty: the keyring alone opens the vault): "
	if s.Kind != "" {
		prompt = "Passphrase: "
	}
	if err := e.needsKeyring(ctx, arena, s.Kind); err != nil {
		return err
	}
	s.Passphrase, err = e.askPassphrase(arena, prompt, true)
	switch {
	case errors.Is(err, term.ErrNoTerminal) && s.Kind == "":
		return usage(e.unasked("ask for a passphrase"), "say what opens the vault:  nsagent help modes",
			"nsagent init --unlock keyring, or --unlock passphrase --passphrase-file F")
	case errors.Is(err, term.ErrNoTerminal):
		return e.cannotAsk("ask for a passphrase", "give it as a file:  nsagent init --unlock "+string(s.Kind)+" --passphrase-file F")
	case err != nil:
		return err
	}
	empty := s.Passphrase.Len() == 0
	switch {
	case s.Kind != "" && empty:
		return usage("the passphrase is empty", "--unlock "+string(s.Kind)+" needs one", "")
	case s.Kind == "" && empty:
		s.Kind = vault.SlotKeyring
	case s.Kind == "":
		s.Kind = vault.SlotKeyringPassphrase
	}
	return nil
}

// needsKeyring fails where a vault that somebody at a terminal is about to be asked about
// needs a keyring that does not answer. Without a kind of slot, it is one that does.
func (e *env) needsKeyring(ctx context.Context, arena *secret.Arena, kind vault.SlotKind) error {
	t, err := e.terminal()
	if err != nil || kind != "" && !kind.NeedsShare() {
		return nil
	}
	_ = t.Close()
	b, err := e.keyringDoor(arena).Get(ctx, "init/probe")
	b.Destroy()
	if err == nil || errors.Is(err, keyring.ErrNotFound) {
		return nil
	}
	return initFailure("the vault cannot be made", err, vault.SlotKeyringPassphrase)
}

// fill gets what the key slots of a new vault open by: the passphrase or the key file
// for first, and a recovery code where it is wanted.
func (o initOptions) fill(ctx context.Context, e *env, arena *secret.Arena, first vault.Slot) (s newSlots, err error) {
	defer func() {
		if err != nil {
			s.destroy()
			s.undo()
		}
	}()
	if first.Kind == vault.SlotKeyFile {
		made := false
		if first.Key, made, err = o.getKeyFile(arena); made {
			s.files = append(s.files, o.keyFile)
		}
	} else {
		err = o.fillPassphrase(ctx, e, arena, &first)
	}
	s.slots = append(s.slots, first)
	if err != nil {
		return s, err
	}
	wanted, err := o.wantsRecovery(e, first.Kind)
	if err != nil || !wanted {
		return s, err
	}
	slot := vault.Slot{Kind: vault.SlotRecovery}
	if o.recoveryFile != "" {
		slot.Key, err = e.newRecovery(arena, o.recoveryFile)
	} else {
		slot.Key, err = arena.Random(slotkey.CodeSize)
		s.show = true
	}
	if err != nil {
		return s, err
	}
	s.slots = append(s.slots, slot)
	if o.recoveryFile != "" {
		s.files = append(s.files, o.recoveryFile)
	}
	return s, nil
}

// showRecovery shows the recovery code of the vault that was made, which is the last of
// its slots. Where the person does not take it down, the slot goes again, and the error
// says so.
func (s *newSlots) showRecovery(ctx context.Context, e *env, arena *secret.Arena, v *vault.Vault, record func(audit.Event) error) error {
	code, err := slotkey.EncodeCode(arena, s.slots[len(s.slots)-1].Key)
	if err != nil {
		return err
	}
	defer code.Destroy()
	refused := e.showCode(arena, code)
	if refused == nil {
		return nil
	}
	for _, slot := range v.Slots() {
		if slot.Kind == vault.SlotRecovery {
			err = errors.Join(err, record(audit.Event{Event: audit.EventKeyRemove, Kind: string(slot.Kind)}), v.RemoveSlot(ctx, slot.ID))
		}
	}
	if err != nil {
		return agentFailure("the recovery code cannot be taken back", err)
	}
	f := failure(refused)
	return &client.Error{Code: f.Code, Message: "the vault is made, without a recovery code", Why: f.Message, Next: "make one later:  nsagent key add recovery"}
}

// getKeyFile returns the key of the key file, which it makes where there is none.
func (o initOptions) getKeyFile(arena *secret.Arena) (key secret.Bytes, made bool, err error) {
	if _, err := os.Lstat(o.keyFile); errors.Is(err, fs.ErrNotExist) {
		key, err := newKeyFile(arena, o.keyFile)
		return key, err == nil, err
	}
	key, err = readKeyFile(arena, o.keyFile, fileOf("key-file"))
	return key, false, err
}

// wantsRecovery reports whether a recovery code is to be made: where a flag says so, or
// where somebody who was asked for the passphrase says so.
func (o initOptions) wantsRecovery(e *env, kind vault.SlotKind) (bool, error) {
	asked := !o.passphrase.given() && kind != vault.SlotKeyFile && o.unlock != string(vault.SlotKeyring)
	switch {
	case o.recoveryFile != "":
		return true, nil
	case o.recoverySaid && !o.recovery, !o.recoverySaid && !asked:
		return false, nil
	}
	t, err := e.terminal()
	if errors.Is(err, term.ErrNoTerminal) {
		return false, e.cannotAsk("show the recovery code", "have it in a file:  --recovery-file F")
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = t.Close() }()
	if o.recoverySaid {
		return true, nil
	}
	return yesOrNo(t, "Make a recovery code, in case passphrase or keyring get lost? [Y/n]: ", true)
}
