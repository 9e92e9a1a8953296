package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// quickTime bounds the one call. The agent answers within milliseconds; one that has just
	// been started, or whose parent is slow to say who asks, may take seconds, and a second
	// call would be a second use.
	quickTime = 20 * time.Second
	// maxQuestion and maxAnswer bound what goes over and what comes back, in bytes. The
	// agent takes 256 KiB.
	maxQuestion = 200 << 10
	maxAnswer   = 1 << 20
)

// signQuickly asks the agent for one signature over its JSON form: one connection
// and two packets, which as a whole process takes a third less time than gRPC does
// for one call. asked is false where it did not come to that; the caller then goes
// the usual way, which also knows what to say of an agent that is not there, and alone
// shows an unlock token.
func (e *env) signQuickly(ctx context.Context, path string, r client.Request) (signed pb.SignJSON, asked bool, err error) {
	if e.getenv("NSAGENT_SOCK_UID") != "" || !utf8.Valid(r.Body) || client.UnlockTokenNamed() {
		return signed, false, nil
	}
	begun := time.Now()
	conn, ok := dialOwn(ctx, path, uint32(os.Geteuid())) // #nosec G115 -- a uid fits
	if !ok {
		return signed, false, nil
	}
	e.connected(path, begun)
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if conn.SetDeadline(time.Now().Add(quickTime)) != nil {
		return signed, false, nil
	}
	question, err := json.Marshal(struct {
		Profile     string `json:"profile,omitzero"`
		Method      string `json:"method"`
		URL         string `json:"url"`
		ContentType string `json:"content_type,omitzero"`
		Body        string `json:"body,omitzero"`
	}{r.Profile, r.Method, r.URL, r.ContentType, string(r.Body)})
	if err != nil || len(question) > maxQuestion {
		return signed, false, nil // text that JSON cannot hold, or not here
	}
	head := fmt.Sprintf("POST /v1/sign HTTP/1.1\r\nHost: nsagent\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(question))
	if _, err := conn.Write(append([]byte(head), question...)); err != nil {
		return signed, false, nil
	}
	return readQuick(conn)
}

// readQuick reads the answer: a signature, or a refusal. Before it may come that the agent
// waits until somebody approves the request; then it takes its time.
func readQuick(conn net.Conn) (signed pb.SignJSON, asked bool, err error) {
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, nil)
	for err == nil && answer.StatusCode == http.StatusContinue {
		_ = conn.SetDeadline(time.Time{})
		answer, err = http.ReadResponse(r, nil)
	}
	if err != nil {
		return signed, false, nil
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return signed, false, nil
	}
	if answer.StatusCode == http.StatusOK {
		err = json.Unmarshal(text, &signed)
		return signed, err == nil && signed.Authorization != "", nil
	}
	var refused pb.ErrorJSON
	if json.Unmarshal(text, &refused) != nil || refused.Error.Code == "" {
		return signed, false, nil
	}
	f := refused.Error
	return signed, true, &client.Error{Code: f.Code, Message: f.Message, Why: f.Why, Next: f.Next}
}

// dialOwn connects to a socket of this very user, and checks that this user also
// listens there, before a byte is sent. ok is false in every other case: package
// client then says what is the matter.
func dialOwn(ctx context.Context, path string, uid uint32) (conn net.Conn, ok bool) {
	if socketpath.CheckSocket(path, uid) != nil {
		return nil, false
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, false
	}
	if server, known := serverUID(conn); !known || server != uid {
		_ = conn.Close()
		return nil, false
	}
	return conn, true
}

// serverUID returns who listens at the other end, as the kernel knows it.
func serverUID(conn net.Conn) (uid uint32, known bool) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *syscall.Ucred
	if raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED) // #nosec G115 -- a descriptor fits
	}) != nil || err != nil {
		return 0, false
	}
	return cred.Uid, true
}
