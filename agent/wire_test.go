package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// HTTP/2 by hand (RFC 9113), for what no well-behaved library sends.

// Frame types and flags.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	frameGoAway       = 0x7
	frameContinuation = 0x9

	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4

	settingMaxStreams = 0x3
	settingWindow     = 0x4
)

// frame returns one frame.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind)) // #nosec G115 -- short
	b = append(b, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

// setting returns the payload of a SETTINGS frame with one setting.
func setting(id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(nil, id), value)
}

// headerBlock encodes header fields as literals without indexing (RFC 7541
// section 6.2.2), which needs no state.
func headerBlock(fields ...string) []byte {
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

// callHeaders is the header block of a gRPC call, with more fields if wanted.
func callHeaders(method string, more ...string) []byte {
	return headerBlock(append([]string{
		":method", "POST", ":scheme", "http", ":path", method, ":authority", "nsagent",
		"content-type", "application/grpc", "te", "trailers",
	}, more...)...)
}

// message is a gRPC message with its five bytes of prefix; declared is the length
// that the prefix tells.
func message(body []byte, compressed bool, declared int) []byte {
	b := []byte{0}
	if compressed {
		b[0] = 1
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(declared)), body...) // #nosec G115 -- a lie may be any number
}

// got is a frame that came.
type got struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

// ends reports whether the frame ends its stream.
func (g got) ends() bool {
	return g.kind == frameReset || g.kind == frameGoAway || (g.kind == frameHeaders || g.kind == frameData) && g.flags&flagEndStream != 0
}

// readFrame reads one frame.
func readFrame(r io.Reader) (got, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return got{}, err
	}
	n := binary.BigEndian.Uint32(head[:4]) >> 8
	g := got{kind: head[3], flags: head[4], stream: binary.BigEndian.Uint32(head[5:]) &^ (1 << 31), payload: make([]byte, n)}
	_, err := io.ReadFull(r, g.payload)
	return g, err
}

// rawDial connects to a socket and speaks no protocol yet.
func rawDial(t testing.TB, path string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("unix", path, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wire is a connection on which the HTTP/2 preface was exchanged.
type wire struct {
	net.Conn
	// maxStreams is what the server allows.
	maxStreams uint32
}

// http2Dial connects and exchanges the preface and settings.
func http2Dial(t testing.TB, path string, settings ...byte) *wire {
	t.Helper()
	w := &wire{Conn: rawDial(t, path)}
	if err := w.open(settings); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wire) open(settings []byte) error {
	if _, err := w.Write(slices.Concat(http2Preface, frame(frameSettings, 0, 0, settings))); err != nil {
		return err
	}
	g, err := readFrame(w)
	if err != nil {
		return fmt.Errorf("reading the server's settings: %w", err)
	}
	if g.kind != frameSettings {
		return fmt.Errorf("the server began with a frame of type %d", g.kind)
	}
	for p := g.payload; len(p) >= 6; p = p[6:] {
		if binary.BigEndian.Uint16(p) == settingMaxStreams {
			w.maxStreams = binary.BigEndian.Uint32(p[2:])
		}
	}
	_, err = w.Write(frame(frameSettings, flagAck, 0, nil))
	return err
}

// send writes frames.
func (w *wire) send(t testing.TB, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if _, err := w.Write(f); err != nil {
			t.Fatalf("writing a frame: %v", err)
		}
	}
}

// awaitEnd reads until the stream ends, by itself or with its connection, and
// returns the frame that ended it; the zero one where the connection closed.
func (w *wire) awaitEnd(stream uint32, within time.Duration) (got, error) {
	_ = w.SetReadDeadline(time.Now().Add(within))
	for {
		g, err := readFrame(w)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return got{}, nil
		}
		if err != nil {
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				return got{}, fmt.Errorf("stream %d still open after %s", stream, within)
			}
			return got{}, nil // reset by the other side
		}
		if g.ends() && (g.stream == stream || g.kind == frameGoAway) {
			return g, nil
		}
	}
}

// awaitClose reads until the connection closes and returns how many bytes came.
func awaitClose(c net.Conn, within time.Duration) (n int64, err error) {
	_ = c.SetReadDeadline(time.Now().Add(within))
	n, err = io.Copy(io.Discard, c)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return n, fmt.Errorf("still open after %s", within)
	}
	return n, nil
}

// unixConn returns c as what it is.
func unixConn(t testing.TB, c net.Conn) *net.UnixConn {
	t.Helper()
	u, ok := c.(*net.UnixConn)
	if !ok {
		t.Fatalf("a connection of type %T", c)
	}
	return u
}
