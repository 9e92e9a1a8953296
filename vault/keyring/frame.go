package keyring

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Between door and helper goes one frame each way:
//
//	request  version 1 byte, operation 1, length of item 1, length of value 1, item, value
//	answer   version 1 byte, status 1, length of text 1, length of value 1, text, value
//
// A value is raw bytes; only Set has one in its request, only Get in its answer.
const (
	version    = 1
	headerSize = 4

	// MaxValue is the size in bytes of the largest value: 64 characters in base64.
	MaxValue = 48
	maxItem  = 64
	maxText  = 200
)

// Operations.
const (
	opGet    = 'g'
	opSet    = 's'
	opDelete = 'd'
)

// statusOK is the status of an answer without an error; the others are those of
// kinds.
const statusOK = 0

// errFrame is what both sides make of bytes that are no frame.
var errFrame = errors.New("malformed frame")

// validItem reports whether name can name an item: lower-case letters, digits, and
// after the first one also . / _ and -.
func validItem(name string) bool {
	if len(name) == 0 || len(name) > maxItem {
		return false
	}
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || strings.IndexByte("./_-", c) < 0) {
			return false
		}
	}
	return true
}

// appendRequest appends the frame of a request up to its value, which has n bytes
// and is to be written after it.
func appendRequest(b []byte, op byte, item string, n int) ([]byte, error) {
	if !validItem(item) {
		return nil, fmt.Errorf("%w: item %q", ErrRequest, item)
	}
	if n > MaxValue {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, MaxValue)
	}
	if (op == opSet) != (n > 0) {
		return nil, fmt.Errorf("%w: value of %d bytes", ErrRequest, n)
	}
	b = append(b, version, op, byte(len(item)), byte(n)) // #nosec G115 -- both are small
	return append(b, item...), nil
}

// request is what a helper reads. Its value lies in the buffer it was read into.
type request struct {
	op    byte
	item  string
	value []byte
}

// requestSize is the size of the largest request.
const requestSize = headerSize + maxItem + MaxValue

// readRequest reads one request into buf, which the caller wipes.
func readRequest(r io.Reader, buf *[requestSize]byte) (request, error) {
	header := buf[:headerSize]
	if _, err := io.ReadFull(r, header); err != nil {
		return request{}, err
	}
	op, items, values := header[1], int(header[2]), int(header[3])
	if header[0] != version || items > maxItem || values > MaxValue {
		return request{}, errFrame
	}
	body := buf[headerSize : headerSize+items+values]
	if _, err := io.ReadFull(r, body); err != nil {
		return request{}, err
	}
	req := request{op: op, item: string(body[:items]), value: body[items:]}
	known := op == opGet || op == opSet || op == opDelete
	if !known || !validItem(req.item) || (op == opSet) != (values > 0) {
		return request{}, errFrame
	}
	return req, nil
}

// answer is the part of an answer that holds no secret. Its value follows.
type answer struct {
	status byte
	text   string // printable ASCII
	value  int    // length
}

// appendAnswer appends the frame of an answer up to its value, which has n bytes
// and is to be written after it.
func appendAnswer(b []byte, err error, n int) []byte {
	status, text := encodeError(err)
	b = append(b, version, status, byte(len(text)), byte(n)) // #nosec G115 -- both are small
	return append(b, text...)
}

// readAnswer reads one answer up to its value.
func readAnswer(r io.Reader) (answer, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return answer{}, err
	}
	a := answer{status: header[1], value: int(header[3])}
	if header[0] != version || header[2] > maxText || a.value > MaxValue || a.status != statusOK && a.value > 0 {
		return answer{}, errFrame
	}
	text := make([]byte, header[2])
	if _, err := io.ReadFull(r, text); err != nil {
		return answer{}, err
	}
	a.text = string(text)
	if a.text != printable(a.text) || a.status == statusOK && a.text != "" {
		return answer{}, errFrame
	}
	if a.status != statusOK && sentinel(a.status) == nil {
		return answer{}, errFrame
	}
	return a, nil
}

// encodeError returns the status of an error and what its text says beyond that.
func encodeError(err error) (status byte, text string) {
	if err == nil {
		return statusOK, ""
	}
	for _, k := range kinds() {
		if !errors.Is(err, k.err) {
			continue
		}
		if err.Error() == k.err.Error() {
			return k.status, ""
		}
		return k.status, printable(strings.TrimPrefix(err.Error(), k.err.Error()+": "))
	}
	return encodeError(fmt.Errorf("%w: %w", ErrUnavailable, err))
}

// decodeError is the reverse of encodeError.
func (a answer) decodeError() error {
	if a.status == statusOK {
		return nil
	}
	if a.text == "" {
		return sentinel(a.status)
	}
	return fmt.Errorf("%w: %s", sentinel(a.status), a.text)
}

// sentinel returns the error of a status, or nil.
func sentinel(status byte) error {
	for _, k := range kinds() {
		if k.status == status {
			return k.err
		}
	}
	return nil
}

// printable returns at most maxText bytes of s with anything but printable ASCII
// replaced: the text comes from programs on the bus and ends in terminals and logs.
func printable(s string) string {
	b := []byte(s)
	if len(b) > maxText {
		b = b[:maxText]
	}
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}
