// Package pinentry asks somebody by a pinentry program: the window, or the screen of a
// terminal, that GnuPG asks by. It speaks the Assuan protocol.
//
// An answer that is secret is read from the pipe straight into locked memory, a byte at a
// time, and decoded there; no copy of it lies anywhere else in this process. The program
// is taken for hostile in what it says: lines, their number and the time they take are
// bounded, and what is no answer is an error and never a yes.
//
// The program itself sees the passphrase. Find takes one only that root alone can have put
// where it is, and that root alone can change; so somebody who can write the files of the
// user, the configuration among them, can name no program of their own.
//
// Source: the manual of Assuan, chapter "Client and server commands"; pinentry's manual,
// chapter "Protocol".
package pinentry

import "errors"

// Why there is no answer.
var (
	// ErrCancelled means that somebody said no, or closed the window.
	ErrCancelled = errors.New("pinentry: cancelled")
	// ErrFailed means that the program could not ask: there is no screen, nobody answered
	// in time, or it has ended.
	ErrFailed = errors.New("pinentry: the program could not ask")
	// ErrProtocol means that the program said something that is no answer.
	ErrProtocol = errors.New("pinentry: the program does not keep to the protocol")
	// ErrTooLong means that a text or an answer does not fit.
	ErrTooLong = errors.New("pinentry: too long")
	// ErrProgram means that a program may not be used.
	ErrProgram = errors.New("pinentry: not a program that only root can change")
)
