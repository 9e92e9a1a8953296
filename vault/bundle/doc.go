// Package bundle seals credentials into a file that an unlock token opens, on a machine
// that has no vault. The file is text, and safe to commit.
//
// # Guarantee
//
// Each credential is a record of vault/envelope with a root key of its own: the wrap key
// that the token's share gives. The file holds no key of the vault, and nothing that more
// than one share opens. Every byte of it is covered by the signature of the vault's grant
// key, and Parse takes that key from the file only where the token names it.
//
// # Text
//
//	-----BEGIN NSAGENT BUNDLE-----
//	base64 of body ‖ signature(64), in lines of 64
//	-----END NSAGENT BUNDLE-----
//
//	body  = ["nsagent bundle", 1, vault id(16), grant id(16), issuer(32), authority(32), public(bstr), [*entry]]
//	entry = [credential id(16), record(bstr)]
//
// All of it is CBOR in core deterministic encoding. issuer is the Ed25519 key that signs
// "nsagent/v1 bundle" ‖ 00 ‖ body; authority is the SHA-256 of the grant's first block.
// Entries stand in ascending order. docs/unlock-tokens.md says it in full.
//
// # What the user must still do
//
// Verify the token's chain under Issuer, compare Authority with it, and derive wrap keys
// from nothing but the token. Whoever holds a token and the file can do without this
// program: caveats other than the shares are kept by an honest agent alone.
package bundle
