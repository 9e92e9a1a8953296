package nsagentv1

// ProfileJSON is the JSON form of a Profile: the keys of `profile add` less the
// secrets, and what the agent adds.
type ProfileJSON struct {
	Schema        string   `json:"schema"`
	Name          string   `json:"name"`
	Account       string   `json:"account"`
	Environment   string   `json:"environment"`
	Auth          string   `json:"auth"`
	Access        string   `json:"access"`
	Owner         string   `json:"owner,omitempty"`
	Note          string   `json:"note,omitempty"`
	Endpoint      *string  `json:"endpoint"`
	CA            *string  `json:"ca"`
	ConsumerKey   string   `json:"consumer_key,omitempty"`
	TokenID       string   `json:"token_id,omitempty"`
	ClientID      string   `json:"client_id,omitempty"`
	CertificateID string   `json:"certificate_id,omitempty"`
	Certificate   string   `json:"certificate,omitempty"`
	Scopes        []string `json:"scopes,omitempty"`
	Alg           string   `json:"alg,omitempty"`
	Hosts         []string `json:"hosts,omitempty"`
	Header        string   `json:"header,omitempty"`
	RedirectURI   string   `json:"redirect_uri,omitempty"`
	Client        string   `json:"client,omitempty"`
	Role          string   `json:"role,omitempty"`
	Entity        string   `json:"entity,omitempty"`
	AuthorizedAt  *string  `json:"authorized_at,omitempty"`
	RefreshedAt   *string  `json:"refreshed_at,omitempty"`
	Consent       string   `json:"consent,omitempty"`
	CreatedAt     *string  `json:"created_at"`
	ExpiresAt     *string  `json:"expires_at"`
	LastUsed      *string  `json:"last_used"`
	// StaleSince is left out unless the sandbox was refreshed since.
	StaleSince *string `json:"stale_since,omitempty"`
	// Versions are those of the secret that are kept, the current one first.
	Versions []VersionJSON `json:"versions"`
	// RotateAfter is in seconds.
	RotateAfter     int64         `json:"rotate_after,omitzero"`
	NextCertificate string        `json:"next_certificate_id,omitempty"`
	Retired         []RetiredJSON `json:"retired,omitempty"`
}

// VersionJSON says of a version of a secret what is not secret.
type VersionJSON struct {
	Version uint64 `json:"version"`
	State   string `json:"state"`
	Since   string `json:"since"`
	// Until is null for the current version.
	Until *string `json:"until"`
}

// JSON returns the JSON form.
func (m *Profile) JSON() ProfileJSON {
	versions := make([]VersionJSON, 0, len(m.GetVersions()))
	for _, v := range m.GetVersions() {
		versions = append(versions, VersionJSON{Version: v.GetNumber(), State: v.GetState(), Since: *instant(v.GetSince()), Until: instantOrNull(v.GetUntil())})
	}
	return ProfileJSON{
		RotateAfter: m.GetRotateAfter(), NextCertificate: m.GetNextCertificate().GetCertificateId(), Retired: retiredForm(m.GetRetired()),
		Versions: versions, Hosts: m.GetHosts(), Header: m.GetHeader(), RedirectURI: m.GetRedirectUri(), Client: m.GetClient(), Role: m.GetRole(), Entity: m.GetEntity(),
		AuthorizedAt: instantOrNull(m.GetAuthorizedAt()), RefreshedAt: instantOrNull(m.GetRefreshedAt()), Consent: m.GetConsent(),
		Schema: SchemaProfile, Name: m.GetName(), Account: m.GetAccount(), Environment: m.GetEnvironment(),
		Auth: m.GetAuth(), Access: m.GetAccess(), Owner: m.GetOwner(), Note: m.GetNote(),
		Endpoint: textOrNull(m.GetEndpoint()), CA: textOrNull(m.GetCa()),
		ConsumerKey: m.GetConsumerKey(), TokenID: m.GetTokenId(), ClientID: m.GetClientId(),
		CertificateID: m.GetCertificateId(), Certificate: m.GetCertificate(), Scopes: m.GetScopes(), Alg: m.GetAlg(),
		CreatedAt: instantOrNull(m.GetCreatedAt()), ExpiresAt: instantOrNull(m.GetExpiresAt()), LastUsed: instantOrNull(m.GetLastUsed()),
		StaleSince: instantOrNull(m.GetStaleSince()),
	}
}
