// Package unlocktoken mints, narrows, parses and verifies unlock tokens: strings for CI
// runners that open exactly the credentials of a grant, within its caveats.
//
// A token is a chain of signed blocks, Biscuit's construction without its language: the
// authority block is signed by the issuer, each further one by the key that the block
// before names, whose private half is in the token of whoever may add one. So a holder
// can add caveats and drop key shares without asking anybody, and nobody can take any
// away.
//
// # Guarantee
//
// A chain that Verify accepts starts with what the issuer signed, has every block that
// its holder had, and belongs to the challenge of this presentation. A caveat that is
// not known, and one that cannot be evaluated for a request, refuses.
//
// # What the user must still do
//
// Count uses and rates (Counters), look whether the grant was revoked, and wipe tokens:
// shares and the key that narrows are secrets. A presentation sends shares sealed, and
// the key never.
//
// The format is docs/unlock-tokens.md.
package unlocktoken
