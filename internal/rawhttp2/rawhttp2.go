// Package rawhttp2 speaks HTTP/2 by hand (RFC 9113), for what no well-behaved
// library sends: tests and the hostile client need frames that lie.
//
// It understands as much of an answer as it takes to see where a call ended. It is
// no client to use for anything else.
package rawhttp2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// Preface opens every HTTP/2 connection (RFC 9113 section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Frame types.
const (
	FrameData         = 0x0
	FrameHeaders      = 0x1
	FramePriority     = 0x2
	FrameReset        = 0x3
	FrameSettings     = 0x4
	FramePing         = 0x6
	FrameGoAway       = 0x7
	FrameWindowUpdate = 0x8
	FrameContinuation = 0x9
)

// Flags.
const (
	FlagEndStream  = 0x1
	FlagAck        = 0x1
	FlagEndHeaders = 0x4
)

// Settings.
const (
	SettingMaxStreams = 0x3
	SettingWindow     = 0x4
)

// Frame returns one frame.
func Frame(kind, flags byte, stream uint32, payload []byte) []byte {
	return append(FrameHead(uint32(len(payload)), kind, flags, stream), payload...) // #nosec G115 -- short
}

// FrameHead returns the nine bytes before a payload of a length that may be a lie.
func FrameHead(length uint32, kind, flags byte, stream uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, length<<8|uint32(kind))
	b = append(b, flags)
	return binary.BigEndian.AppendUint32(b, stream)
}

// Setting returns the payload of a SETTINGS frame with one setting.
func Setting(id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(nil, id), value)
}

// HeaderBlock encodes header fields as literals without indexing (RFC 7541 section
// 6.2.2), which needs no state. fields are names and values in turn.
func HeaderBlock(fields ...string) []byte {
	var b []byte
	text := func(s string) {
		if len(s) < 127 {
			b = append(b, byte(len(s)))
		} else {
			b = append(b, 127)
			n := len(s) - 127
			for ; n >= 128; n /= 128 {
				b = append(b, byte(n%128+128))
			}
			b = append(b, byte(n))
		}
		b = append(b, s...)
	}
	for i := 0; i < len(fields); i += 2 {
		b = append(b, 0)
		text(fields[i])
		text(fields[i+1])
	}
	return b
}

// CallHeaders is the header block of a gRPC call, with more fields if wanted.
func CallHeaders(method string, more ...string) []byte {
	return HeaderBlock(append([]string{
		":method", "POST", ":scheme", "http", ":path", method, ":authority", "nsagent",
		"content-type", "application/grpc", "te", "trailers",
	}, more...)...)
}

// Message is a gRPC message with its five bytes of prefix; declared is the length
// that the prefix tells.
func Message(body []byte, compressed bool, declared int) []byte {
	b := []byte{0}
	if compressed {
		b[0] = 1
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(declared)), body...) // #nosec G115 -- a lie may be any number
}

// Received is a frame that came.
type Received struct {
	Kind, Flags byte
	Stream      uint32
	Payload     []byte
}

// Ends reports whether the frame ends its stream.
func (g Received) Ends() bool {
	return g.Kind == FrameReset || g.Kind == FrameGoAway || (g.Kind == FrameHeaders || g.Kind == FrameData) && g.Flags&FlagEndStream != 0
}

// ReadFrame reads one frame.
func ReadFrame(r io.Reader) (Received, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Received{}, err
	}
	n := binary.BigEndian.Uint32(head[:4]) >> 8
	g := Received{Kind: head[3], Flags: head[4], Stream: binary.BigEndian.Uint32(head[5:]) &^ (1 << 31), Payload: make([]byte, n)}
	_, err := io.ReadFull(r, g.Payload)
	return g, err
}

// Conn is a connection on which the preface was exchanged.
type Conn struct {
	net.Conn
	// MaxStreams is what the server allows.
	MaxStreams uint32
}

// Open exchanges preface and settings on a connection. settings is the payload of
// the SETTINGS frame to send.
func Open(c net.Conn, settings ...byte) (*Conn, error) {
	if _, err := c.Write(slices.Concat([]byte(Preface), Frame(FrameSettings, 0, 0, settings))); err != nil {
		return nil, err
	}
	g, err := ReadFrame(c)
	if err != nil {
		return nil, fmt.Errorf("reading the server's settings: %w", err)
	}
	if g.Kind != FrameSettings {
		return nil, fmt.Errorf("the server began with a frame of type %d", g.Kind)
	}
	h := &Conn{Conn: c}
	for p := g.Payload; len(p) >= 6; p = p[6:] {
		if binary.BigEndian.Uint16(p) == SettingMaxStreams {
			h.MaxStreams = binary.BigEndian.Uint32(p[2:])
		}
	}
	_, err = c.Write(Frame(FrameSettings, FlagAck, 0, nil))
	return h, err
}

// AwaitEnd reads until the stream ends, by itself or with its connection, and
// returns the frame that ended it; the zero one where the connection closed.
func (c *Conn) AwaitEnd(stream uint32, within time.Duration) (Received, error) {
	_ = c.SetReadDeadline(time.Now().Add(within))
	for {
		g, err := ReadFrame(c)
		if err != nil {
			if isTimeout(err) {
				return Received{}, fmt.Errorf("stream %d still open after %s", stream, within)
			}
			return Received{}, nil // closed or reset by the other side
		}
		if g.Ends() && (g.Stream == stream || g.Kind == FrameGoAway) {
			return g, nil
		}
	}
}

// AwaitClose reads until the connection closes and returns how many bytes came.
func AwaitClose(c net.Conn, within time.Duration) (int64, error) {
	_ = c.SetReadDeadline(time.Now().Add(within))
	n, err := io.Copy(io.Discard, c)
	if isTimeout(err) {
		return n, fmt.Errorf("still open after %s", within)
	}
	return n, nil
}

func isTimeout(err error) bool {
	var late net.Error
	return errors.As(err, &late) && late.Timeout()
}
