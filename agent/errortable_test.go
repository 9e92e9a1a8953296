package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/peercred"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// refusing is a Signer that refuses with the error that the profile names.
type refusing struct {
	pb.UnimplementedSignerServer
	*Agent
	errors map[string]error
}

func (s refusing) Sign(_ context.Context, q *pb.SignRequest) (*pb.SignResponse, error) {
	return nil, s.reply(s.errors[q.GetProfile()])
}

func (s refusing) SignStream(stream pb.Signer_SignStreamServer) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil //nolint:nilerr // the test is over
		}
		s.received(stream.Context())
		e := s.refuse(s.errors[m.GetRequest().GetProfile()]).message()
		if err := stream.Send(&pb.SignStreamResponse{Id: m.GetId(), Outcome: &pb.SignStreamResponse_Error{Error: e}}); err != nil {
			return err
		}
	}
}

// identifying is a listener whose connections know their peer, as the agent's do.
type identifying struct{ *net.UnixListener }

func (l identifying) Accept() (net.Conn, error) {
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	p, err := peercred.Identify(conn)
	if err != nil {
		return nil, err
	}
	return peercred.NewConn(conn, p), nil
}

// refusingAgent serves errors through the agent's own servers, and returns a client
// for each protocol.
func refusingAgent(t *testing.T, refusals map[string]error) (*client.Client, *http.Client) {
	t.Helper()
	f := start(t)
	dir, err := os.MkdirTemp("", "nsa")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listen := func(name string) *net.UnixListener {
		l, err := bind(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	s := f.agent.newServer(agentLimits(), pb.Signer_ServiceDesc, func(*caller) error { return nil })
	pb.RegisterSignerServer(s, refusing{Agent: f.agent, errors: refusals})
	overGRPC, overHTTP := listen("grpc"), listen("http")
	go func() { _ = s.Serve(identifying{overGRPC}) }()
	t.Cleanup(s.Stop)
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, f.agent.refuse(refusals[r.URL.Query().Get("profile")]))
	}), ReadHeaderTimeout: handshakeTime}
	go func() { _ = h.Serve(overHTTP) }()
	t.Cleanup(func() { _ = h.Close() })
	c, err := client.Dial(t.Context(), client.WithSocket(filepath.Join(dir, "grpc")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, overUnix(filepath.Join(dir, "http"))
}

// TestErrorTable sends every code through a real connection of each kind: the same
// code, message, reason and next step arrive, with the status of the table, and the
// client's sentinel matches.
func TestErrorTable(t *testing.T) {
	refusals := make(map[string]error)
	for _, m := range pb.Meanings() {
		refusals[string(m.Code)] = refuse(errors.New("cause"), m.Code, "message of "+string(m.Code), "why: \"quoted\", é", "next:  nsagent x")
	}
	c, h := refusingAgent(t, refusals)
	stream, err := c.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	for _, m := range pb.Meanings() {
		want := &client.Error{Code: m.Code, Message: "message of " + string(m.Code), Why: "why: \"quoted\", é", Next: "next:  nsagent x"}
		for how, sign := range map[string]func(context.Context, client.Request) (*pb.SignResponse, error){"call": c.Sign, "stream": stream.Sign} {
			_, err := sign(t.Context(), client.Request{Profile: string(m.Code), URL: sandboxURL})
			got := (*client.Error)(nil)
			if !errors.As(err, &got) || got.Code != want.Code || got.Message != want.Message || got.Why != want.Why || got.Next != want.Next {
				t.Errorf("%s, %s: got %#v, want %#v", m.Code, how, got, want)
				continue
			}
			if !errors.Is(err, want) || errors.Is(err, &client.Error{Code: "NSA-OTHER"}) {
				t.Errorf("%s, %s: errors.Is goes wrong", m.Code, how)
			}
			for _, s := range sentinels() {
				if matches := errors.Is(err, s.err); matches != (s.code == m.Code) {
					t.Errorf("%s, %s: errors.Is(%v): got %t", m.Code, how, s.err, matches)
				}
			}
			if st, ok := status.FromError(errors.Unwrap(got)); how == "call" && (!ok || st.Code() != m.GRPC) {
				t.Errorf("%s: gRPC status %v, want %s", m.Code, st, m.GRPC)
			}
		}
		r, err := h.Get("http://nsagent/?profile=" + string(m.Code))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil || r.StatusCode != m.HTTP || jsonCode(b) != string(m.Code) {
			t.Errorf("%s: got HTTP %d %s, %v; want %d", m.Code, r.StatusCode, b, err, m.HTTP)
		}
	}
}

type sentinel struct {
	code pb.Code
	err  error
}

// sentinels are those of package client, each with its code.
func sentinels() []sentinel {
	return []sentinel{
		{pb.CodeLocked, client.ErrLocked}, {pb.CodePassphrase, client.ErrPassphrase}, {pb.CodeKeyring, client.ErrKeyring}, {pb.CodeKey, client.ErrKey},
		{pb.CodeNoProfile, client.ErrNoProfile}, {pb.CodeNoVault, client.ErrNoVault}, {pb.CodeDenied, client.ErrDenied},
		{pb.CodeReadOnly, client.ErrReadOnly}, {pb.CodePolicy, client.ErrPolicy}, {pb.CodeAsk, client.ErrAsk}, {pb.CodeHost, client.ErrHost}, {pb.CodeURL, client.ErrURL}, {pb.CodeRequest, client.ErrRequest},
		{pb.CodeExpired, client.ErrExpired}, {pb.CodeAudit, client.ErrAudit}, {pb.CodeLimited, client.ErrLimited}, {pb.CodeAgent, client.ErrAgent},
		{pb.CodeVersion, client.ErrVersion},
	}
}

// TestErrorTableIsOne: codes are unique and well-formed, and what a code is on one
// surface fits what it is on the others.
func TestErrorTableIsOne(t *testing.T) {
	form := regexp.MustCompile(`^NSA-[A-Z]+(-[A-Z]+)?$`)
	statuses := map[codes.Code][]int{
		codes.InvalidArgument: {400}, codes.PermissionDenied: {403}, codes.NotFound: {404}, codes.AlreadyExists: {409},
		codes.FailedPrecondition: {409, 410}, codes.ResourceExhausted: {429}, codes.Internal: {500}, codes.DataLoss: {500},
		codes.Unauthenticated: {401}, codes.Unimplemented: {501}, codes.Aborted: {502}, codes.Unavailable: {503},
	}
	seen := make(map[pb.Code]bool)
	for _, m := range pb.Meanings() {
		if seen[m.Code] || !form.MatchString(string(m.Code)) || m.Text == "" {
			t.Errorf("%s: twice, malformed, or without a text", m.Code)
		}
		seen[m.Code] = true
		fits := false
		for _, s := range statuses[m.GRPC] {
			fits = fits || s == m.HTTP
		}
		if !fits {
			t.Errorf("%s: gRPC %s and HTTP %d do not fit", m.Code, m.GRPC, m.HTTP)
		}
		if m.Exit < 1 || m.Exit > 10 {
			t.Errorf("%s: exit code %d", m.Code, m.Exit)
		}
		if got := pb.Lookup(m.Code); got != m {
			t.Errorf("Lookup(%s): got %+v", m.Code, got)
		}
	}
	if got := pb.Lookup("NSA-FROM-THE-FUTURE"); got.Code != pb.CodeInternal {
		t.Errorf("Lookup of an unknown code: got %s", got.Code)
	}
}

// TestSentinelsHaveCodes: every sentinel that crosses the boundary arrives as the
// code of its row, whatever was said around it, and an error that no row knows
// tells nothing.
func TestSentinelsHaveCodes(t *testing.T) {
	refusals := map[string]error{"unknown": errors.New("a detail that is nobody's business")}
	for i, r := range rows() {
		refusals[fmt.Sprint(i)] = fmt.Errorf("doing one thing: %w", fmt.Errorf("doing another: %w", r.sentinel))
	}
	c, _ := refusingAgent(t, refusals)
	for i, r := range rows() {
		_, err := c.Sign(t.Context(), client.Request{Profile: fmt.Sprint(i), URL: sandboxURL})
		if got := errorCode(err); got != string(r.code) {
			t.Errorf("%v: got %s, want %s", r.sentinel, got, r.code)
		}
		if r.message == "" || pb.Lookup(r.code).Code != r.code {
			t.Errorf("%v: no message, or a code without a row: %s", r.sentinel, r.code)
		}
		for j, other := range rows()[:i] {
			if errors.Is(r.sentinel, other.sentinel) {
				t.Errorf("row %d (%v) is never reached: row %d (%v) comes first", i, r.sentinel, j, other.sentinel)
			}
		}
	}
	_, err := c.Sign(t.Context(), client.Request{Profile: "unknown", URL: sandboxURL})
	if got := (*client.Error)(nil); !errors.As(err, &got) || got.Code != pb.CodeInternal || got.Why != "" || regexp.MustCompile("detail|business").MatchString(err.Error()) {
		t.Errorf("an unknown error: got %v", err)
	}
	if code, _, why, _ := Explain(socketpath.ErrTooLong); code != pb.CodeSocket || why == "" {
		t.Errorf("Explain: got %s, %q", code, why)
	}
}
