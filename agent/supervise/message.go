package supervise

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A message is one packet: a request of the agent or the answer of the parent.
//
//	0     kind: 'K', 'G', 'X', 'A' start a keyring helper, a gateway, an exchanger, a prompter;
//	      'E' tell an executable; 'P' tell about a process; 'L' listen at a path, 'U' listen there no more; 'R' the agent serves,
//	      which has no answer; in answers also '!' for a failure
//	1-4   number of the request, big endian; the answer has the same
//	5-    'E' request: process ID, 4 bytes, big endian
//	      'L' and 'U' request: path
//	      'P' request: process ID, and 1 for the hash, else 0;  answer: see Process
//	      'E' answer: path;  '!' answer: why, as text;  the others: nothing
//
// The answer to 'K', 'G', 'X', 'A' and 'L' carries one descriptor.
type message struct {
	kind byte
	seq  uint32
	body []byte
}

const (
	kindKeyring   = 'K'
	kindGateway   = 'G'
	kindExchanger = 'X'
	kindPrompter  = 'A'
	kindExe       = 'E'
	kindProcess   = 'P'
	kindListen    = 'L'
	kindUnlisten  = 'U'
	kindReady     = 'R'
	kindFailure   = '!'

	headSize = 5
	// maxMessage is the longest message, in bytes: a path, what else is told about a
	// process, and the head.
	maxMessage = headSize + unix.PathMax + 1024
)

var errMessage = errors.New("supervise: malformed message")

// carries reports whether an answer of this kind carries a descriptor.
func (m message) carries() bool {
	return m.kind == kindKeyring || m.kind == kindGateway || m.kind == kindExchanger || m.kind == kindPrompter || m.kind == kindListen
}

func (m message) encode() []byte {
	b := append([]byte{m.kind}, binary.BigEndian.AppendUint32(nil, m.seq)...)
	return append(b, m.body...)
}

// parseMessage reads a packet. The body is part of b.
func parseMessage(b []byte) (message, error) {
	if len(b) < headSize || len(b) > maxMessage {
		return message{}, fmt.Errorf("%w: %d bytes", errMessage, len(b))
	}
	m := message{kind: b[0], seq: binary.BigEndian.Uint32(b[1:headSize]), body: b[headSize:]}
	switch m.kind {
	case kindKeyring, kindGateway, kindExchanger, kindPrompter, kindExe, kindProcess, kindListen, kindUnlisten, kindReady, kindFailure:
		return m, nil
	default:
		return message{}, fmt.Errorf("%w: kind %q", errMessage, m.kind)
	}
}

// pid returns the process ID of an 'E' request.
func (m message) pid() (int, error) {
	if len(m.body) != 4 {
		return 0, fmt.Errorf("%w: a process ID of %d bytes", errMessage, len(m.body))
	}
	return int(int32(binary.BigEndian.Uint32(m.body))), nil // #nosec G115 -- the kernel's pid_t
}

// oneDescriptor returns the descriptor that came with a packet, and closes any
// that should not have.
func oneDescriptor(oob []byte) (int, error) {
	var fds []int
	messages, err := unix.ParseSocketControlMessage(oob)
	for _, m := range messages {
		got, e := unix.ParseUnixRights(&m)
		if e == nil {
			fds = append(fds, got...)
		}
	}
	if err == nil && len(fds) == 1 {
		return fds[0], nil
	}
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
	return -1, fmt.Errorf("%w: %d descriptors", errMessage, len(fds))
}
