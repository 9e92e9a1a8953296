package agent

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/rawhttp2"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// sized returns a sign request of exactly n bytes on the wire. Its URL is fine and
// its body is not looked at.
func sized(t *testing.T, n int) *pb.SignRequest {
	t.Helper()
	q := &pb.SignRequest{Url: sandboxURL, ContentType: "application/json"}
	for range 4 { // the length of the length depends on the length
		q.Body = make([]byte, max(0, len(q.Body)+n-proto.Size(q)))
	}
	if got := proto.Size(q); got != n {
		t.Fatalf("made a request of %d bytes, want %d", got, n)
	}
	return q
}

// TestMessageCaps guards I-02: a message over the cap of its socket is refused by
// its size alone, over gRPC and JSON; one at the cap is not.
func TestMessageCaps(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	base := f.countGoroutines()
	c := rawGRPC(t, f.paths.Agent)
	signer := pb.NewSignerClient(c)
	if _, err := signer.Sign(t.Context(), sized(t, maxAgentMessage)); err != nil {
		t.Errorf("Sign with %d bytes: %v", maxAgentMessage, err)
	}
	for _, n := range []int{maxAgentMessage + 1, 5 << 20} {
		if _, err := signer.Sign(t.Context(), sized(t, n)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("Sign with %d bytes: got %v, want ResourceExhausted", n, err)
		}
		s, err := signer.SignStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Send(&pb.SignStreamRequest{Request: sized(t, n)})
		if _, err := s.Recv(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("SignStream with %d bytes: got %v, want ResourceExhausted", n, err)
		}
	}
	// As the client library tells it.
	if _, err := f.signer.Sign(t.Context(), client.Request{URL: sandboxURL, ContentType: "application/x-www-form-urlencoded", Body: make([]byte, maxAgentMessage+1)}); errorCode(err) != string(pb.CodeRequest) {
		t.Errorf("the client's Sign: got %v, want %s", err, pb.CodeRequest)
	}
	a := rawGRPC(t, f.paths.Admin)
	admin := pb.NewAdminClient(a)
	box := func(n int) *pb.UnlockRequest {
		return &pb.UnlockRequest{Passphrase: &pb.Sealed{Field: "passphrase", Box: make([]byte, n)}}
	}
	if _, err := admin.Unlock(t.Context(), box(5<<20)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("Unlock with 5 MiB: got %v, want ResourceExhausted", err)
	}
	if _, err := admin.Unlock(t.Context(), box(200<<10)); status.Code(err) != codes.InvalidArgument { // no such seal key
		t.Errorf("Unlock with 200 KiB: got %v, want InvalidArgument", err)
	}

	h := overUnix(f.paths.Agent)
	post := func(body io.Reader) (int, string) {
		r, err := h.Post("http://nsagent/v1/sign", "application/json", body)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = r.Body.Close() }()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, jsonCode(b)
	}
	object := func(n int) io.Reader {
		const head, tail = `{"url":"` + sandboxURL + `","content_type":"application/json","body":"`, `"}`
		return strings.NewReader(head + strings.Repeat("x", n-len(head)-len(tail)) + tail)
	}
	if code, said := post(object(maxAgentMessage)); code != http.StatusOK {
		t.Errorf("JSON of %d bytes: got %d %s", maxAgentMessage, code, said)
	}
	if code, said := post(object(maxAgentMessage + 1)); code != http.StatusBadRequest || said != string(pb.CodeRequest) {
		t.Errorf("JSON of %d bytes: got %d %s, want 400 %s", maxAgentMessage+1, code, said, pb.CodeRequest)
	}
	if code, said := post(io.LimitReader(zeros{}, 20<<20)); code != http.StatusBadRequest && !strings.Contains(said, "broken pipe") && !strings.Contains(said, "reset") {
		t.Errorf("JSON of 20 MiB in chunks: got %d %s", code, said)
	}
	h.CloseIdleConnections()
	_, _ = c.Close(), a.Close()
	base.back()
	f.sign("acme")
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestLengthLies guards I-03: a length that is declared and not kept costs no
// memory and keeps nobody waiting.
func TestLengthLies(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	base := f.countGoroutines()
	sign, unlock := rawhttp2.CallHeaders(pb.Signer_Sign_FullMethodName), rawhttp2.CallHeaders(pb.Admin_Unlock_FullMethodName)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, c := range []struct {
		name, path string
		head       []byte
		declared   int
		flags      byte
	}{
		{"4 GiB", f.paths.Agent, sign, 1<<32 - 1, 0},
		{"256 KiB + 1", f.paths.Agent, sign, maxAgentMessage + 1, 0},
		{"4 GiB, admin", f.paths.Admin, unlock, 1<<32 - 1, 0},
		{"2 GiB, admin", f.paths.Admin, unlock, 1 << 31, 0},
		{"more than comes", f.paths.Agent, sign, 200 << 10, rawhttp2.FlagEndStream},
		{"more than comes, admin", f.paths.Admin, unlock, 4 << 20, rawhttp2.FlagEndStream},
		{"less than comes", f.paths.Agent, sign, 2, rawhttp2.FlagEndStream},
	} {
		for range 20 {
			w := http2Dial(t, c.path)
			w.send(t, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, c.head), rawhttp2.Frame(rawhttp2.FrameData, c.flags, 1, rawhttp2.Message([]byte("0123456789"), false, c.declared)))
			if g, err := w.AwaitEnd(1, promptly); err != nil || g.Kind == 0 {
				t.Errorf("%s: got %+v, %v; want the call to be ended at once", c.name, g, err)
			}
			_ = w.Close()
		}
	}
	for _, head := range []string{
		"Content-Length: -1", "Content-Length: 2\r\nContent-Length: 3", "Content-Length: 0x2", "Content-Length: 2\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: gzip", "Transfer-Encoding: chunked, chunked",
	} {
		conn := rawDial(t, f.paths.Agent)
		if _, err := fmt.Fprintf(conn, "POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\nConnection: close\r\n%s\r\n\r\n{}\r\n", head); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(handshakeTime + slack))
		b, _ := io.ReadAll(conn)
		if bytes.Contains(b, []byte(" 200 ")) || len(b) == 0 {
			t.Errorf("%q: got %.60q, want a refusal", head, b)
		}
	}
	base.back()
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc) - int64(before.TotalAlloc); grown > 64<<20 { // #nosec G115 -- far from it
		t.Errorf("140 lies made the agent allocate %d MiB", grown>>20)
	}
	f.sign("acme")
}

// TestMalformedCalls: what is no call at all ends by itself, and the agent goes on.
func TestMalformedCalls(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	base := f.countGoroutines()
	before := len(f.entries())
	sign := rawhttp2.CallHeaders(pb.Signer_Sign_FullMethodName)
	badText := []byte{0x0a, 2, 0xff, 0xfe} // profile = a string that is not UTF-8
	valid, err := proto.Marshal(&pb.SignRequest{Url: sandboxURL})
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 4000)
	flood := rawhttp2.CallHeaders(pb.Signer_Sign_FullMethodName, "a", big, "b", big, "c", big, "d", big, "e", big)
	for name, frames := range map[string][][]byte{
		"bad UTF-8":               {rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, sign), rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 1, rawhttp2.Message(badText, false, len(badText)))},
		"no protobuf":             {rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, sign), rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 1, rawhttp2.Message([]byte{0xff, 0xff, 0xff}, false, 3))},
		"compressed":              {rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, rawhttp2.CallHeaders(pb.Signer_Sign_FullMethodName, "grpc-encoding", "gzip")), rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 1, rawhttp2.Message(valid, true, len(valid)))},
		"compressed, unannounced": {rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, sign), rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 1, rawhttp2.Message(valid, true, len(valid)))},
		"two messages":            {rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, sign), rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 1, append(rawhttp2.Message(badText, false, len(badText)), rawhttp2.Message(valid, false, len(valid))...))},
		"20 KB of headers": {
			rawhttp2.Frame(rawhttp2.FrameHeaders, 0, 1, flood[:16000]), rawhttp2.Frame(rawhttp2.FrameContinuation, rawhttp2.FlagEndHeaders, 1, flood[16000:]),
			rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 1, rawhttp2.Message(valid, false, len(valid))),
		},
		"a frame too large":    {rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, make([]byte, 1<<17))},
		"headers for stream 0": {rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 0, sign)},
		"an even stream":       {rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 2, sign)},
		"no header block":      {rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})},
		"GET":                  {rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders|rawhttp2.FlagEndStream, 1, rawhttp2.HeaderBlock(":method", "GET", ":scheme", "http", ":path", pb.Signer_Sign_FullMethodName, ":authority", "x", "content-type", "application/grpc"))},
		"content type of a web form": {rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders|rawhttp2.FlagEndStream, 1, rawhttp2.HeaderBlock(":method", "POST", ":scheme", "http", ":path", pb.Signer_Sign_FullMethodName,
			":authority", "x", "content-type", "application/x-www-form-urlencoded"))},
	} {
		w := http2Dial(t, f.paths.Agent)
		for _, fr := range frames {
			if _, err := w.Write(fr); err != nil {
				break // the agent closed already
			}
		}
		if _, err := w.AwaitEnd(1, promptly); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_ = w.Close()
	}
	for name, said := range map[string]string{
		"20 KB of headers":    "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 21<<10) + "\r\n\r\n",
		"many headers":        "GET /v1/status HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a: b\r\n", 4000) + "\r\n",
		"a long request line": "GET /" + strings.Repeat("x", 21<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"no host":             "GET /v1/status HTTP/1.1\r\n\r\n",
		"HTTP/3":              "GET /v1/status HTTP/3.0\r\nHost: x\r\n\r\n",
		"NULs":                strings.Repeat("\x00", 100) + "\r\n\r\n",
		"TLS":                 "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
	} {
		conn := rawDial(t, f.paths.Agent)
		_, _ = io.WriteString(conn, said)
		_ = conn.SetReadDeadline(time.Now().Add(promptly))
		b, err := io.ReadAll(conn)
		if bytes.Contains(b, []byte(" 200 ")) || err != nil && len(b) == 0 {
			t.Errorf("%s: got %.60q, %v; want a refusal", name, b, err)
		}
		_ = conn.Close()
	}
	base.back()
	if n := len(f.entries()) - before; n != 0 {
		t.Errorf("%d of these reached the agent", n)
	}
	f.sign("acme")
}

// TestSlowReader guards P10: who does not read what it asked for holds up itself.
func TestSlowReader(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	base := f.countGoroutines()
	// HTTP: requests without end in one piece, and nothing is read.
	conn := rawDial(t, f.paths.Agent)
	stuck := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			_, err = io.WriteString(conn, strings.Repeat("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", 100))
		}
		stuck <- err
	}()
	// gRPC: a window of nothing for every stream.
	body, err := proto.Marshal(&pb.SignStreamRequest{Request: &pb.SignRequest{Url: sandboxURL}})
	if err != nil {
		t.Fatal(err)
	}
	w := http2Dial(t, f.paths.Agent, rawhttp2.Setting(rawhttp2.SettingWindow, 0)...)
	for i := range uint32(maxStreams) {
		w.send(t, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 2*i+1, rawhttp2.CallHeaders(pb.Signer_SignStream_FullMethodName)), rawhttp2.Frame(rawhttp2.FrameData, 0, 2*i+1, rawhttp2.Message(body, false, len(body))))
	}
	for range 100 {
		begin := time.Now()
		f.sign("acme")
		if err := f.admin.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.unlock()
		if took := time.Since(begin); took > promptly {
			t.Fatalf("an honest client waited for %s", took)
		}
		if time.Since(begin) > 20*time.Millisecond {
			break // enough rounds were slow ones, which unlocking is
		}
	}
	select {
	case <-stuck: // the agent gave up writing after 5 s
	case <-time.After(2*handshakeTime + slack):
		t.Error("the agent still waits for a reader who never reads")
	}
	_, _ = w.Close(), conn.Close()
	base.back()
	f.sign("acme")
}
