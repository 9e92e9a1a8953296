package client_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const protocolPage = "../docs/protocol-examples.md"

// example is one verb of the page: what is sent and what comes back, as JSON. Over a
// stream both are lists.
type example struct {
	verb, request, answer string
}

// TestProtocolExamples runs docs/protocol-examples.md from top to bottom against an
// agent, with no code of ours between the page and the socket, and compares the
// answers. Each verb has to be there.
func TestProtocolExamples(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(protocolPage)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t)
	var seen []string
	for _, e := range examples(string(page)) {
		seen = append(seen, e.verb)
		t.Run(e.verb, func(t *testing.T) {
			var want any
			if err := json.Unmarshal([]byte(e.answer), &want); err != nil {
				t.Fatalf("the answer: %v", err)
			}
			got := w.ask(t, e)
			if where := differs("", want, got); where != "" {
				text, _ := json.MarshalIndent(got, "", "  ")
				t.Errorf("%s, which the page does not say; the answer was\n%s", where, text)
			}
		})
	}
	for _, verb := range verbs(t) {
		if !slices.Contains(seen, verb) {
			t.Errorf("%s has no example of %s", protocolPage, verb)
		}
	}
}

// verbs are those of the JSON form, as docs/protocol.md lists them, and of both services.
func verbs(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:GET|POST) /v1/[a-z-]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		all = append(all, m[1])
	}
	if len(all) < 7 {
		t.Fatalf("found %q in docs/protocol.md: the reading goes wrong", all)
	}
	for i := range pb.File_nsagent_v1_nsagent_proto.Services().Len() {
		s := pb.File_nsagent_v1_nsagent_proto.Services().Get(i)
		for j := range s.Methods().Len() {
			all = append(all, string(s.Name())+"."+string(s.Methods().Get(j).Name()))
		}
	}
	return all
}

// examples reads the page: a heading with the verb, a block with the request (none for
// GET), a block with the answer.
func examples(page string) []example {
	var all []example
	for _, part := range strings.Split(page, "\n### `")[1:] {
		verb, rest, _ := strings.Cut(part, "`")
		blocks := strings.Split(rest, "\n```")
		e := example{verb: verb}
		for i := 1; i+1 < len(blocks); i += 2 {
			e.request, e.answer = e.answer, strings.TrimPrefix(blocks[i], "json")
		}
		all = append(all, e)
	}
	return all
}

// differs says where got is not what the page shows, or returns "". On the page … in
// a string stands for any text, as the last element of a list for any that follow, and
// numbers stand for numbers: they are times, sizes and counts. Keys and lengths of
// lists have to be the same.
func differs(at string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		object, _ := got.(map[string]any)
		for key := range object {
			if _, ok := want[key]; !ok {
				return at + "." + key + " is not on the page"
			}
		}
		for key, value := range want {
			if _, ok := object[key]; !ok {
				return at + "." + key + " did not come"
			}
			if where := differs(at+"."+key, value, object[key]); where != "" {
				return where
			}
		}
		return ""
	case []any:
		list, _ := got.([]any)
		if n := len(want) - 1; n >= 0 && want[n] == "…" && len(list) >= n {
			want, list = want[:n], list[:n]
		}
		if len(list) != len(want) {
			return fmt.Sprintf("%s has %d elements", at, len(list))
		}
		for i := range want {
			if where := differs(fmt.Sprintf("%s[%d]", at, i), want[i], list[i]); where != "" {
				return where
			}
		}
		return ""
	case float64:
		if _, ok := got.(float64); ok {
			return ""
		}
	case string:
		if text, ok := got.(string); ok && like(want, text) {
			return ""
		}
	default:
		if want == got {
			return ""
		}
	}
	return fmt.Sprintf("%s is %v", at, got)
}

// like reports whether text is as shown, where … stands for anything and a number,
// which is how the JSON form of protobuf writes 64 bits, for any number.
func like(shown, text string) bool {
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	if digits(shown) {
		return digits(text)
	}
	parts := strings.Split(shown, "…")
	if len(parts) == 1 {
		return shown == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	for _, p := range parts[1:] {
		i := strings.Index(text, p)
		if p == parts[len(parts)-1] {
			i = strings.LastIndex(text, p)
		}
		if !ok || i < 0 {
			return false
		}
		text = text[i+len(p):]
	}
	return text == "" || parts[len(parts)-1] == ""
}

// wire speaks to an agent as a program in any language does.
type wire struct {
	*daemon
	agent, admin *grpc.ClientConn
	other        *grpc.ClientConn // to agent.sock, by the right of its user
	http         *http.Client
	secrets      map[string]string // by the name of the field
	public       map[string]string // of a profile, what the page does not show
	id           string            // of the last key slot or grant
	login        map[string]any    // the browser's answer to the last login
	certificate  string            // id of the last one that was uploaded
}

func newWire(t *testing.T) *wire {
	t.Helper()
	d, err := newDaemon(shared(t).program())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.remove(); err != nil {
			t.Error(err)
		}
	})
	d.mustStart(t)
	w := &wire{daemon: d}
	for conn, path := range map[**grpc.ClientConn]string{&w.agent: d.socket(), &w.other: d.socket(), &w.admin: d.adminSocket()} {
		if *conn, err = grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = (*conn).Close() })
	}
	w.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket())
	}}}
	t.Cleanup(w.http.CloseIdleConnections)
	a := nstest.DemoConfig().Accounts[0]
	w.public = map[string]string{
		"consumerKey": a.Integrations[0].ConsumerKey, "tokenId": a.Tokens[0].TokenID,
		"clientId": a.Certificates[0].ClientID, "certificate": a.Certificates[0].PEM,
		"endpoint": shared(t).endpoint.URL, "ca": string(shared(t).endpoint.CAPEM),
	}
	w.secrets = map[string]string{
		"passphrase": passphrase, "new_passphrase": "another one for the vault", "new_recovery": "sixteen bytes...", "new_totp_secret": totpSecret, "recovery": "sixteen bytes...",
		"consumer_secret": a.Integrations[0].ConsumerSecret, "token_secret": a.Tokens[0].TokenSecret, "private_key": string(nstest.DemoPrivateKey(a.ID)),
		"value": strings.Repeat("a long API secret ", 4000), "shares": "a key share of an unlock token..",
	}
	return w
}

// ask makes a call of the page and returns the answer as JSON.
func (w *wire) ask(t *testing.T, e example) any {
	t.Helper()
	if method, path, ok := strings.Cut(e.verb, " "); ok {
		return w.askHTTP(t, method, path, e.request)
	}
	var requests []any
	stream := strings.HasPrefix(strings.TrimSpace(e.request), "[")
	if !stream {
		e.request = "[" + e.request + "]"
	}
	if err := json.Unmarshal([]byte(e.request), &requests); err != nil {
		t.Fatalf("the request: %v", err)
	}
	conn, service, name := w.agent, "", ""
	if service, name, _ = strings.Cut(e.verb, "."); service == "Admin" {
		conn = w.admin
	}
	method := pb.File_nsagent_v1_nsagent_proto.Services().ByName(protoreflect.Name(service)).Methods().ByName(protoreflect.Name(name))
	if method == nil {
		t.Fatalf("there is no %s", e.verb)
	}
	if name == "ListRequests" || name == "DenyRequest" {
		w.haveOneWait(t)
	}
	w.fill(t, "/nsagent.v1."+service+"/"+name, requests)
	answers := w.call(t, conn, method, requests)
	w.remember(t, e.verb, requests[0], answers)
	if method.IsStreamingServer() {
		return answers
	}
	return answers[0]
}

func (w *wire) askHTTP(t *testing.T, method, path, body string) any {
	t.Helper()
	resp, err := w.http.Do(request(t, t.Context(), method, "http://nsagent"+path, strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got any
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

// call sends all requests over one call, and returns the answers.
func (w *wire) call(t *testing.T, conn *grpc.ClientConn, m protoreflect.MethodDescriptor, requests []any) []any {
	t.Helper()
	desc := &grpc.StreamDesc{ServerStreams: m.IsStreamingServer(), ClientStreams: m.IsStreamingClient()}
	full := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
	stream, err := conn.NewStream(t.Context(), desc, full)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range requests {
		text, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		in := dynamicpb.NewMessage(m.Input())
		if err := protojson.Unmarshal(text, in); err != nil { // it refuses an unknown key
			t.Fatalf("the request: %v", err)
		}
		if err := stream.SendMsg(in); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var answers []any
	for {
		out := dynamicpb.NewMessage(m.Output())
		if err := stream.RecvMsg(out); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, plain(t, out))
		if !m.IsStreamingServer() {
			break
		}
	}
	order(answers, "id") // a stream may answer in another one
	if slots, ok := answers[0].(map[string]any)["slots"].([]any); ok {
		order(slots, "kind") // they come in that of their ids, which are random
	}
	if grants, ok := answers[0].(map[string]any)["grants"].([]any); ok {
		order(grants, "madeBy") // those of one second come in that of their ids
	}
	return answers
}

// order sorts objects by one of their keys.
func order(objects []any, key string) {
	slices.SortFunc(objects, func(a, b any) int {
		return strings.Compare(fmt.Sprint(a.(map[string]any)[key]), fmt.Sprint(b.(map[string]any)[key]))
	})
}

func plain(t *testing.T, m proto.Message) any {
	t.Helper()
	text, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// totpSecret is the secret of an authenticator app of 20 bytes.
const totpSecret = "twenty bytes for it."

// totpNow is what that app shows (RFC 6238).
func totpNow() string {
	m := hmac.New(sha1.New, []byte(totpSecret))
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()/30)))
	sum := m.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1000000)
}

// haveOneWait has a caller wait until somebody approves what it asks, and notes the request.
func (w *wire) haveOneWait(t *testing.T) {
	t.Helper()
	admin := pb.NewAdminClient(w.admin)
	ended := make(chan error, 1)
	go func() {
		_, err := pb.NewSignerClient(w.other).Passport(context.Background(), &pb.PassportRequest{Profile: "acme-login"})
		ended <- err
	}()
	for after := uint64(0); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		r, err := admin.ListRequests(ctx, &pb.ListRequestsRequest{After: after})
		cancel()
		select {
		case err := <-ended:
			t.Fatalf("the caller does not wait: %v", err)
		default:
		}
		if err != nil {
			t.Fatal(err)
		}
		if all := r.GetRequests(); len(all) == 1 {
			w.id = all[0].GetId()
			return
		}
		after = r.GetRevision()
	}
}
