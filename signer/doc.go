// Package signer turns a request, public identifiers, a nonce, a time and a key
// handle into what NetSuite accepts: an OAuth 1.0 Authorization header, a SOAP
// TokenPassport, a SuiteAnalytics Connect password or a JWT client assertion; and the
// headers of the three-step flow and the code challenge of a login.
//
// Everything in it is a pure function. It reads no clock and has no random source,
// opens no file and no connection, and keeps nothing between calls, so that each
// result follows from its arguments alone and can be checked against published
// vectors. It never holds a secret either: secrets stay behind the MAC and
// crypto.Signer handles that the caller passes in. The two exceptions, AppendSigningKey
// and CodeChallenge, work on memory that the caller owns and must wipe.
//
// The guarantee: what Sign returns is right, by RFC 5849, for exactly the URL that
// comes back with it, byte for byte. Inputs that HTTP stacks repair, each in its own
// way, before they send are refused and never repaired here.
//
// What the user must still do:
//   - call CheckHost before Sign, since Sign itself signs for any host;
//   - give a fresh nonce and the present time for every send, retries included,
//     since NetSuite remembers each (nonce, timestamp) pair for a user;
//   - send the URL as returned, unchanged, and follow no redirect with the header; a
//     client that respells escapes in a path (Python's urllib3 makes %2F of %2f, and
//     requests makes ~ of %7E) must be given them in its own spelling;
//   - bind a JSON or XML body by other means: OAuth 1.0 does not sign it.
package signer
