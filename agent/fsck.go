package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// FsckConfig says which vault Fsck looks at.
type FsckConfig struct {
	Paths   socketpath.Paths
	Arena   *secret.Arena
	Keyring vault.Keyring // nil: there is none
	// Open is the vault, unlocked; nil: it is locked, and what takes a key is not
	// looked at.
	Open *vault.Vault
}

// CheckVault looks at everything that the vault consists of.
func (s adminService) CheckVault(ctx context.Context, _ *pb.CheckVaultRequest) (*pb.CheckVaultResponse, error) {
	out, err := s.checkVault(ctx)
	return out, s.reply(err)
}

func (a *Agent) checkVault(ctx context.Context) (*pb.CheckVaultResponse, error) {
	end, err := a.beginAdmin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	defer a.arena.ReleaseMemory()
	cfg := FsckConfig{Paths: a.cfg.Paths, Arena: a.arena}
	if d := a.door(a.keyrings); d != nil {
		cfg.Keyring = d
	}
	if s, err := a.unlocked(); err == nil {
		cfg.Open = s.vault
	}
	e := audit.Event{Event: audit.EventVaultCheck, Outcome: audit.OutcomeOK, Detail: "locked"}
	if cfg.Open != nil {
		e.Detail = "unlocked"
	}
	if err := a.recordDurably(callerOf(ctx), e); err != nil {
		return nil, fmt.Errorf("recording the check of the vault: %w", err)
	}
	return &pb.CheckVaultResponse{Checks: Fsck(ctx, cfg), Locked: cfg.Open == nil}, nil
}

// Fsck looks at the files of a vault, and says of each what it found: vault file,
// previous one, blobs, ledger, rollback pin and, unlocked, everything that is sealed.
// It changes nothing, except that the ledger drops an append that was cut off by a
// crash, as each unlock does.
func Fsck(ctx context.Context, cfg FsckConfig) []*pb.Check {
	f := &fsck{cfg: cfg, file: store.NewFile(cfg.Paths.Vault)}
	if f.files(ctx) {
		f.ledger(ctx)
		f.pin(ctx)
		f.contents(ctx)
	}
	return f.checks
}

// FsckFiles is the part of Fsck that takes no key and no keyring, and writes nothing at
// all: vault file, previous one and blobs, and whether the ledger has seen a newer vault,
// as far as it can be believed without its key.
func FsckFiles(ctx context.Context, cfg FsckConfig) []*pb.Check {
	f := &fsck{cfg: cfg, file: store.NewFile(cfg.Paths.Vault)}
	if f.files(ctx) {
		var seen uint64
		_ = store.ReadLedger(cfg.Paths.Ledger, func(e store.Entry) { // Fsck says what is wrong with it
			if e.Kind == ledgerGeneration && string(e.Subject) == string(f.now.ID) {
				seen = max(seen, e.Value)
			}
		})
		f.seen(seen)
	}
	return f.checks
}

// FsckKeyring is the part of Fsck that takes the keyring alone: the rollback pin.
func FsckKeyring(ctx context.Context, cfg FsckConfig) []*pb.Check {
	f := &fsck{cfg: cfg, file: store.NewFile(cfg.Paths.Vault)}
	if f.vaultFile(ctx) {
		f.checks = nil
		f.pin(ctx)
	}
	return f.checks
}

// fsck is one look at a vault.
type fsck struct {
	cfg  FsckConfig
	file *store.File
	now  vault.Summary
	prev vault.Summary
	checks
}

// fault adds err as a problem. remedy is for what the error has none for.
func (f *fsck) fault(name, what string, err error, remedy string) {
	r := refusalOf(err)
	if r.Next != "" && r.Code != pb.CodeDamaged && r.Code != pb.CodeRollback && r.Code != pb.CodeUnsafe {
		remedy = r.Next
	}
	detail := what + ": " + r.Message
	if r.Why != "" {
		detail += ", since " + r.Why
	}
	if r.Code == pb.CodeInternal {
		detail = what + ": " + err.Error()
	}
	if _, fix, ok := strings.Cut(err.Error(), "(fix: "); ok && r.Code == pb.CodeUnsafe {
		remedy = strings.TrimSuffix(fix, ")")
	}
	f.add(name, checkProblem, detail, remedy)
}

// files looks at all that is in files of the vault. It returns false where there is
// nothing else to look at.
func (f *fsck) files(ctx context.Context) bool {
	if !f.vaultFile(ctx) {
		return false
	}
	f.previous(ctx)
	f.blobs(ctx)
	return true
}

// vaultFile looks at the file itself. Without it there is nothing else to look at.
func (f *fsck) vaultFile(ctx context.Context) bool {
	path := f.file.Path()
	restore := "put a copy of it back, with " + path + store.BlobSuffix
	if _, err := f.file.Previous(ctx); err == nil {
		restore = fmt.Sprintf("take the generation before, which is whole:  cp -p %s.prev %s", path, path)
	}
	s, err := f.file.Load(ctx)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			if strings.HasPrefix(restore, "put") && Leftover(f.cfg.Paths) == "" {
				restore = "make one:  nsagent init"
			}
			f.add("file", checkProblem, "there is no "+path, restore)
			return false
		}
		f.fault("file", path, err, restore)
		return false
	}
	f.add("file", checkOK, fmt.Sprintf("%s is yours alone, and matches its checksum", path), "")
	if f.now, err = vault.Inspect(s); err != nil {
		f.fault("manifest", "what stands in it is not what was signed", err, restore)
		return false
	}
	f.add("manifest", checkOK, fmt.Sprintf("generation %d, %s, signed; the earlier generations lead to it", f.now.Generation, recordCount(f.now.Records)), "")
	return true
}

// previous looks at the file of the generation before.
func (f *fsck) previous(ctx context.Context) {
	const remedy = "nothing has to be done: the next change writes it anew"
	s, err := f.file.Previous(ctx)
	switch {
	case errors.Is(err, store.ErrNotFound) && f.now.Generation == 1:
		f.add("previous", checkOK, "there is none yet", "")
		return
	case errors.Is(err, store.ErrNotFound):
		f.add("previous", checkNote, "the file of the generation before is missing", remedy)
		return
	case err == nil:
		f.prev, err = vault.Inspect(s)
	}
	switch {
	case err != nil:
		f.fault("previous", "the file of the generation before", err, "remove it; "+remedy+":  rm "+f.file.Path()+".prev")
	case string(f.prev.ID) != string(f.now.ID):
		f.add("previous", checkProblem, "the file of the generation before is of another vault", "remove it:  rm "+f.file.Path()+".prev")
	case f.prev.Generation != f.now.Generation-1:
		f.add("previous", checkNote, fmt.Sprintf("it is of generation %d, and not the one before %d", f.prev.Generation, f.now.Generation), remedy)
	default:
		f.add("previous", checkOK, fmt.Sprintf("generation %d, signed", f.prev.Generation), "")
	}
}

// blobs looks at the files of long secrets.
func (f *fsck) blobs(ctx context.Context) {
	files, err := f.file.Blobs(ctx)
	if err != nil {
		f.fault("blobs", "the directory of the blobs", err, "make it readable to you alone:  chmod 700 "+f.file.Path()+store.BlobSuffix)
		return
	}
	bad := false
	for _, h := range slices.SortedFunc(maps.Keys(f.now.Blobs), func(a, b store.BlobHash) int { return strings.Compare(a.String(), b.String()) }) {
		_, whole := f.file.BlobFile(h)
		_, any := f.file.Blob(ctx, h)
		path := f.file.Path() + store.BlobSuffix + "/" + h.String()
		switch {
		case whole == nil:
			continue
		case any == nil:
			f.add("blobs", checkNote, fmt.Sprintf("the file of blob %s is missing or changed; the vault file has it for a while", h), "put it back from a copy, or enter the secret again:  nsagent profile edit NAME")
		case errors.Is(any, store.ErrNotFound):
			f.add("blobs", checkProblem, fmt.Sprintf("blob %s is missing, and with it a secret of more than 64 KiB", h), "put "+path+" back from a copy, or enter the secret again:  nsagent profile edit NAME")
		default:
			f.fault("blobs", "blob "+h.String(), any, "put "+path+" back from a copy, or enter the secret again:  nsagent profile edit NAME")
		}
		bad = true
	}
	if bad {
		return
	}
	detail := fmt.Sprintf("%d are named, and there as they were written", len(f.now.Blobs))
	if n := len(files) - len(f.now.Blobs); n > 0 {
		detail += fmt.Sprintf("; %d more that the generation before or none names, which go some time after a later change", n)
	}
	f.add("blobs", checkOK, detail, "")
}

// vault returns the vault, locked unless it is open.
func (f *fsck) vault(ctx context.Context) (*vault.Vault, error) {
	if f.cfg.Open != nil {
		return f.cfg.Open, nil
	}
	return vault.Open(ctx, vault.Config{Store: f.file, Arena: f.cfg.Arena, Keyring: f.cfg.Keyring, MachineKeyFile: f.cfg.Paths.MachineKey})
}

// ledger looks at what is written while the vault is locked.
func (f *fsck) ledger(ctx context.Context) {
	path := f.cfg.Paths.Ledger
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		f.add("ledger", checkOK, "there is none yet; the first unlock makes it", "")
		return
	}
	if _, err := os.Lstat(f.cfg.Paths.MachineKey); errors.Is(err, fs.ErrNotExist) {
		f.add("ledger", checkProblem, "the ledger is there, and machine.key, under which it stands, is not", "put machine.key back; on another machine remove the ledger, which counts for the old one only:  rm "+path)
		return
	}
	v, err := f.vault(ctx)
	if err != nil {
		f.fault("ledger", path, err, "see what is said of the vault file")
		return
	}
	key, _, err := v.MachineKey(ctx)
	if err != nil {
		f.add("ledger", checkSkipped, "not looked at, since the machine key cannot be read: "+refusalOf(err).Message, "")
		return
	}
	defer key.Destroy()
	ctx, cancel := context.WithTimeout(ctx, otherProcesses)
	defer cancel()
	l, err := store.OpenLedger(ctx, path, v.ID(), key.HMACSHA256)
	if errors.Is(err, store.ErrBusy) {
		f.add("ledger", checkSkipped, "not looked at, since another process has it open", "")
		return
	}
	if err != nil {
		f.fault("ledger", path, err, "if the vault came from another machine, its ledger counts for that one only:  rm "+path)
		return
	}
	defer func() { _ = l.Close() }()
	if seen, _ := l.Get(ledgerGeneration, v.ID()); f.seen(seen) {
		return
	}
	f.add("ledger", checkOK, "written under this machine's key, and whole", "")
}

// seen adds a problem where the ledger has seen a newer vault.
func (f *fsck) seen(generation uint64) (newer bool) {
	if generation <= f.now.Generation {
		return false
	}
	f.add("ledger", checkProblem, fmt.Sprintf("generation %d was seen on this machine before; the vault is older", generation), "put the newer one back; if that is lost, let this machine forget it:  rm "+f.cfg.Paths.Ledger)
	return true
}

// pin compares the vault with what the keyring remembers.
func (f *fsck) pin(ctx context.Context) {
	v, err := f.vault(ctx)
	if err != nil {
		f.fault("pin", "the rollback pin", err, "see what is said of the vault file")
		return
	}
	switch protection, err := v.CheckPin(ctx); {
	case err != nil:
		f.fault("pin", "the rollback pin", err, fmt.Sprintf("put the newer vault back; if that is lost, let the keyring forget it:  secret-tool clear service nsagent username %x/pin", f.now.ID))
	case strings.HasPrefix(protection, "weak"):
		f.add("pin", checkNote, "an older copy of the vault would be noticed weakly: "+strings.TrimPrefix(protection, "weak: "), "")
	default:
		f.add("pin", checkOK, "the vault is the one that the keyring remembers, or descends from it", "")
	}
}

// contents opens everything that is sealed, and reads what the records say.
func (f *fsck) contents(ctx context.Context) {
	if f.cfg.Open == nil {
		f.add("contents", checkSkipped, "the vault is locked: whether its records open is not known", "unlock it, or give the passphrase:  nsagent vault fsck --passphrase-file F")
		return
	}
	again := "enter it again:  nsagent profile edit NAME, or put a copy of the vault back"
	n, faults, err := f.cfg.Open.CheckRecords(ctx)
	if err != nil {
		f.fault("contents", "the records", err, "put a copy of the vault back")
		return
	}
	codec, err := newProfileCodec()
	if err == nil {
		var all []vault.Record
		all, err = f.cfg.Open.Records()
		for _, r := range all {
			if r.Kind == kindTOTP {
				continue // it has no metadata
			}
			if _, err := codec.decodeRecord(r); err != nil {
				faults[r.Name] = errors.Join(faults[r.Name], vault.ErrDamaged)
			}
		}
	}
	if err != nil {
		f.fault("contents", "the records", err, "put a copy of the vault back")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		f.fault("contents", fmt.Sprintf("profile %q does not open", name), faults[name], strings.Replace(again, "NAME", name, 1))
	}
	if len(faults) == 0 {
		f.add("contents", checkOK, fmt.Sprintf("%s, with every version of every secret", recordCount(n)), "")
	}
	f.grants()
}

// grants opens what grants say of themselves, and the policy. Without any it says
// nothing.
func (f *fsck) grants() {
	n, policy, err := f.cfg.Open.CheckGrants()
	said := grantCount(n)
	if policy {
		said += " and the policy in force"
	}
	switch {
	case err != nil:
		f.fault("grants", "a grant, or the policy", err, "put a copy of the vault back")
	case n > 0 || policy:
		f.add("grants", checkOK, said, "")
	}
}

func grantCount(n int) string {
	if n == 1 {
		return "1 grant"
	}
	return fmt.Sprintf("%d grants", n)
}

func recordCount(n int) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}
