package pinentry

import (
	"fmt"
	"io"
	"strings"

	"github.com/nsagent/nsagent/internal/secret"
)

const (
	// maxLine is the longest line, in bytes, its end included (Assuan, ASSUAN_LINELENGTH).
	maxLine = 1000
	// maxLines is how many lines an answer may have; a passphrase takes a handful.
	maxLines = 64
	// maxEmptyReads is how often in a row a read may give nothing.
	maxEmptyReads = 100
)

// reply is the kind of a line that a program says.
type reply int

const (
	replyOK     reply = iota // the end of an answer
	replyError               // the end of one that failed
	replyData                // a part of the answer
	replyStatus              // says nothing that matters here
)

// Codes of errors (libgpg-error, err-codes.h.in); the bits above say where they come from.
const (
	codeMask           = 0xFFFF
	codeCancelled      = 99
	codeNotConfirmed   = 114
	codeFullyCancelled = 198
)

// parseLine takes a line apart, without its end. rest is part of line: the data as it is
// escaped. code is that of an error.
func parseLine(line []byte) (kind reply, code int, rest []byte, err error) {
	word, rest := line, line[len(line):]
	for i, c := range line {
		if c == ' ' {
			word, rest = line[:i], line[i+1:]
			break
		}
	}
	switch {
	case is(word, "OK"):
		return replyOK, 0, nil, nil
	case is(word, "D"):
		return replyData, 0, rest, nil
	case is(word, "S"), len(word) > 0 && word[0] == '#':
		return replyStatus, 0, nil, nil
	case is(word, "ERR"):
		code, ok := number(rest)
		if !ok {
			return 0, 0, nil, fmt.Errorf("%w: an error without a code", ErrProtocol)
		}
		return replyError, code, nil, nil
	default: // what it is may be a secret
		return 0, 0, nil, fmt.Errorf("%w: an unknown line", ErrProtocol)
	}
}

// is compares without a copy of p.
func is(p []byte, word string) bool {
	if len(p) != len(word) {
		return false
	}
	for i := range p {
		if p[i] != word[i] {
			return false
		}
	}
	return true
}

// number reads the decimal digits that p begins with, up to a blank or its end.
func number(p []byte) (n int, ok bool) {
	for i, c := range p {
		if c == ' ' && i > 0 {
			break
		}
		if c < '0' || c > '9' || i >= 10 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(p) > 0
}

// failure is what the code of an error means.
func failure(code int) error {
	switch code & codeMask {
	case codeCancelled, codeNotConfirmed, codeFullyCancelled:
		return ErrCancelled
	default: // a timeout among them: nobody has answered
		return fmt.Errorf("%w: error %d", ErrFailed, code)
	}
}

// unescape decodes the data of a line to the end of to, behind the n bytes that are there,
// and returns how many are there then.
func unescape(to []byte, n int, data []byte) (int, error) {
	for i := 0; i < len(data); i++ {
		c := data[i]
		if c == '%' {
			if i+2 >= len(data) {
				return n, fmt.Errorf("%w: half an escape", ErrProtocol)
			}
			high, ok1 := digit(data[i+1])
			low, ok2 := digit(data[i+2])
			if !ok1 || !ok2 {
				return n, fmt.Errorf("%w: not an escape", ErrProtocol)
			}
			c = high<<4 | low
			i += 2
		}
		if n == len(to) {
			return n, ErrTooLong
		}
		to[n] = c
		n++
	}
	return n, nil
}

func digit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	default:
		return 0, false
	}
}

// escape encodes text for a command: what would end a line, and the sign of an escape.
func escape(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", "\x00", "%00").Replace(text)
}

// readLine reads a line into p, a byte at a time, so that nothing behind it is read, and
// returns how long it is without its end.
func readLine(r io.Reader, p []byte) (int, error) {
	for n, empty := 0, 0; ; {
		if n == len(p) {
			return 0, fmt.Errorf("%w: a line of more than %d bytes", ErrProtocol, len(p))
		}
		got, err := r.Read(p[n : n+1])
		switch {
		case got > 0 && p[n] != '\n':
			n++
			empty = 0
		case got > 0 && n > 0 && p[n-1] == '\r':
			return n - 1, nil
		case got > 0:
			return n, nil
		case err != nil:
			return 0, fmt.Errorf("%w: %w", ErrFailed, err)
		default:
			if empty++; empty == maxEmptyReads {
				return 0, fmt.Errorf("%w: %w", ErrFailed, io.ErrNoProgress)
			}
		}
	}
}

// readAnswer reads lines, each into line, to the end of an answer, and decodes its data to
// to. It returns how many bytes that are. Both lie in locked memory.
func readAnswer(r io.Reader, line, to []byte) (int, error) {
	n := 0
	for range maxLines {
		length, err := readLine(r, line)
		if err != nil {
			return 0, err
		}
		var kind reply
		var code int
		secret.Do(func() {
			var data []byte
			if kind, code, data, err = parseLine(line[:length]); err == nil && kind == replyData {
				n, err = unescape(to, n, data)
			}
		})
		switch {
		case err != nil:
			return 0, err
		case kind == replyOK:
			return n, nil
		case kind == replyError:
			return 0, failure(code)
		}
	}
	return 0, fmt.Errorf("%w: more than %d lines", ErrProtocol, maxLines)
}
