package nsagentv1

import "google.golang.org/grpc/codes"

// ErrorDomain is the domain of the ErrorInfo that every refusal carries.
const ErrorDomain = "nsagent"

// Code is the stable name of an error. It is the same in gRPC, in the JSON form,
// on the command line and in the audit log.
type Code string

// The codes. Codes are added, never renamed.
const (
	CodeOK         Code = ""
	CodeInternal   Code = "NSA-INTERNAL"
	CodeUsage      Code = "NSA-USAGE"
	CodeRequest    Code = "NSA-REQUEST"
	CodeURL        Code = "NSA-URL"
	CodeAccount    Code = "NSA-ACCOUNT"
	CodeCredential Code = "NSA-CREDENTIAL"
	CodeNoProfile  Code = "NSA-NOPROFILE"
	CodeNoVault    Code = "NSA-NOVAULT"
	CodeNotFound   Code = "NSA-NOTFOUND"
	CodeExists     Code = "NSA-EXISTS"
	CodeLocked     Code = "NSA-LOCKED"
	CodePassphrase Code = "NSA-PASSPHRASE"
	CodeProof      Code = "NSA-PROOF"
	CodeConfirm    Code = "NSA-CONFIRM"
	CodeTOTP       Code = "NSA-TOTP"
	CodeDeclined   Code = "NSA-DECLINED"
	CodeKeyring    Code = "NSA-KEYRING"
	CodeKey        Code = "NSA-KEY"
	CodeBackoff    Code = "NSA-BACKOFF"
	CodeLimited    Code = "NSA-LIMITED"
	CodeDenied     Code = "NSA-DENIED"
	CodePolicy     Code = "NSA-POLICY"
	CodeAsk        Code = "NSA-ASK"
	CodeReadOnly   Code = "NSA-READONLY"
	CodeHost       Code = "NSA-HOST"
	CodePeer       Code = "NSA-PEER"
	CodeAgent      Code = "NSA-AGENT"
	CodeVersion    Code = "NSA-VERSION"
	CodeRunning    Code = "NSA-RUNNING"
	CodeSocket     Code = "NSA-SOCKET"
	CodeUnsafe     Code = "NSA-UNSAFE"
	CodeNetSuite   Code = "NSA-NETSUITE"
	CodeNetwork    Code = "NSA-NETWORK"
	CodeAudit      Code = "NSA-AUDIT"
	CodeAuditBad   Code = "NSA-AUDIT-BROKEN"
	CodeDamaged    Code = "NSA-VAULT-DAMAGED"
	CodeNewer      Code = "NSA-VAULT-NEWER"
	CodeRollback   Code = "NSA-ROLLBACK"
	CodeMemory     Code = "NSA-MEMORY"
	CodeFull       Code = "NSA-FULL"
	CodeExpired    Code = "NSA-EXPIRED"
	CodeStale      Code = "NSA-STALE"
	CodeConsent    Code = "NSA-CONSENT"
	CodeCheck      Code = "NSA-CHECK"
	CodeGrant      Code = "NSA-GRANT"
	CodeGrantScope Code = "NSA-GRANT-SCOPE"
	CodeRevoked    Code = "NSA-REVOKED"
)

// Meaning is one row of the error table: what a code is on each surface.
type Meaning struct {
	Code Code
	// GRPC is the status code of the RPC.
	GRPC codes.Code
	// HTTP is the status of the JSON form.
	HTTP int
	// Exit is the exit code of the command line.
	Exit int
	// Text is one sentence for people.
	Text string
}

// OtherSocket is what an agent answers on one of its two sockets to a call of the other.
const OtherSocket = "the call belongs to the other socket"

// Meanings returns the error table, the only one: agent, client and command line
// all read it.
func Meanings() []Meaning {
	return []Meaning{
		{CodeInternal, codes.Internal, 500, 1, "something failed that should not have"},
		{CodeUsage, codes.InvalidArgument, 400, 2, "the command or its flags are not right"},
		{CodeRequest, codes.InvalidArgument, 400, 2, "the request is malformed"},
		{CodeURL, codes.InvalidArgument, 400, 2, "the URL cannot be signed as it stands"},
		{CodeAccount, codes.InvalidArgument, 400, 2, "the account ID has a form that NetSuite does not use"},
		{CodeCredential, codes.InvalidArgument, 400, 2, "the credential is incomplete or does not fit together"},
		{CodeNoProfile, codes.NotFound, 404, 3, "there is no such profile"},
		{CodeNoVault, codes.NotFound, 404, 3, "there is no vault yet"},
		{CodeNotFound, codes.NotFound, 404, 3, "there is no such thing"},
		{CodeExists, codes.AlreadyExists, 409, 1, "the name is taken"},
		{CodeLocked, codes.FailedPrecondition, 409, 4, "the vault is locked"},
		{CodePassphrase, codes.FailedPrecondition, 409, 4, "the passphrase does not open the vault"},
		{CodeProof, codes.FailedPrecondition, 409, 4, "the passphrase has to be given again for this"},
		{CodeConfirm, codes.FailedPrecondition, 409, 6, "somebody at a terminal has to say yes to this"},
		{CodeTOTP, codes.FailedPrecondition, 409, 4, "a code of the authenticator app is needed, or it is wrong"},
		{CodeDeclined, codes.FailedPrecondition, 409, 6, "somebody said no, or nobody answered in time"},
		{CodeKeyring, codes.FailedPrecondition, 409, 4, "the OS keyring did not give the vault's share"},
		{CodeKey, codes.FailedPrecondition, 409, 4, "the key file or recovery code does not open the vault"},
		{CodeBackoff, codes.ResourceExhausted, 429, 4, "too many wrong passphrases or codes; wait"},
		{CodeLimited, codes.ResourceExhausted, 429, 1, "too much at once"},
		{CodeDenied, codes.PermissionDenied, 403, 5, "policy does not allow it"},
		{CodeAsk, codes.FailedPrecondition, 409, 6, "somebody has to approve it first"},
		{CodePolicy, codes.InvalidArgument, 400, 2, "the policy is malformed"},
		{CodeReadOnly, codes.PermissionDenied, 403, 5, "the profile is limited to reading"},
		{CodeHost, codes.PermissionDenied, 403, 5, "the host is not one of the profile's account"},
		{CodePeer, codes.PermissionDenied, 403, 5, "the process at the other end of the socket may not use it"},
		{CodeAgent, codes.Unavailable, 503, 7, "the agent cannot be reached"},
		{CodeVersion, codes.Unimplemented, 501, 7, "the agent does not know this call"},
		{CodeRunning, codes.AlreadyExists, 409, 1, "an agent is running already"},
		{CodeSocket, codes.InvalidArgument, 400, 2, "the socket path cannot be used"},
		{CodeUnsafe, codes.FailedPrecondition, 409, 1, "a file or directory is not safe to use"},
		{CodeNetSuite, codes.Aborted, 502, 8, "NetSuite refused"},
		{CodeNetwork, codes.Unavailable, 503, 1, "NetSuite could not be reached"},
		{CodeAudit, codes.Unavailable, 503, 1, "the audit log cannot be written, so nothing is signed"},
		{CodeAuditBad, codes.DataLoss, 500, 9, "the audit log was changed"},
		{CodeDamaged, codes.DataLoss, 500, 1, "the vault is damaged"},
		{CodeNewer, codes.FailedPrecondition, 409, 1, "the vault was written by a newer nsagent"},
		{CodeRollback, codes.DataLoss, 500, 1, "the vault is older than one seen on this machine"},
		{CodeMemory, codes.ResourceExhausted, 429, 1, "there is too little lockable memory"},
		{CodeFull, codes.ResourceExhausted, 429, 1, "there is no room left"},
		{CodeExpired, codes.FailedPrecondition, 410, 10, "it has expired or was revoked"},
		{CodeStale, codes.FailedPrecondition, 410, 10, "it is from before a refresh of the sandbox"},
		{CodeConsent, codes.FailedPrecondition, 410, 10, "somebody has to allow it in NetSuite, in the browser"},
		{CodeCheck, codes.FailedPrecondition, 409, 9, "a check found problems"},
		{CodeGrant, codes.Unauthenticated, 401, 5, "the unlock token is missing, damaged or not of this vault"},
		{CodeGrantScope, codes.PermissionDenied, 403, 5, "the unlock token does not allow it"},
		{CodeRevoked, codes.FailedPrecondition, 410, 10, "the grant was revoked"},
	}
}

// Lookup returns the row of c; an unknown code counts as NSA-INTERNAL.
func Lookup(c Code) Meaning {
	rows := Meanings()
	for _, m := range rows {
		if m.Code == c {
			return m
		}
	}
	return rows[0]
}
