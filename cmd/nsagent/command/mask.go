package command

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/nsagent/nsagent/internal/pattern"
)

// tokenText is what is an unlock token, a part of one, or an ID token.
var tokenText = pattern.New(`(nst1_)[A-Za-z0-9_-]{20,}|(eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]+`)

// withoutTokens keeps what is said to people free of tokens: one that was put in the place of a
// path or a name would go with the complaint about it into the log of the job.
func withoutTokens(s string) string { return tokenText().ReplaceAllString(s, "$1$2…") }

// fileOf is how the file of a flag that takes a secret is called: never by what the flag was
// given, which may be the secret itself.
func fileOf(flag string) string { return "the file that --" + flag + " names" }

// unreadable returns why a file that is called so cannot be read.
func unreadable(named string, err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return named + " is not there"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return named + " cannot be read: " + errno.Error()
	}
	return plain(err)
}
