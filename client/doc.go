// Package client lets a Go program sign NetSuite requests through nsagent,
// without ever holding a secret.
//
// Dial connects to the agent's socket after it has checked that the socket and
// the process behind it belong to the right user. The agent then decides, records
// and signs; what comes back is a header, a TokenPassport, a Connect password or
// a client assertion, each good for one use. Transport is an http.RoundTripper
// that signs every request, and signs anew when it sends a request again.
//
// Errors of the agent are *Error and match the sentinels of this package:
//
//	if errors.Is(err, client.ErrLocked) { … }
//
// The user must send exactly the URL that was signed: any change to the method,
// the URL or a form body after signing makes NetSuite refuse the request.
package client
