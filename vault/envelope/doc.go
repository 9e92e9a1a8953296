// Package envelope seals and opens what a vault holds: records, the keys that
// wrap them, the key slots, grants, the policy and the signed manifest. It knows nothing of files,
// keyrings or processes: bytes in, bytes out.
//
// # Guarantee
//
// Whoever holds the encoded vault and none of the unlock shares learns the
// number of records, their padded sizes and the kinds of the key slots, and can
// change nothing unseen: every byte is covered by the signed manifest, and every
// key and secret is bound by its associated data to its vault, record, version
// and part. Each failure to open gives ErrOpen and nothing else.
//
// # Keys
//
//	slot (keyring | passphrase | keyring+passphrase)
//	  └─ VRK, vault root key ── HKDF ──> Ed25519 key that signs the manifest
//	       ├─ CK of the sign-only part ── metadata
//	       │    └─ DEK of a version ── content: what is opened at unlock
//	       ├─ CK of the raw part
//	       │    └─ DEK of a version ── content: what is opened to rotate
//	       ├─ HKDF ──> Ed25519 key that signs grants, key of what they say of themselves
//	       └─ key of the policy
//	wrap key of a grant and a record ── CK of the sign-only part
//	machine key ── HMAC ──> key of the policy, once more
//
// # Bytes
//
//	sealed   = 01 ‖ nonce(24) ‖ commitment(32) ‖ XChaCha20-Poly1305 ciphertext and tag
//	root     = [header, [*slot], manifest(bstr), signature(64), [base(32), links(32 each)]]
//	header   = ["nsagent vault", 1, 1, vault id(16), public key(32), created]
//	slot     = [slot id(16), kind, [algorithm, version, KiB, time, threads], salt, sealed VRK]
//	manifest = ["nsagent/v1 manifest", vault id, generation, tree(32), previous(32)]
//	record   = [3, 1, record id(16), sealed metadata, [*part]]
//	part     = ["sign-only" | "raw", sealed CK, [*[version, sealed DEK, sealed content]]]
//	metadata = [name, kind, created, [*part name], [*[version, created]], meta]
//	grant    = [4, 1, grant id(16), issuer(32), sealed meta, (record id(16) ‖ sealed CK)*]
//	policy   = [5, 1, vault id(16), sealed key, sealed key | "", sealed text]
//
// All of it is CBOR in core deterministic encoding, arrays and no maps. The
// version stands in the header and in every associated data. docs/vault-format.md
// says it in full, with the order of the checks and worked values.
//
// # What the user must still do
//
// Compare generation and manifest hash with what the machine has seen before
// (Root.HashAt), keep the VRK in the arena no longer than unlocked, and give the
// KDF's memory back (secret.ReleaseMemory) after opening a passphrase slot.
package envelope
