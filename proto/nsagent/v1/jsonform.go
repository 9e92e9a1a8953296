package nsagentv1

import "time"

// The JSON form of the answers: what `nsagent … -o json` prints and what the
// JSON API on agent.sock returns. Keys are only ever added.

// Schemas name the shape of each JSON document, with its version.
const (
	SchemaSign            = "nsagent.sign/v1"
	SchemaPassport        = "nsagent.passport/v1"
	SchemaConnectPassword = "nsagent.connect-password/v1"
	SchemaAssertion       = "nsagent.assertion/v1"
	SchemaToken           = "nsagent.token/v1"
	SchemaProfileSummary  = "nsagent.profile-summary/v1"
	SchemaProfile         = "nsagent.profile/v1"
	SchemaCheck           = "nsagent.check/v1"
	SchemaStatus          = "nsagent.status/v1"
	SchemaIntegration     = "nsagent.integration/v1"
	SchemaCertificate     = "nsagent.certificate/v1"
	SchemaCertificates    = "nsagent.certificates/v1"
	SchemaRotation        = "nsagent.cert-rotate/v1"
)

// SignJSON is the JSON form of a SignResponse.
type SignJSON struct {
	Schema        string `json:"schema"`
	Authorization string `json:"authorization"`
	Method        string `json:"method"`
	URL           string `json:"url"`
	Account       string `json:"account"`
	Environment   string `json:"environment"`
	Profile       string `json:"profile"`
	Nonce         string `json:"nonce"`
	Timestamp     int64  `json:"timestamp"`
}

// JSON returns the JSON form.
func (m *SignResponse) JSON() SignJSON {
	return SignJSON{
		Schema: SchemaSign, Authorization: m.GetAuthorization(), Method: m.GetMethod(), URL: m.GetUrl(),
		Account: m.GetAccount(), Environment: m.GetEnvironment(), Profile: m.GetProfile(),
		Nonce: m.GetNonce(), Timestamp: m.GetTimestamp(),
	}
}

// PassportJSON is the JSON form of a PassportResponse; its keys are the element
// names of the TokenPassport.
type PassportJSON struct {
	Schema      string `json:"schema"`
	Account     string `json:"account"`
	ConsumerKey string `json:"consumerKey"`
	Token       string `json:"token"`
	Nonce       string `json:"nonce"`
	Timestamp   int64  `json:"timestamp"`
	Signature   string `json:"signature"`
	Algorithm   string `json:"algorithm"`
	Environment string `json:"environment"`
	Profile     string `json:"profile"`
	XML         string `json:"xml"`
}

// JSON returns the JSON form.
func (m *PassportResponse) JSON() PassportJSON {
	return PassportJSON{
		Schema: SchemaPassport, Account: m.GetAccount(), ConsumerKey: m.GetConsumerKey(), Token: m.GetToken(),
		Nonce: m.GetNonce(), Timestamp: m.GetTimestamp(), Signature: m.GetSignature(), Algorithm: m.GetAlgorithm(),
		Environment: m.GetEnvironment(), Profile: m.GetProfile(), XML: m.GetXml(),
	}
}

// ConnectPasswordJSON is the JSON form of a ConnectPasswordResponse.
type ConnectPasswordJSON struct {
	Schema      string `json:"schema"`
	User        string `json:"user"`
	Password    string `json:"password"`
	ExpiresAt   string `json:"expires_at"`
	Account     string `json:"account"`
	Environment string `json:"environment"`
	Profile     string `json:"profile"`
}

// JSON returns the JSON form.
func (m *ConnectPasswordResponse) JSON() ConnectPasswordJSON {
	return ConnectPasswordJSON{
		Schema: SchemaConnectPassword, User: m.GetUser(), Password: m.GetPassword(), ExpiresAt: *instant(m.GetExpiresAt()),
		Account: m.GetAccount(), Environment: m.GetEnvironment(), Profile: m.GetProfile(),
	}
}

// AssertionJSON is the JSON form of an AssertionResponse.
type AssertionJSON struct {
	Schema        string `json:"schema"`
	Assertion     string `json:"assertion"`
	ExpiresAt     string `json:"expires_at"`
	TokenEndpoint string `json:"token_endpoint"`
	Account       string `json:"account"`
	Environment   string `json:"environment"`
	Profile       string `json:"profile"`
}

// JSON returns the JSON form.
func (m *AssertionResponse) JSON() AssertionJSON {
	return AssertionJSON{
		Schema: SchemaAssertion, Assertion: m.GetAssertion(), ExpiresAt: *instant(m.GetExpiresAt()),
		TokenEndpoint: m.GetTokenEndpoint(), Account: m.GetAccount(), Environment: m.GetEnvironment(), Profile: m.GetProfile(),
	}
}

// TokenJSON is the JSON form of an AccessTokenResponse.
type TokenJSON struct {
	Schema      string   `json:"schema"`
	AccessToken string   `json:"access_token"`
	TokenType   string   `json:"token_type"`
	ExpiresAt   string   `json:"expires_at"`
	Scopes      []string `json:"scopes"`
	Account     string   `json:"account"`
	Environment string   `json:"environment"`
	Profile     string   `json:"profile"`
}

// JSON returns the JSON form.
func (m *AccessTokenResponse) JSON() TokenJSON {
	return TokenJSON{
		Schema: SchemaToken, AccessToken: m.GetAccessToken(), TokenType: m.GetTokenType(), ExpiresAt: *instant(m.GetExpiresAt()),
		Scopes: m.GetScopes(), Account: m.GetAccount(), Environment: m.GetEnvironment(), Profile: m.GetProfile(),
	}
}

// ProfileSummaryJSON is one row of a list of profiles.
type ProfileSummaryJSON struct {
	Schema      string  `json:"schema"`
	Name        string  `json:"name"`
	Account     string  `json:"account"`
	Environment string  `json:"environment"`
	Auth        string  `json:"auth"`
	Access      string  `json:"access"`
	State       string  `json:"state"`
	ExpiresAt   *string `json:"expires_at"`
	LastUsed    *string `json:"last_used"`
}

// JSON returns the JSON form, a list.
func (m *ListProfilesResponse) JSON() []ProfileSummaryJSON {
	rows := make([]ProfileSummaryJSON, 0, len(m.GetProfiles()))
	for _, p := range m.GetProfiles() {
		rows = append(rows, ProfileSummaryJSON{
			Schema: SchemaProfileSummary, Name: p.GetName(), Account: p.GetAccount(), Environment: p.GetEnvironment(),
			Auth: p.GetAuth(), Access: p.GetAccess(), State: p.GetState(), ExpiresAt: instantOrNull(p.GetExpiresAt()), LastUsed: instantOrNull(p.GetLastUsed()),
		})
	}
	return rows
}

// IntegrationJSON is an integration record as profiles show it.
type IntegrationJSON struct {
	Schema      string               `json:"schema"`
	Account     string               `json:"account"`
	Environment string               `json:"environment"`
	Key         string               `json:"key"`
	Endpoint    *string              `json:"endpoint"`
	Profiles    []IntegrationUseJSON `json:"profiles"`
}

// IntegrationUseJSON is a profile that uses an integration record.
type IntegrationUseJSON struct {
	Name string `json:"name"`
	Auth string `json:"auth"`
}

// JSON returns the JSON form, a list.
func (m *ListIntegrationsResponse) JSON() []IntegrationJSON {
	rows := make([]IntegrationJSON, 0, len(m.GetIntegrations()))
	for _, i := range m.GetIntegrations() {
		uses := make([]IntegrationUseJSON, 0, len(i.GetUses()))
		for _, u := range i.GetUses() {
			uses = append(uses, IntegrationUseJSON{Name: u.GetProfile(), Auth: u.GetAuth()})
		}
		rows = append(rows, IntegrationJSON{
			Schema: SchemaIntegration, Account: i.GetAccount(), Environment: i.GetEnvironment(), Key: i.GetKey(), Endpoint: textOrNull(i.GetEndpoint()), Profiles: uses,
		})
	}
	return rows
}

// StatusJSON is the JSON form of a StatusResponse.
type StatusJSON struct {
	Schema  string `json:"schema"`
	Version string `json:"version"`
	PID     int32  `json:"pid"`
	Locked  bool   `json:"locked"`
	// Profiles is null while locked.
	Profiles    *int32            `json:"profiles"`
	Unlock      UnlockJSON        `json:"unlock"`
	MemoryGrade string            `json:"memory_grade"`
	Memory      MemoryJSON        `json:"memory"`
	Audit       AuditJSON         `json:"audit"`
	Sockets     map[string]string `json:"sockets"`
	Sandbox     SandboxJSON       `json:"sandbox"`
	Warnings    []string          `json:"warnings"`
	// Expiring are credentials that have ended or will soon, the next to end first.
	Expiring []ExpiryJSON `json:"expiring"`
	// Policy is the policy in force; null while locked.
	Policy *PolicyJSON `json:"policy"`
	// GrantSockets are told to the owner alone.
	GrantSockets []GrantSocketJSON `json:"grant_sockets"`
	// Bundle is what an agent serves that has no vault; null where it has one.
	Bundle *BundleJSON `json:"bundle"`
}

// BundleJSON tells of a bundle that is served, with the profiles that the caller may use.
type BundleJSON struct {
	Grant     string   `json:"grant"`
	ExpiresAt string   `json:"expires_at"`
	Profiles  []string `json:"profiles"`
}

// GrantSocketJSON is a socket on which a right of its own applies. Grant is null where that
// is the owner's, narrowed, and Profile where all may be used that the grant leaves.
type GrantSocketJSON struct {
	Path      string  `json:"path"`
	Grant     *string `json:"grant"`
	Profile   *string `json:"profile"`
	ExpiresAt string  `json:"expires_at"`
	Standing  bool    `json:"standing"`
}

// PolicyJSON tells of the policy in force. SHA256 is null where there is none, and Fault
// where it can be used.
type PolicyJSON struct {
	SHA256 *string `json:"sha256"`
	Rules  int32   `json:"rules"`
	Fault  *string `json:"fault"`
}

// ExpiryJSON is the end of a credential that is near or has passed: it ends within so
// many days, 0 if it has ended.
type ExpiryJSON struct {
	Profile     string `json:"profile"`
	Account     string `json:"account"`
	Environment string `json:"environment"`
	Auth        string `json:"auth"`
	ExpiresAt   string `json:"expires_at"`
	WithinDays  int32  `json:"within_days"`
}

// UnlockJSON says how the vault is opened and for how long it is.
type UnlockJSON struct {
	Slots    []string `json:"slots"`
	Weakest  string   `json:"weakest"`
	Since    *string  `json:"since"`
	IdleLeft int64    `json:"idle_left"`
	HardLeft int64    `json:"hard_left"`
	Rollback string   `json:"rollback"`
}

// MemoryJSON says how secrets are kept in memory. Size and Used are bytes.
type MemoryJSON struct {
	Mode string `json:"mode"`
	Why  string `json:"why"`
	Size int64  `json:"size"`
	Used int64  `json:"used"`
}

// AuditJSON says where the audit log stands.
type AuditJSON struct {
	OK         bool           `json:"ok"`
	Seq        uint64         `json:"seq"`
	Head       string         `json:"head"`
	Path       string         `json:"path"`
	Durability string         `json:"durability"`
	Checkpoint CheckpointJSON `json:"checkpoint"`
}

// CheckpointJSON is the last checkpoint of the audit log: how many entries it covers and
// when it was signed, and whether more are being made.
type CheckpointJSON struct {
	Size   uint64  `json:"size"`
	Time   *string `json:"time"`
	Active bool    `json:"active"`
}

// SandboxJSON says which kernel fences are up around the agent.
type SandboxJSON struct {
	Seccomp     bool  `json:"seccomp"`
	LandlockABI int32 `json:"landlock_abi"`
}

// JSON returns the JSON form.
func (m *StatusResponse) JSON() StatusJSON {
	s := StatusJSON{
		Schema: SchemaStatus, Version: m.GetVersion(), PID: m.GetPid(), Locked: m.GetLocked(),
		Unlock: UnlockJSON{
			Slots: append([]string{}, m.GetUnlock().GetSlots()...), Weakest: m.GetUnlock().GetWeakest(),
			Since:    instantOrNull(m.GetUnlock().GetSince()),
			IdleLeft: m.GetUnlock().GetIdleLeft(), HardLeft: m.GetUnlock().GetHardLeft(), Rollback: m.GetUnlock().GetRollback(),
		},
		MemoryGrade: m.GetMemory().GetGrade(),
		Memory:      MemoryJSON{Mode: m.GetMemory().GetMode(), Why: m.GetMemory().GetWhy(), Size: m.GetMemory().GetSize(), Used: m.GetMemory().GetUsed()},
		Audit:       auditJSON(m.GetAudit()),
		Sockets:     make(map[string]string),
		Sandbox:     SandboxJSON{Seccomp: m.GetSandbox().GetSeccomp(), LandlockABI: m.GetSandbox().GetLandlockAbi()},
		Warnings:    append([]string{}, m.GetWarnings()...),
		Expiring:    make([]ExpiryJSON, 0, len(m.GetExpiring())),
	}
	for _, x := range m.GetExpiring() {
		s.Expiring = append(s.Expiring, ExpiryJSON{
			Profile: x.GetProfile(), Account: x.GetAccount(), Environment: x.GetEnvironment(), Auth: x.GetAuth(), ExpiresAt: *instant(x.GetExpiresAt()), WithinDays: x.GetWithinDays(),
		})
	}
	s.GrantSockets = make([]GrantSocketJSON, 0, len(m.GetGrantSockets()))
	for _, k := range m.GetGrantSockets() {
		s.GrantSockets = append(s.GrantSockets, GrantSocketJSON{
			Path: k.GetPath(), Grant: textOrNull(k.GetGrant()), Profile: textOrNull(k.GetProfile()), ExpiresAt: *instant(k.GetExpiresAt()), Standing: k.GetStanding(),
		})
	}
	if b := m.GetBundle(); b != nil {
		s.Bundle = &BundleJSON{Grant: b.GetGrant(), ExpiresAt: *instant(b.GetNotAfter()), Profiles: append([]string{}, b.GetProfiles()...)}
	}
	if p := m.GetPolicy(); p != nil {
		s.Policy = &PolicyJSON{SHA256: textOrNull(p.GetSha256()), Rules: p.GetRules(), Fault: textOrNull(p.GetFault())}
	}
	if !m.GetLocked() {
		n := m.GetProfiles()
		s.Profiles = &n
	}
	for _, k := range m.GetSockets() {
		s.Sockets[k.GetName()] = k.GetPath()
	}
	return s
}

// ErrorJSON is the JSON form of a refusal.
type ErrorJSON struct {
	Error ErrorBodyJSON `json:"error"`
}

// ErrorBodyJSON is what went wrong: a stable code, what failed, why in plain
// words, and what to do next.
type ErrorBodyJSON struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Why     string `json:"why,omitempty"`
	Next    string `json:"next,omitempty"`
}

func auditJSON(m *AuditStatus) AuditJSON {
	return AuditJSON{
		OK: m.GetOk(), Seq: m.GetSeq(), Head: m.GetHead(), Path: m.GetPath(), Durability: m.GetDurability(),
		Checkpoint: CheckpointJSON{Size: m.GetCheckpointSize(), Time: instantOrNull(m.GetCheckpointTime()), Active: m.GetCheckpoints()},
	}
}

func instant(unix int64) *string {
	s := time.Unix(unix, 0).UTC().Format(time.RFC3339)
	return &s
}

func instantOrNull(unix int64) *string {
	if unix == 0 {
		return nil
	}
	return instant(unix)
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
