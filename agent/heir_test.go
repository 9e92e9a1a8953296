package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/rawhttp2"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestInheritedConnection guards S-05: once the process that opened a connection
// is gone, whoever holds the descriptor is refused, call by call, over gRPC and
// JSON and on both sockets. While it lives the same calls work.
func TestInheritedConnection(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	for _, c := range []struct{ protocol, socket, calls string }{
		{"json", f.paths.Agent, "sign passport connect-password profiles status"},
		{"grpc", f.paths.Agent, "sign stream passport connect-password profiles status"},
		{"grpc-admin", f.paths.Admin, "seal-key show remove unlock lock stop"},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			p := startRole(t, os.Geteuid(), roleLeave, c.socket, c.protocol)
			if got := p.line(); got != "left" {
				t.Fatalf("the child says %q", got)
			}
			if err := p.cmd.Wait(); err != nil { // it is gone for good
				t.Fatal(err)
			}
			p.tell("go")
			want := ""
			for _, name := range bytes.Fields([]byte(c.calls)) {
				want += fmt.Sprintf("%s %s\n", name, pb.CodePeer)
			}
			if got := p.rest() + "\n"; got != want {
				t.Errorf("calls by the heir of a process that ended: got\n%swant\n%s", got, want)
			}
		})
	}
	// The agent neither locked nor stopped nor lost the profile, and it wrote down
	// the refused uses.
	f.sign("acme")
	denied := 0
	for _, e := range f.entries() {
		if e.Outcome == audit.OutcomeDenied && e.Reason == string(pb.CodePeer) {
			denied++
		}
	}
	if denied < 8 { // 3 uses over JSON, 4 over gRPC, and at least one refused peer
		t.Errorf("denials on record: got %d, want at least 8", denied)
	}

	t.Run("control", func(t *testing.T) {
		p := startRole(t, os.Geteuid(), roleLeave, f.paths.Agent, "json", "stay")
		if got := p.line(); got != "left" {
			t.Fatalf("the child says %q", got)
		}
		p.tell("go")
		if got, want := p.line(), "sign ok"; got != want {
			t.Errorf("while the child lives: got %q, want %q", got, want)
		}
		p = startRole(t, os.Geteuid(), roleLeave, f.paths.Agent, "grpc", "stay")
		if got := p.line(); got != "left" {
			t.Fatalf("the child says %q", got)
		}
		p.tell("go")
		if got, want := p.line(), "sign ok"; got != want {
			t.Errorf("while the child lives: got %q, want %q", got, want)
		}
	})
}

// playLeave connects, makes sure that the agent knows it, leaves the connection to
// a child and ends, unless it is told to stay.
func playLeave(args []string) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: args[0], Net: "unix"})
	if err != nil {
		return err
	}
	protocol := args[1]
	if protocol == "json" {
		if _, err := conn.Write([]byte("GET /v1/status HTTP/1.1\r\nHost: nsagent\r\n\r\n")); err != nil {
			return err
		}
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return err
		}
	} else if _, err := rawhttp2.Open(conn); err != nil {
		return err
	}
	file, err := conn.File()
	if err != nil {
		return err
	}
	heir := exec.Command("/proc/self/exe", roleHeir, protocol)
	heir.ExtraFiles = []*os.File{file}
	heir.Stdin, heir.Stdout, heir.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := heir.Start(); err != nil {
		return err
	}
	fmt.Println("left")
	if len(args) > 2 {
		return heir.Wait()
	}
	return nil
}

// playHeir waits to be told to go on, and makes calls on descriptor 3.
func playHeir(args []string) error {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	conn, err := net.FileConn(os.NewFile(3, "connection"))
	if err != nil {
		return err
	}
	switch args[0] {
	case "json":
		return heirJSON(conn)
	case "grpc":
		return heirCalls(conn, signerCalls())
	default:
		return heirCalls(conn, adminCalls())
	}
}

func heirJSON(conn net.Conn) error {
	r := bufio.NewReader(conn)
	for _, c := range []struct{ name, method, body string }{
		{"sign", "POST", `{"url":"` + sandboxURL + `"}`}, {"passport", "POST", `{}`}, {"connect-password", "POST", `{}`},
		{"profiles", "GET", ""}, {"status", "GET", ""},
	} {
		if _, err := fmt.Fprintf(conn, "%s /v1/%s HTTP/1.1\r\nHost: nsagent\r\nContent-Length: %d\r\n\r\n%s", c.method, c.name, len(c.body), c.body); err != nil {
			return err
		}
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		fmt.Println(c.name, jsonCode(body))
	}
	return nil
}

type namedCall struct {
	name string
	call func(context.Context, grpc.ClientConnInterface) error
}

func signerCalls() []namedCall {
	return []namedCall{
		{"sign", func(ctx context.Context, c grpc.ClientConnInterface) error {
			_, err := pb.NewSignerClient(c).Sign(ctx, &pb.SignRequest{Url: sandboxURL})
			return err
		}},
		{"stream", func(ctx context.Context, c grpc.ClientConnInterface) error {
			s, err := pb.NewSignerClient(c).SignStream(ctx)
			if err != nil {
				return err
			}
			if err := s.Send(&pb.SignStreamRequest{Request: &pb.SignRequest{Url: sandboxURL}}); err != nil {
				return err
			}
			m, err := s.Recv()
			if err == nil && m.GetError() != nil {
				return errors.New(m.GetError().GetCode())
			}
			return err
		}},
		{"passport", func(ctx context.Context, c grpc.ClientConnInterface) error {
			_, err := pb.NewSignerClient(c).Passport(ctx, &pb.PassportRequest{})
			return err
		}},
		{"connect-password", func(ctx context.Context, c grpc.ClientConnInterface) error {
			_, err := pb.NewSignerClient(c).ConnectPassword(ctx, &pb.ConnectPasswordRequest{})
			return err
		}},
		{"profiles", func(ctx context.Context, c grpc.ClientConnInterface) error {
			_, err := pb.NewSignerClient(c).ListProfiles(ctx, &pb.ListProfilesRequest{})
			return err
		}},
		{"status", func(ctx context.Context, c grpc.ClientConnInterface) error {
			_, err := pb.NewSignerClient(c).Status(ctx, &pb.StatusRequest{})
			return err
		}},
	}
}

func adminCalls() []namedCall {
	call := func(name string, f func(context.Context, pb.AdminClient) error) namedCall {
		return namedCall{name, func(ctx context.Context, c grpc.ClientConnInterface) error { return f(ctx, pb.NewAdminClient(c)) }}
	}
	return []namedCall{
		call("seal-key", func(ctx context.Context, a pb.AdminClient) error {
			_, err := a.SealKey(ctx, &pb.SealKeyRequest{})
			return err
		}),
		call("show", func(ctx context.Context, a pb.AdminClient) error {
			_, err := a.ShowProfile(ctx, &pb.ShowProfileRequest{Name: "acme"})
			return err
		}),
		call("remove", func(ctx context.Context, a pb.AdminClient) error {
			_, err := a.RemoveProfile(ctx, &pb.RemoveProfileRequest{Name: "acme"})
			return err
		}),
		call("unlock", func(ctx context.Context, a pb.AdminClient) error {
			_, err := a.Unlock(ctx, &pb.UnlockRequest{})
			return err
		}),
		call("lock", func(ctx context.Context, a pb.AdminClient) error {
			_, err := a.Lock(ctx, &pb.LockRequest{})
			return err
		}),
		call("stop", func(ctx context.Context, a pb.AdminClient) error {
			_, err := a.Stop(ctx, &pb.StopRequest{})
			return err
		}),
	}
}

// heirCalls makes gRPC calls on a connection whose preface was exchanged already.
func heirCalls(conn net.Conn, calls []namedCall) error {
	late := &lateConn{Conn: conn, skip: len(http2Preface), greeting: bytes.NewReader(rawhttp2.Frame(rawhttp2.FrameSettings, 0, 0, nil))}
	dialled := make(chan net.Conn, 1)
	dialled <- late
	c, err := grpc.NewClient("passthrough:///heir", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			select {
			case conn := <-dialled:
				return conn, nil
			default:
				return nil, errors.New("the connection broke")
			}
		}))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, n := range calls {
		fmt.Println(n.name, codeOf(n.call(ctx, c)))
	}
	return nil
}

// codeOf returns the code that a gRPC error carries, "ok" for none.
func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return status.Convert(err).Message()
}

// lateConn lets grpc-go take over an HTTP/2 connection that is under way: it drops
// the preface that grpc-go writes and shows it the settings that it waits for.
type lateConn struct {
	net.Conn
	skip     int
	greeting *bytes.Reader
}

func (c *lateConn) Write(p []byte) (int, error) {
	n := min(c.skip, len(p))
	c.skip -= n
	if n == len(p) {
		return n, nil
	}
	m, err := c.Conn.Write(p[n:])
	return n + m, err
}

func (c *lateConn) Read(p []byte) (int, error) {
	if c.greeting.Len() > 0 {
		return c.greeting.Read(p)
	}
	return c.Conn.Read(p)
}
