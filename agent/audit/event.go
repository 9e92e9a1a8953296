package audit

import (
	"fmt"
	"slices"
	"time"
)

// The events. The set is closed: Append refuses any other. Events are added, never
// renamed.
const (
	EventAgentStart      = "agent.start"
	EventAgentStop       = "agent.stop"
	EventVaultCreate     = "vault.create"
	EventVaultUnlock     = "vault.unlock"
	EventVaultLock       = "vault.lock"
	EventProfileAdd      = "profile.add"
	EventProfileShow     = "profile.show"
	EventProfileEdit     = "profile.edit"
	EventProfileRename   = "profile.rename"
	EventProfileTest     = "profile.test"
	EventProfileRemove   = "profile.remove"
	EventProfileRefresh  = "profile.refreshed"
	EventProfileRotate   = "profile.rotate"
	EventProfileRevoke   = "profile.revoke"
	EventProfileMigrate  = "profile.migrate"
	EventProfileRekey    = "profile.rekey"
	EventIntegration     = "integration.rotate"
	EventExpiry          = "expiry"
	EventSecretErase     = "secret.erase"
	EventVaultCheck      = "vault.check"
	EventKeyAdd          = "key.add"
	EventKeyRemove       = "key.remove"
	EventKeyPassphrase   = "key.passphrase"
	EventKeyRecover      = "key.recover"
	EventSign            = "sign"
	EventSend            = "send"
	EventPassport        = "passport"
	EventConnectPassword = "connect-password"
	EventAssertion       = "assertion"
	EventToken           = "token"
	EventExchange        = "exchange"
	EventCertNew         = "cert.new"
	EventCertList        = "cert.list"
	EventCertUpload      = "cert.upload"
	EventCertProbe       = "cert.probe"
	EventCertRotate      = "cert.rotate"
	EventCertDrop        = "cert.drop"
	EventCertRevoke      = "cert.revoke"
	EventLogin           = "login"
	EventRefresh         = "refresh"
	EventGrantNew        = "grant.new"
	EventGrantRedeem     = "grant.redeem"
	EventGrantRevoke     = "grant.revoke"
	EventSocketOpen      = "socket.open"
	EventSocketClose     = "socket.close"
	EventApprovalAsk     = "approval.ask"
	EventApprovalGive    = "approval.give"
	EventApprovalDeny    = "approval.deny"
	EventApprovalTimeout = "approval.timeout"
	EventPeerRefused     = "peer.refused"
	EventPolicyAdopt     = "policy.adopt"
	EventRecovered       = "audit.recovered"
	EventAuditKey        = "audit.key"
	EventAuditCut        = "audit.cut"
)

// The outcomes.
const (
	// OutcomeOK means that it was allowed and goes ahead once the entry is written.
	OutcomeOK = "ok"
	// OutcomeDenied means that policy, a limit or a wrong passphrase stopped it.
	OutcomeDenied = "denied"
	// OutcomeFailed means that it was allowed and could not be done.
	OutcomeFailed = "failed"
)

// ByProfile stands in the detail of a use that was refused by what belongs to the profile
// itself, such as its scopes, before any policy was asked.
const ByProfile = "by=profile"

// AnswerNo stands in the detail of a use that somebody was asked about who said no.
const AnswerNo = "answer=no"

// Event is what one entry records. No field may hold a secret. Texts are made safe
// and cut to their limits by Append; an empty one is left out of the line.
type Event struct {
	// Time is when it happened; zero means the time of Append. It is kept to the
	// microsecond, in UTC. Entries are ordered by their number, not by time.
	Time time.Time
	// Event is one of the Event constants, Outcome one of the Outcome constants.
	Event, Outcome string
	// Reason is the stable code of a refusal, such as NSA-READONLY; at most 48 bytes.
	Reason string
	// Profile is the name of the profile; at most 64 bytes.
	Profile string
	// Account is the account ID, such as 1234567_SB1; at most 64 bytes.
	Account string
	// Kind is the kind of credential or permission, such as tba; at most 32 bytes.
	Kind string
	// Method is the HTTP method; at most 32 bytes.
	Method string
	// Host is the host that the request goes to; at most 255 bytes.
	Host string
	// Path is the escaped path as signed; at most 256 bytes. A query or fragment that
	// comes with it is dropped: queries may hold personal data.
	Path string
	// RESTlet is the RESTlet that Path is for, as "script/deploy": ids or names of at most
	// 63 letters, digits, "_" and "-". Anything else is left out.
	RESTlet string
	// UID and PID identify the process that asked; -1 if not known.
	UID, PID int
	// Exe is the executable of that process; at most 256 bytes. It is evidence, not
	// identity.
	Exe string
	// Grant is the grant of the unlock token that the caller showed, such as
	// g_aebagbafaydqqcikbmga2dqpca; at most 32 bytes. Empty means none: the owner's own right.
	Grant string
	// Rule is the name of the rule of the policy that decided; at most 64 bytes.
	Rule string
	// Detail holds short values that the agent made itself, such as "idle" or
	// "profiles=3", never text from a caller; at most 200 bytes.
	Detail string
}

// Limits of the texts, in bytes of UTF-8 before escaping.
const (
	maxEvent   = 32
	maxReason  = 48
	maxProfile = 64
	maxAccount = 64
	maxKind    = 32
	maxMethod  = 32
	maxHost    = 255
	maxPath    = 256
	maxRESTlet = 2*maxScript + len("/")
	maxScript  = 63
	maxExe     = 256
	maxGrant   = 32
	maxRule    = 64
	maxDetail  = 200
)

// MaxLine is more than the longest line can have, newline included: every text at its
// limit with each byte escaped, and keys, numbers and hash.
const MaxLine = 4096

func (e *Event) check() error {
	if !knownEvent(e.Event) || !knownOutcome(e.Outcome) {
		return fmt.Errorf("%w: %.40q, %.40q", ErrEvent, e.Event, e.Outcome)
	}
	return nil
}

// events has every event, those of uses first. It is never written.
var events = [...]string{
	EventSign, EventSend, EventPassport, EventConnectPassword, EventAssertion, EventToken, EventExchange, EventLogin, EventRefresh,
	EventAgentStart, EventAgentStop, EventVaultCreate, EventVaultUnlock, EventVaultLock, EventVaultCheck,
	EventProfileAdd, EventProfileShow, EventProfileEdit, EventProfileRename, EventProfileTest, EventProfileRemove,
	EventProfileRefresh, EventProfileRotate, EventProfileRevoke, EventProfileMigrate, EventProfileRekey, EventIntegration, EventExpiry, EventSecretErase,
	EventKeyAdd, EventKeyRemove, EventKeyPassphrase, EventKeyRecover,
	EventCertNew, EventCertList, EventCertUpload, EventCertProbe, EventCertRotate, EventCertDrop, EventCertRevoke,
	EventGrantNew, EventGrantRedeem, EventGrantRevoke, EventSocketOpen, EventSocketClose,
	EventApprovalAsk, EventApprovalGive, EventApprovalDeny, EventApprovalTimeout,
	EventPeerRefused, EventPolicyAdopt, EventRecovered, EventAuditKey, EventAuditCut,
}

// Events returns the names of all events, those of uses first.
func Events() []string { return slices.Clone(events[:]) }

func knownEvent(name string) bool { return slices.Contains(events[:], name) }

func knownOutcome(name string) bool {
	return name == OutcomeOK || name == OutcomeDenied || name == OutcomeFailed
}

// isUse reports whether the event uses a credential, as against managing it.
func isUse(event string) bool {
	switch event {
	case EventSign, EventSend, EventPassport, EventConnectPassword, EventAssertion, EventToken:
		return true
	}
	return false
}
