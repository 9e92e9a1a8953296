// Package nsagentv1 is the wire contract: the messages and services of
// nsagent.proto, the table of error codes, and the JSON form of the answers.
//
// Agent, client and command line all read the same table and the same structs, so
// that a code or a key cannot mean two things.
package nsagentv1
