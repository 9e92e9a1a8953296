// Package client lets a Go program sign NetSuite requests through nsagent,
// without ever holding a secret.
//
// Dial connects to the agent's socket after it has checked that the socket and
// the process behind it belong to the right user. The agent then decides, records
// and signs; what comes back is a header, a TokenPassport, a Connect password or
// a client assertion, each good for one use. Transport is an http.RoundTripper
// that signs every request, and signs anew when it is sent again.
//
// One Client serves a whole program: it is safe for concurrent use, connects again
// after the agent was restarted, and each call ends with its context. A Stream
// signs in bulk. DialAdmin is for programs that unlock the agent or keep its
// profiles.
//
// Errors of the agent are *Error and match the sentinels of this package:
//
//	if errors.Is(err, client.ErrLocked) { … }
//
// Where a context ended the error matches that of the context, and after Close
// ErrClosed.
//
// Who signs without Transport must send exactly the method, URL and form body that
// were signed, once and within five minutes: NetSuite refuses anything else.
// docs/clients.md has more, also for programs in other languages.
package client
