package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// notText is no UTF-8.
const notText = "\xff\xfe\xc0"

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(b)
	return nil
}
func (rawCodec) Name() string { return "proto" }

// hostileCall is a message for a method, and what is wrong with it.
type hostileCall struct {
	admin   bool
	method  string
	what    string
	message []byte
}

// eachMethod visits the methods of both services.
func eachMethod(visit func(admin bool, method string, m protoreflect.MethodDescriptor)) {
	services := pb.File_nsagent_v1_nsagent_proto.Services()
	for i := range services.Len() {
		s := services.Get(i)
		for j := range s.Methods().Len() {
			m := s.Methods().Get(j)
			visit(s.Name() == "Admin", fmt.Sprintf("/%s/%s", s.FullName(), m.Name()), m)
		}
	}
}

// textFields returns, for each text field of a message and of those inside it, its
// name and a message in which it alone is set, to notText.
func textFields(m protoreflect.MessageDescriptor, depth int) map[string][]byte {
	found := make(map[string][]byte)
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		tag := protowire.AppendTag(nil, f.Number(), protowire.BytesType)
		switch {
		case f.Kind() == protoreflect.StringKind:
			found[string(f.Name())] = protowire.AppendString(tag, notText)
		case f.Kind() == protoreflect.MessageKind && depth > 0:
			for name, inner := range textFields(f.Message(), depth-1) {
				found[string(f.Name())+"."+name] = protowire.AppendBytes(bytes.Clone(tag), inner)
			}
		}
	}
	return found
}

// send makes one call with a message of bytes and reports whether it was answered.
func (c hostileCall) send(ctx context.Context, conn *grpc.ClientConn) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, c.method, grpc.ForceCodec(rawCodec{}), grpc.WaitForReady(true))
	if err != nil {
		return false
	}
	_ = s.SendMsg(&c.message)
	_ = s.CloseSend()
	var answer []byte
	return s.RecvMsg(&answer) == nil
}

// dialGRPC returns a channel that checks nothing of who serves it.
func dialGRPC(path string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///nsagent", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}))
}

// sendAll sends calls over fresh connections until ctx ends; none may be answered.
func sendAll(ctx context.Context, on target, t *count, workers int, calls []hostileCall) {
	repeat(ctx, workers, func(i int) {
		conns := make(map[bool]*grpc.ClientConn)
		for admin, path := range map[bool]string{false: on.Agent, true: on.Admin} {
			c, err := dialGRPC(path)
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			conns[admin] = c
		}
		for n := range calls {
			if ctx.Err() != nil {
				return
			}
			c := calls[(n+i)%len(calls)]
			t.done(1)
			if c.send(ctx, conns[c.admin]) {
				t.through(fmt.Sprintf("%s with %s was answered", c.method, c.what))
			}
		}
	})
}

// badUTF8 puts what is no text into every text field, one at a time.
func badUTF8(ctx context.Context, on target, t *count) {
	var calls []hostileCall
	eachMethod(func(admin bool, method string, m protoreflect.MethodDescriptor) {
		for field, message := range textFields(m.Input(), 3) {
			calls = append(calls, hostileCall{admin: admin, method: method, what: "bad text in " + field, message: message})
		}
	})
	var both sync.WaitGroup
	both.Go(func() {
		postAll(ctx, on, t, func(key string) io.Reader { return strings.NewReader(`{"` + key + `":"` + notText + `"}`) })
	})
	both.Go(func() { sendAll(ctx, on, t, 4, calls) })
	both.Wait()
}

// large sends 5 MiB, which no socket takes.
func large(ctx context.Context, on target, t *count) {
	const size = 5 << 20
	body := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), bytes.Repeat([]byte("x"), size))
	var calls []hostileCall
	eachMethod(func(admin bool, method string, _ protoreflect.MethodDescriptor) {
		calls = append(calls, hostileCall{admin: admin, method: method, what: "5 MiB", message: body})
	})
	var both sync.WaitGroup
	both.Go(func() {
		postAll(ctx, on, t, func(key string) io.Reader {
			return strings.NewReader(`{"` + key + `":"` + strings.Repeat("x", size) + `"}`)
		})
	})
	both.Go(func() { sendAll(ctx, on, t, 4, calls) })
	both.Wait()
}

// postAll posts a body for each key of the JSON form until ctx ends; none may be
// answered well.
func postAll(ctx context.Context, on target, t *count, body func(key string) io.Reader) {
	h := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", on.Agent)
	}}, Timeout: 10 * time.Second}
	defer h.CloseIdleConnections()
	routes := map[string][]string{
		"sign":             {"url", "profile", "method", "content_type", "body"},
		"passport":         {"profile", "version"},
		"connect-password": {"profile"},
		"assertion":        {"profile", "aud"},
	}
	repeat(ctx, 1, func(int) {
		for route, keys := range routes {
			for _, key := range keys {
				q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://nsagent/v1/"+route, body(key))
				if err != nil {
					return
				}
				r, err := h.Do(q)
				t.done(1)
				if err != nil {
					continue // closed on us
				}
				if r.StatusCode == http.StatusOK {
					t.through(fmt.Sprintf("/v1/%s with a bad %q was answered", route, key))
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_ = r.Body.Close()
			}
		}
	})
}
