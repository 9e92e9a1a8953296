package nstest

// Channel names the way a request came in.
type Channel string

// The channels a Server knows.
const (
	ChannelREST      Channel = "rest"
	ChannelSuiteQL   Channel = "suiteql"
	ChannelRESTlet   Channel = "restlet"
	ChannelSOAP      Channel = "soap"
	ChannelConnect   Channel = "connect"
	ChannelToken     Channel = "token"
	ChannelThreeStep Channel = "3sa"
	// ChannelAuthorize is the page on which a user agrees to the code grant.
	ChannelAuthorize Channel = "authorize"
	// ChannelMCP is the AI Connector Service.
	ChannelMCP Channel = "mcp"
	// ChannelCertificates is the API that lists, creates and revokes certificates.
	ChannelCertificates Channel = "certificates"
)

// Reason says why a request was refused, in one spelling for all channels.
// Verdict.Detail holds the spelling that the Login Audit Trail uses for the
// channel.
type Reason string

// Reasons of token-based authentication.
const (
	ReasonInvalidSignature   Reason = "InvalidSignature"
	ReasonNonceUsed          Reason = "nonce_used"
	ReasonNonceRejected      Reason = "nonce_rejected"
	ReasonInvalidTimestamp   Reason = "InvalidTimestamp"
	ReasonTokenRejected      Reason = "token_rejected"
	ReasonConsumerKeyUnknown Reason = "consumer_key_unknown"
	ReasonConsumerKeyRefused Reason = "consumer_key_refused"
	ReasonUnknownAlgorithm   Reason = "UnknownAlgorithm"
	ReasonParameterRejected  Reason = "parameter_rejected"
	ReasonVersionRejected    Reason = "VersionRejected"
	ReasonMissingFields      Reason = "MissingTokenPassportRequiredFields"
	ReasonPermissionDenied   Reason = "permission_denied"
	ReasonTemporaryLocked    Reason = "temporary_locked"
	ReasonFeatureDisabled    Reason = "FeatureDisabled"
	ReasonAuthFlowRequired   Reason = "AuthorizationFlowRequired"
	ReasonInvalidCallback    Reason = "InvalidCallback"
	ReasonInvalidVerifier    Reason = "InvalidVerifier"
)

// Reasons of OAuth 2.0.
const (
	ReasonMissingKeyID          Reason = "MissingKeyId"
	ReasonMissingKey            Reason = "MissingKey"
	ReasonSignatureValidation   Reason = "SignatureValidation"
	ReasonUnsupportedAlgo       Reason = "UnsupportedAlgo"
	ReasonInvalidIssuer         Reason = "InvalidIssuer"
	ReasonTokenValidityTooBroad Reason = "TokenValidityTooBroad"
	ReasonTokenExpired          Reason = "TokenExpired"
	ReasonTokenNotAcceptable    Reason = "TokenNotAcceptable"
	ReasonScopeMismatched       Reason = "ScopeMismatched"
	ReasonInvalidScope          Reason = "InvalidScope"
	ReasonIntegrationBlocked    Reason = "IntegrationBlocked"
	ReasonAccessTokenExpired    Reason = "AccessTokenExpired"
	ReasonInvalidTokenType      Reason = "InvalidTokenType"
	ReasonInvalidGrantType      Reason = "InvalidGrantType"
	ReasonInvalidRequest        Reason = "InvalidRequest"
	ReasonUnknownIntegration    Reason = "UnknownIntegration"
	ReasonCodeGrantRequired     Reason = "AuthorizationCodeGrantRequired"
	ReasonInvalidRedirectURI    Reason = "InvalidRedirectURI"
	ReasonInvalidState          Reason = "InvalidState"
	ReasonUnsupportedResponse   Reason = "UnsupportedResponseType"
	ReasonExplicitlyDenied      Reason = "AuthorizationExplicitlyDenied"
	ReasonClientAuthentication  Reason = "ClientAuthenticationFailed"
	ReasonClientIDMismatch      Reason = "ClientIdMismatch"
	ReasonInvalidGrant          Reason = "InvalidGrant"
	ReasonRefreshTokenExpired   Reason = "RefreshTokenExpired"
	ReasonInvalidRefreshToken   Reason = "InvalidRefreshToken"
	ReasonTokenBlocked          Reason = "TokenBlocked"
	ReasonEntityOrRole          Reason = "EntityOrRoleDisabled"
)

// Reasons that have no line in the Login Audit Trail.
const (
	ReasonAmbiguous   Reason = "AmbiguousAuthentication"
	ReasonConcurrency Reason = "ConcurrencyLimit"
	ReasonWrongHost   Reason = "WrongHost"
	ReasonBadRequest  Reason = "BadRequest"
	ReasonTooLarge    Reason = "TooLarge"
	ReasonBusy        Reason = "Busy"
	ReasonNotFound    Reason = "NotFound"
	// ReasonMachineGrantRequired is an assertion for an integration record that
	// does not allow the grant type client_credentials.
	ReasonMachineGrantRequired Reason = "ClientCredentialsGrantRequired"
	// ReasonCertificate is a certificate, or a change of one, that breaks a rule.
	ReasonCertificate Reason = "CertificateRejected"
)

// detail returns the spelling of the Login Audit Trail. RESTlets and Connect use
// the lower-case form that Reason itself has; REST and SOAP write NonceUsed; the
// endpoints of the three-step flow have a vocabulary of their own.
//
// Source: NetSuite Help, "TBA and the Login Audit Trail".
func (r Reason) detail(c Channel) string {
	switch c {
	case ChannelREST, ChannelSuiteQL, ChannelSOAP:
		if r == ReasonNonceUsed {
			return "NonceUsed"
		}
	case ChannelThreeStep:
		switch r {
		case ReasonConsumerKeyRefused:
			return "IntegrationBlocked"
		case ReasonConsumerKeyUnknown:
			return "UnknownIntegration"
		case ReasonMissingFields:
			return "MissingRequiredParameter"
		case ReasonNonceRejected:
			return "NonceRejected"
		case ReasonNonceUsed:
			return "NonceUsed"
		case ReasonPermissionDenied:
			return "EntityOrRoleDisabled"
		case ReasonTokenRejected:
			return "TokenRejected"
		}
	}
	return string(r)
}

// refusal is why a request is turned away. It never leaves the package as it is:
// the client gets the general answer of its channel, the Verdict gets this.
type refusal struct {
	reason  Reason
	mistake string // short name of a known mistake, or empty
	explain string
	of      string // what the Login Audit Trail writes behind the reason, or empty
	base    string // base string as the server built it, for InvalidSignature
}

func refuse(reason Reason, explain string) *refusal {
	return &refusal{reason: reason, explain: explain}
}

func mistaken(reason Reason, mistake, explain string) *refusal {
	return &refusal{reason: reason, mistake: mistake, explain: explain}
}
