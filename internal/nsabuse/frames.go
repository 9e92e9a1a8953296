package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/nsagent/nsagent/internal/rawhttp2"
	"github.com/nsagent/nsagent/internal/realagent"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// streams is how many calls a connection of agent.sock may have open.
const streams = 64

// signMessage is an honest request, for attacks that need one.
func signMessage() []byte {
	b, err := proto.Marshal(&pb.SignRequest{Profile: profile, Url: realagent.URL})
	if err != nil {
		return nil // a message of two strings
	}
	return b
}

// method is the call that worker i opens, on the socket where it goes.
func method(i int) string {
	switch {
	case i%8 == 7:
		return pb.Admin_Unlock_FullMethodName
	case i%2 == 0:
		return pb.Signer_Sign_FullMethodName
	default:
		return pb.Signer_SignStream_FullMethodName
	}
}

// openCalls opens calls whose message is begin and goes no further, and waits until
// they were ended.
func openCalls(ctx context.Context, on target, t *count, connections int, begin []byte) {
	repeat(ctx, connections, func(i int) {
		h := open(ctx, on.socket(i))
		if h == nil {
			return
		}
		defer func() { _ = h.Close() }()
		go func() { _, _ = io.Copy(io.Discard, h) }()
		for stream := uint32(1); ctx.Err() == nil; stream += 2 {
			b := rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, stream, rawhttp2.CallHeaders(method(i)))
			if begin != nil {
				b = append(b, rawhttp2.Frame(rawhttp2.FrameData, 0, stream, begin)...)
			}
			if _, err := h.Write(b); err != nil {
				return
			}
			t.done(1)
			if stream/2%streams == streams-1 {
				pause(ctx, 500*time.Millisecond) // full; go on with what was freed
			}
		}
	})
}

func bodyless(ctx context.Context, on target, t *count) { openCalls(ctx, on, t, 200, nil) }

func halfMessages(ctx context.Context, on target, t *count) {
	m := signMessage()
	openCalls(ctx, on, t, 100, rawhttp2.Message(m[:len(m)/2], false, 200<<10))
}

// lengthLies tells lengths that are not kept, small ones and large ones.
func lengthLies(ctx context.Context, on target, t *count) {
	m := signMessage()
	call := func(i int) []byte {
		return rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, rawhttp2.CallHeaders(method(i)))
	}
	const head = "POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\n"
	lies := []func(i int) (plain bool, said []byte){
		func(i int) (bool, []byte) {
			return false, append(call(i), rawhttp2.Frame(rawhttp2.FrameData, 0, 1, rawhttp2.Message(m, false, 1<<32-1))...)
		},
		func(i int) (bool, []byte) {
			return false, append(call(i), rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 1, rawhttp2.Message(m, false, len(m)-1))...)
		},
		func(i int) (bool, []byte) {
			return false, append(call(i), rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 1, rawhttp2.Message(m, false, len(m)+1))...)
		},
		func(i int) (bool, []byte) {
			return false, append(rawhttp2.FrameHead(1<<24-1, rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1), m...)
		},
		func(i int) (bool, []byte) {
			return false, append(append(call(i), rawhttp2.FrameHead(1<<14, rawhttp2.FrameData, 0, 1)...), m...)
		},
		func(int) (bool, []byte) { return true, []byte(head + "Content-Length: 99999999999\r\n\r\n{}") },
		func(int) (bool, []byte) { return true, []byte(head + "Content-Length: -1\r\n\r\n{}") },
		func(int) (bool, []byte) {
			return true, []byte(head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}")
		},
		func(int) (bool, []byte) {
			return true, []byte(head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffff\r\n{}")
		},
	}
	repeat(ctx, 64, func(i int) {
		plain, said := lies[i/8%len(lies)](i)
		path := on.socket(i)
		if plain {
			path = on.Agent
			if c := dial(ctx, path); c != nil {
				defer func() { _ = c.Close() }()
				_, _ = c.Write(said)
				t.done(1)
				b := make([]byte, 64)
				_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
				if n, _ := c.Read(b); strings.Contains(string(b[:n]), " 200 ") {
					t.through(fmt.Sprintf("a length that lies was answered: %q", said))
				}
			}
			return
		}
		if h := open(ctx, path); h != nil {
			defer func() { _ = h.Close() }()
			_, _ = h.Write(said)
			t.done(1)
			_, _ = h.AwaitEnd(1, 300*time.Millisecond)
		}
	})
}

// headerFlood sends headers that are too many, in one block and in pieces without
// end (CVE-2024-27316), and over plain HTTP.
func headerFlood(ctx context.Context, on target, t *count) {
	block := rawhttp2.CallHeaders(pb.Signer_Sign_FullMethodName, "x", strings.Repeat("x", 16000))
	line := "X: " + strings.Repeat("x", 16000) + "\r\n"
	repeat(ctx, 8, func(i int) {
		if i%4 == 3 {
			c := dial(ctx, on.Agent)
			if c == nil {
				return
			}
			defer func() { _ = c.Close() }()
			_, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: nsagent\r\n")
			for n := 0; err == nil && n < 64; n++ {
				_, err = io.WriteString(c, line)
				t.done(1)
			}
			return
		}
		h := open(ctx, on.socket(i))
		if h == nil {
			return
		}
		defer func() { _ = h.Close() }()
		go func() { _, _ = io.Copy(io.Discard, h) }()
		_, err := h.Write(rawhttp2.Frame(rawhttp2.FrameHeaders, 0, 1, block[:16000]))
		for n := 0; err == nil && n < 4096; n++ {
			_, err = h.Write(rawhttp2.Frame(rawhttp2.FrameContinuation, 0, 1, rawhttp2.HeaderBlock("y", strings.Repeat("y", 15000))))
			t.done(1)
		}
	})
}

// rapidReset opens calls and takes each back at once (CVE-2023-44487).
func rapidReset(ctx context.Context, on target, t *count) {
	message := rawhttp2.Message(signMessage(), false, len(signMessage()))
	cancel := []byte{0, 0, 0, 8}
	repeat(ctx, 8, func(i int) {
		h := open(ctx, on.socket(i))
		if h == nil {
			return
		}
		defer func() { _ = h.Close() }()
		go func() { _, _ = io.Copy(io.Discard, h) }()
		for stream := uint32(1); stream < 1<<20; stream += 2 {
			b := rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, stream, rawhttp2.CallHeaders(method(i)))
			if i%2 == 0 {
				b = append(b, rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, stream, message)...)
			}
			if _, err := h.Write(append(b, rawhttp2.Frame(rawhttp2.FrameReset, 0, stream, cancel)...)); err != nil {
				return
			}
			t.done(1)
		}
	})
}

// controlFlood sends frames that ask for nothing but an acknowledgement, and half
// of the time reads none.
func controlFlood(ctx context.Context, on target, t *count) {
	frames := [][]byte{
		rawhttp2.Frame(rawhttp2.FrameSettings, 0, 0, rawhttp2.Setting(rawhttp2.SettingWindow, 65535)),
		rawhttp2.Frame(rawhttp2.FramePing, 0, 0, make([]byte, 8)),
		rawhttp2.Frame(rawhttp2.FramePriority, 0, 1, []byte{0, 0, 0, 0, 1}),
		rawhttp2.Frame(rawhttp2.FrameWindowUpdate, 0, 0, []byte{0, 0, 0, 1}),
	}
	repeat(ctx, 8, func(i int) {
		h := open(ctx, on.socket(i))
		if h == nil {
			return
		}
		defer func() { _ = h.Close() }()
		if i < 4 {
			go func() { _, _ = io.Copy(io.Discard, h) }()
		}
		many := []byte(strings.Repeat(string(frames[i%len(frames)]), 100))
		for {
			_ = h.SetWriteDeadline(time.Now().Add(time.Second)) // an agent that takes no more is no failure
			if _, err := h.Write(many); err != nil {
				return
			}
			t.done(100)
		}
	})
}

// slowReaders ask and do not read: HTTP requests in one piece, gRPC streams with a
// window of nothing.
func slowReaders(ctx context.Context, on target, t *count) {
	m := rawhttp2.Message(signMessage(), false, len(signMessage()))
	stream, err := proto.Marshal(&pb.SignStreamRequest{Request: &pb.SignRequest{Profile: profile, Url: realagent.URL}})
	if err != nil {
		return // a message of two strings
	}
	many := rawhttp2.Message(stream, false, len(stream))
	repeat(ctx, 32, func(i int) {
		if i%4 == 0 {
			c := dial(ctx, on.Agent)
			if c == nil {
				return
			}
			defer func() { _ = c.Close() }()
			for {
				if _, err := io.WriteString(c, strings.Repeat("GET /v1/status HTTP/1.1\r\nHost: nsagent\r\n\r\n", 100)); err != nil {
					return
				}
				t.done(100)
			}
		}
		h := open(ctx, on.Agent, rawhttp2.Setting(rawhttp2.SettingWindow, 0)...)
		if h == nil {
			return
		}
		defer func() { _ = h.Close() }()
		for n := range uint32(streams) {
			b := rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 2*n+1, rawhttp2.CallHeaders(method(i)))
			if i%2 == 0 {
				b = append(b, rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 2*n+1, m)...)
			} else {
				b = append(b, rawhttp2.Frame(rawhttp2.FrameData, 0, 2*n+1, many)...)
			}
			if _, err := h.Write(b); err != nil {
				return
			}
			t.done(1)
		}
		pause(ctx, time.Second)
	})
}
