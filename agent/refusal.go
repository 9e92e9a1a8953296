package agent

import (
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/peercred"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

// row says how a sentinel of another package is told to a caller.
type row struct {
	sentinel           error
	code               pb.Code
	message, why, next string
	// open rows add the error's own text as the reason: it is about the caller's
	// input and holds nothing else.
	open bool
}

// rows is the one table from errors to codes, first match wins. What is not in it
// is internal: logged in full, answered in general.
func rows() []row {
	const (
		again   = "unlock it:  nsagent unlock"
		restore = "see what is whole, and what to type:  nsagent vault fsck"
	)
	return []row{
		{sentinel: audit.ErrUnavailable, code: pb.CodeAudit, message: "the audit log cannot be written", why: "what cannot be recorded is not done", next: "make room or repair the disk; the agent tries again by itself"},
		{sentinel: audit.ErrClosed, code: pb.CodeAudit, message: "the audit log cannot be written", why: "the agent is stopping", next: "start it again:  nsagent agent start"},
		{sentinel: vault.ErrLocked, code: pb.CodeLocked, message: "the vault is locked", next: again},
		{sentinel: vault.ErrNeedPassphrase, code: pb.CodePassphrase, message: "the vault needs its passphrase", next: again},
		{sentinel: vault.ErrPassphrase, code: pb.CodePassphrase, message: "the vault did not open", why: "the passphrase is wrong, or the keyring holds the share of another vault", next: "try again:  nsagent unlock"},
		{sentinel: vault.ErrNeedKey, code: pb.CodeKey, message: "the vault needs its key file or its recovery code", next: "nsagent unlock --key-file F, or nsagent unlock --recovery"},
		{sentinel: vault.ErrKey, code: pb.CodeKey, message: "the vault did not open", why: "the key file or recovery code is that of another vault, or was replaced", next: "see what opens it:  nsagent key ls"},
		{sentinel: vault.ErrNoSlot, code: pb.CodeNotFound, message: "the vault has no such key slot", open: true, next: "see what opens it:  nsagent key ls"},
		{sentinel: vault.ErrSlot, code: pb.CodeRequest, message: "the key slots cannot be changed so", open: true, next: "see what opens the vault:  nsagent key ls"},
		{sentinel: vault.ErrRollback, code: pb.CodeRollback, message: "the vault is older than one seen on this machine", why: "a copy was put back, or a sync service lost changes", next: restore},
		{sentinel: vault.ErrBlob, code: pb.CodeDamaged, message: "a secret of more than 64 KiB is missing from the vault", open: true, next: "put vault.nsv.blobs back from the backup, then:  nsagent vault fsck"},
		{sentinel: vault.ErrDamaged, code: pb.CodeDamaged, message: "the vault is damaged", why: "it does not match its signature", next: restore},
		{sentinel: store.ErrDamaged, code: pb.CodeDamaged, message: "the vault is damaged", why: "a file of it does not match its checksum", next: restore},
		{sentinel: store.ErrNewer, code: pb.CodeNewer, message: "the vault was written by a newer nsagent", next: "install that version"},
		{sentinel: store.ErrUnsafe, code: pb.CodeUnsafe, message: "the vault file is not safe to use", open: true},
		{sentinel: store.ErrNotFound, code: pb.CodeNoVault, message: "there is no vault yet", next: "make one:  nsagent init"},
		{sentinel: store.ErrExists, code: pb.CodeExists, message: "there is a vault already", why: "it is never replaced", next: "unlock it:  nsagent unlock"},
		{sentinel: store.ErrTooLarge, code: pb.CodeFull, message: "the vault is full"},
		{sentinel: vault.ErrExists, code: pb.CodeExists, message: "the name is taken"},
		{sentinel: vault.ErrNotFound, code: pb.CodeNoProfile, message: "there is no such profile", next: "list them:  nsagent profile ls"},
		{sentinel: keyring.ErrNoBus, code: pb.CodeKeyring, message: "the OS keyring cannot be reached", why: "there is no D-Bus session", next: "log in to a desktop session, or:  nsagent help modes"},
		{sentinel: keyring.ErrStaleBus, code: pb.CodeKeyring, message: "the OS keyring cannot be reached", why: "DBUS_SESSION_BUS_ADDRESS names a bus that is gone, or that belongs to another user", next: "start the agent again from a new session"},
		{sentinel: keyring.ErrNoService, code: pb.CodeKeyring, message: "the OS keyring cannot be reached", why: "no Secret Service runs on the session bus", next: "start gnome-keyring or another Secret Service"},
		{sentinel: keyring.ErrLocked, code: pb.CodeKeyring, message: "the OS keyring is locked", next: "unlock it in the desktop session, then:  nsagent unlock"},
		{sentinel: keyring.ErrNoCollection, code: pb.CodeKeyring, message: "the OS keyring has no default collection", next: "log in to the desktop once, or make one with seahorse"},
		{sentinel: keyring.ErrForeign, code: pb.CodeKeyring, message: "the OS keyring holds an item under nsagent's name that it did not write", open: true},
		{sentinel: keyring.ErrTimeout, code: pb.CodeKeyring, message: "the OS keyring did not answer within 5 seconds", why: "it may be asking something on a screen that nobody sees", next: "answer its prompt, then:  nsagent unlock"},
		{sentinel: keyring.ErrNotFound, code: pb.CodeKeyring, message: "the OS keyring has no share for this vault", why: "the vault was made on another machine, or the item was deleted", next: "with the recovery code:  nsagent key recover"},
		{sentinel: vault.ErrMachineKey, code: pb.CodeKeyring, message: "the machine key cannot be read", open: true},
		{sentinel: vault.ErrNewer, code: pb.CodeNewer, message: "the vault was written by a newer nsagent", next: "install that version"},
		{sentinel: vault.ErrRecord, code: pb.CodeCredential, message: "the credential cannot be kept", open: true},
		{sentinel: store.ErrMAC, code: pb.CodeDamaged, message: "the ledger was not written by this machine", why: "the machine key was lost or replaced, or the file was changed", next: "see:  docs/vault-format.md"},
		{sentinel: store.ErrBusy, code: pb.CodeLimited, message: "another process works on the vault", next: "try again"},
		{sentinel: keyring.ErrUnavailable, code: pb.CodeKeyring, message: "the OS keyring failed", open: true},
		{sentinel: vault.ErrKeyring, code: pb.CodeKeyring, message: "the OS keyring is needed", open: true},
		{sentinel: secret.ErrFull, code: pb.CodeMemory, message: "the locked memory is full", why: "RLIMIT_MEMLOCK is too small for so many profiles, or for so long a secret", next: "raise it (ulimit -l) and start the agent again"},
		{sentinel: secret.ErrMemlock, code: pb.CodeMemory, message: "there is too little lockable memory", open: true, next: "raise it (ulimit -l) and start the agent again"},
		{sentinel: signer.ErrURL, code: pb.CodeURL, message: "the URL cannot be signed", open: true},
		{sentinel: signer.ErrHost, code: pb.CodeHost, message: "the host is not one of the profile's account", open: true},
		{sentinel: signer.ErrAccount, code: pb.CodeAccount, message: "the account ID has a form that NetSuite does not use", why: "it looks like 1234567 or 1234567_SB1"},
		{sentinel: signer.ErrPassport, code: pb.CodeRequest, message: "the passport cannot be made", open: true},
		{sentinel: signer.ErrIdentity, code: pb.CodeCredential, message: "an identifier of the profile cannot be signed with", open: true},
		{sentinel: signer.ErrClaims, code: pb.CodeRequest, message: "the assertion cannot be made", open: true},
		{sentinel: signer.ErrRequest, code: pb.CodeRequest, message: "the request cannot be signed", open: true},
		{sentinel: peercred.ErrPeerGone, code: pb.CodePeer, message: "the process that opened this connection is gone", why: "a descriptor that was handed on does not sign", next: "connect again"},
		{sentinel: audit.ErrInUse, code: pb.CodeRunning, message: "an agent is running already", why: "another process has the audit log open", next: "see it:  nsagent status"},
		{sentinel: audit.ErrBroken, code: pb.CodeAuditBad, message: "the audit log was changed", open: true, next: "check it, then move its directory aside:  nsagent audit verify"},
		{sentinel: audit.ErrUnsafe, code: pb.CodeUnsafe, message: "the audit log is not safe to use", open: true},
		{sentinel: audit.ErrOpen, code: pb.CodeAudit, message: "the audit log cannot be opened", open: true},
		{sentinel: socketpath.ErrTooLong, code: pb.CodeSocket, message: "the socket path is too long", open: true},
		{sentinel: socketpath.ErrUnsafe, code: pb.CodeUnsafe, message: "a directory is not safe to use", open: true},
		{sentinel: ErrNetwork, code: pb.CodeNetwork, message: "NetSuite was not reached", open: true, next: "try again"},
		{sentinel: errReplaced, code: pb.CodeLimited, message: "the profile was changed meanwhile", next: "try again"},
		{sentinel: ErrBusy, code: pb.CodeLimited, message: "too much at once", next: "try again in a moment"},
		{sentinel: policy.ErrDenied, code: pb.CodeDenied, message: "policy does not allow it", open: true},
	}
}

// refusalOf returns err in the form for callers.
func refusalOf(err error) *Refusal {
	if r := (*Refusal)(nil); errors.As(err, &r) {
		return r
	}
	if d := (*policy.Denied)(nil); errors.As(err, &d) {
		return refuse(err, pb.Code(d.Code), d.What, d.Why, d.Next)
	}
	for _, r := range rows() {
		if !errors.Is(err, r.sentinel) {
			continue
		}
		why := r.why
		if r.open {
			why = reason(err, r.sentinel)
		}
		return refuse(err, r.code, r.message, why, r.next)
	}
	return refuse(err, pb.CodeInternal, "something failed that should not have", "", "report it with the agent's log")
}

// reason returns what an error says beyond its sentinel, which the message of the
// row says in better words.
func reason(err, sentinel error) string {
	text := err.Error()
	if _, after, ok := strings.Cut(text, sentinel.Error()+": "); ok {
		return after
	}
	return text
}

// Explain returns what the command line prints for an error of New or Run: the
// code and the three lines. An internal error shows its text.
func Explain(err error) (code pb.Code, message, why, next string) {
	r := refusalOf(err)
	if r.Code == pb.CodeInternal {
		return r.Code, "the agent cannot run", err.Error(), ""
	}
	return r.Code, r.Message, r.Why, r.Next
}

func (r *Refusal) message() *pb.Error {
	return &pb.Error{Code: string(r.Code), Message: r.Message, Why: r.Why, Next: r.Next}
}

// refuse returns err in the form for callers. One that is nobody's fault but the
// agent's is logged in full here, where it stops, and answered in general.
func (a *Agent) refuse(err error) *Refusal {
	r := refusalOf(err)
	if r.Code == pb.CodeInternal {
		a.log.Error("internal error", "error", err)
	}
	return r
}

// reply returns err as a status with the code as ErrorInfo; nil stays nil.
func (a *Agent) reply(err error) error {
	if err == nil {
		return nil
	}
	r := a.refuse(err)
	st := status.New(pb.Lookup(r.Code).GRPC, r.Message)
	with, derr := st.WithDetails(&errdetails.ErrorInfo{
		Reason: string(r.Code), Domain: pb.ErrorDomain, Metadata: map[string]string{"why": r.Why, "next": r.Next},
	})
	if derr != nil {
		return st.Err()
	}
	return with.Err()
}
