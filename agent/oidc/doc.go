// Package oidc verifies the ID tokens that CI services give to their jobs (OpenID
// Connect Core 1.0), so that a grant can be bound to one repository, branch or
// environment.
//
// # Guarantee
//
// An Identity that Verify returns was signed with RS256 or ES256 by a key of an issuer
// that is configured, for this vault and no other audience, and is good at the time that
// the caller gave. Keys are pinned, or fetched through the gateway: the package opens no
// socket. The token is read inside secret.Do and is part of no error.
//
// # What the user must still do
//
// Let each Identity.ID be used once, durably, before anything is given for it; call
// Admit with the grant; and clear every request against its claims.
package oidc
