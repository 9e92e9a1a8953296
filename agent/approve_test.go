package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// askPolicy asks for writes, and for a code for those by DELETE.
const askPolicy = `version = 1
[[rule]]
name = "deletes"
effect = "ask"
totp = true
what = ["DELETE /**"]
[[rule]]
name = "writes"
effect = "ask"
what = ["POST /**", "passport", "connect"]
[[rule]]
name = "the rest"
effect = "allow"
what = ["*"]
`

func startAsking(t *testing.T, change ...func(*Config)) *fixture {
	f := start(t, change...)
	f.unlock()
	f.addTBA("acme")
	f.adopt(askPolicy)
	return f
}

func writing(n int) client.Request {
	return client.Request{Profile: "acme", Method: "POST", URL: fmt.Sprintf("%s?n=%d", sandboxURL, n)}
}

// signs signs in a goroutine of its own.
func (f *fixture) signs(ctx context.Context, r client.Request) <-chan error {
	out := make(chan error, 1)
	go func() {
		_, err := f.signer.Sign(ctx, r)
		out <- err
	}()
	return out
}

// waiting waits until so many callers wait for so many requests, and returns these.
func (f *fixture) waiting(requests, callers int) []*pb.ApprovalRequest {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	for after := uint64(0); ; {
		r, err := f.admin.Requests(ctx, after)
		if err != nil {
			f.t.Fatalf("Requests: %v", err)
		}
		n := 0
		for _, m := range r.GetRequests() {
			n += len(m.GetCallers())
		}
		if len(r.GetRequests()) == requests && n == callers {
			return r.GetRequests()
		}
		after = r.GetRevision()
	}
}

func (f *fixture) approve(id, span string) error {
	return f.admin.Approve(f.t.Context(), f.passphrase(testPassphrase), id, span)
}

// events returns the events of the log with their outcomes, from the first approval on.
func (f *fixture) events(kinds ...string) []string {
	var out []string
	for _, e := range f.entries() {
		if slices.Contains(kinds, e.Event) {
			out = append(out, strings.Join(strings.Fields(e.Event+" "+e.Outcome+" "+e.Reason), " "))
		}
	}
	return out
}

// One approval frees all that wait for the same, and no other.
func TestApprove(t *testing.T) {
	f := startAsking(t)
	ctx := answered(t)
	if _, err := f.signer.Sign(ctx, client.Request{Profile: "acme", URL: sandboxURL}); err != nil {
		t.Fatalf("a rule that allows: %v", err)
	}
	var same []<-chan error
	for range 5 {
		same = append(same, f.signs(ctx, writing(1)))
	}
	other := f.signs(ctx, writing(2))
	all := f.waiting(2, 6)
	i := slices.IndexFunc(all, func(r *pb.ApprovalRequest) bool { return len(r.GetCallers()) == 5 })
	if i < 0 {
		t.Fatalf("got %v", all)
	}
	r := all[i]
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if r.GetProfile() != "acme" || r.GetAccount() != "1234567_SB1" || r.GetEnvironment() != "sandbox" || r.GetKind() != "sign" || r.GetMethod() != "POST" ||
		r.GetUrl() != writing(1).URL || r.GetRule() != "writes" || r.GetTotp() || int(r.GetUid()) != os.Geteuid() || r.GetGrant() != "" || r.GetEndsIn() < 60 || r.GetEndsIn() > 120 ||
		int(r.GetCallers()[0].GetPid()) != os.Getpid() || r.GetCallers()[0].GetExe() != exe || r.GetCallers()[0].GetParent() == "" {
		t.Errorf("got %v", r)
	}
	for name, c := range map[string]struct {
		proof    client.Proof
		id, span string
		want     error
	}{
		"no proof":         {client.Proof{}, r.GetId(), "once", client.ErrProof},
		"a yes":            {client.Proof{Confirmed: true}, r.GetId(), "once", client.ErrProof},
		"wrong passphrase": {f.passphrase("wrong"), r.GetId(), "once", client.ErrPassphrase},
		"for ever":         {f.passphrase(testPassphrase), r.GetId(), "ever", client.ErrRequest},
		"for nothing":      {f.passphrase(testPassphrase), r.GetId(), "", client.ErrRequest},
		"another request":  {f.passphrase(testPassphrase), "zzzzzz", "once", &client.Error{Code: pb.CodeNotFound}},
		"no request":       {f.passphrase(testPassphrase), "", "once", &client.Error{Code: pb.CodeNotFound}},
	} {
		if err := f.admin.Approve(ctx, c.proof, c.id, c.span); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if err := f.approve(r.GetId(), "once"); err != nil {
		t.Fatal(err)
	}
	for _, c := range same {
		if err := <-c; err != nil {
			t.Errorf("approved: got %v", err)
		}
	}
	if err := f.approve(r.GetId(), "once"); !errors.Is(err, &client.Error{Code: pb.CodeNotFound}) {
		t.Errorf("approved again: got %v", err)
	}
	left := f.waiting(1, 1)
	if err := f.admin.Deny(ctx, left[0].GetId()); err != nil {
		t.Fatal(err)
	}
	if err := <-other; !errors.Is(err, client.ErrDeclined) {
		t.Errorf("denied: got %v", err)
	}
	if _, err := f.signer.Sign(ctx, writing(2)); !errors.Is(err, client.ErrDeclined) {
		t.Errorf("denied, and asked again at once: got %v", err)
	}
	// Once was once.
	again := f.signs(ctx, writing(1))
	if err := f.admin.Deny(ctx, f.waiting(1, 1)[0].GetId()); err != nil {
		t.Fatal(err)
	}
	if err := <-again; !errors.Is(err, client.ErrDeclined) {
		t.Errorf("got %v", err)
	}
	asked, approved := 0, 0
	for _, e := range f.entries() {
		switch {
		case e.Event == "approval.ask":
			asked++
			if e.Profile != "acme" || e.Method != "POST" || e.PID != os.Getpid() || !strings.HasPrefix(e.Detail, "request=") || strings.Contains(e.Path, "?") {
				t.Errorf("got %+v", e)
			}
		case e.Event == "sign" && e.Outcome == "ok" && e.Detail == "approval="+r.GetId():
			approved++
		}
	}
	if asked != 3 || approved != 5 {
		t.Errorf("%d were asked, %d uses name their approval", asked, approved)
	}
	if got := f.events("approval.give"); got[len(got)-2] != "approval.give ok" || len(got) != 9 {
		t.Errorf("approvals in the log: %q", got)
	}
	if got := f.events("approval.deny"); !slices.Equal(got, []string{"approval.deny ok", "approval.deny ok"}) {
		t.Errorf("denials in the log: %q", got)
	}
}

// An approval for a session holds for the same and nothing else, and ends with the session.
func TestApprovalForASession(t *testing.T) {
	f := startAsking(t)
	ctx := answered(t)
	for _, span := range []string{"5m", "session"} {
		c := f.signs(ctx, writing(1))
		if err := f.approve(f.waiting(1, 1)[0].GetId(), span); err != nil {
			t.Fatal(err)
		}
		if err := <-c; err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := f.signer.Sign(ctx, writing(1)); err != nil {
				t.Errorf("%s: %v", span, err)
			}
		}
		f.clock.Add(int64(5 * time.Minute))
	}
	if _, err := f.signer.Sign(ctx, writing(1)); err != nil {
		t.Errorf("later in the session: %v", err)
	}
	for name, r := range map[string]client.Request{
		"query":  writing(2),
		"method": {Profile: "acme", Method: "DELETE", URL: writing(1).URL},
		"path":   {Profile: "acme", Method: "POST", URL: sandboxURL + "/x?n=1"},
	} {
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		if _, err := f.signer.Sign(short, r); err == nil {
			t.Errorf("another %s is approved too", name)
		}
		cancel()
	}
	if err := f.admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	f.unlock()
	f.adopt(askPolicy)
	c := f.signs(ctx, writing(1))
	f.waiting(1, 1)
	if err := f.admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-c; !errors.Is(err, client.ErrLocked) {
		t.Errorf("locked while it waits: got %v", err)
	}
	f.waiting(0, 0)
}

// Who waits goes away when nobody answers, at the time that policy says.
func TestApprovalTimesOut(t *testing.T) {
	f := startAsking(t)
	f.adopt(strings.Replace(askPolicy, "version = 1\n", "version = 1\n[approval]\ntimeout = \"1s\"\n", 1))
	if _, err := f.signer.Sign(t.Context(), writing(1)); !errors.Is(err, client.ErrDeclined) || !strings.Contains(err.Error(), "nobody answered within 1s") {
		t.Errorf("got %v", err)
	}
	if got := f.events("approval.ask", "approval.timeout", "sign"); !slices.Equal(got, []string{"approval.ask ok", "approval.timeout denied NSA-DECLINED", "sign denied NSA-DECLINED"}) {
		t.Errorf("the log says %q", got)
	}
}

// A rule that wants a code is approved with one, and by nothing less.
func TestApprovalWithACode(t *testing.T) {
	p := newPhone()
	f := startAsking(t, p.clock)
	ctx := answered(t)
	remove := client.Request{Profile: "acme", Method: "DELETE", URL: sandboxURL}
	c := f.signs(ctx, remove)
	r := f.waiting(1, 1)[0]
	if !r.GetTotp() {
		t.Errorf("got %v", r)
	}
	if err := f.admin.Approve(ctx, f.both(p.code(0)), r.GetId(), "once"); !errors.Is(err, client.ErrTOTP) {
		t.Errorf("without an app: got %v", err)
	}
	f.enrol(p)
	if err := f.approve(r.GetId(), "once"); !errors.Is(err, client.ErrTOTP) {
		t.Errorf("without a code: got %v", err)
	}
	if err := f.admin.Approve(ctx, f.both(p.code(0)), r.GetId(), "session"); err != nil {
		t.Fatal(err)
	}
	if err := <-c; err != nil {
		t.Error(err)
	}
	if _, err := f.signer.Sign(ctx, remove); err != nil {
		t.Errorf("in the session: %v", err)
	}
	f.adopt(strings.Replace(askPolicy, "effect = \"allow\"", "effect = \"allow\"\ntotp = true", 1))
	c = f.signs(ctx, client.Request{Profile: "acme", URL: sandboxURL})
	if r := f.waiting(1, 1)[0]; !r.GetTotp() || r.GetRule() != "the rest" {
		t.Errorf("a rule that allows with a code: got %v", r)
	}
	p.wait(1)
	if err := f.admin.Approve(ctx, f.both(p.code(0)), f.waiting(1, 1)[0].GetId(), "once"); err != nil || <-c != nil {
		t.Errorf("got %v", err)
	}
}

// An approval counts for the form that was shown, and for no other.
func TestApprovalOfAForm(t *testing.T) {
	f := startAsking(t)
	form := func(body string) client.Request {
		r := writing(1)
		r.ContentType, r.Body = "application/x-www-form-urlencoded", []byte(body)
		return r
	}
	done := f.signs(answered(t), form("amount=1"))
	m := f.waiting(1, 1)[0]
	if m.GetFormBytes() != 8 || m.GetFormSha256() != fmt.Sprintf("%x", sha256.Sum256([]byte("amount=1"))) {
		t.Errorf("shown is %v", m)
	}
	if err := f.approve(m.GetId(), "5m"); err != nil || <-done != nil {
		t.Fatalf("got %v", err)
	}
	if err := <-f.signs(answered(t), form("amount=1")); err != nil {
		t.Errorf("the same again: %v", err)
	}
	for _, r := range []client.Request{form("amount=1000000"), writing(1)} {
		done := f.signs(answered(t), r)
		if err := f.admin.Deny(t.Context(), f.waiting(1, 1)[0].GetId()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, client.ErrDeclined) {
			t.Errorf("%s: got %v", r.Body, err)
		}
	}
}

// An approval of the owner's own program is none of one that comes by another socket, in a
// container say, though user and path are the same.
func TestApprovalIsOfOneSocket(t *testing.T) {
	f := startAsking(t)
	done := f.signs(answered(t), writing(1))
	if err := f.approve(f.waiting(1, 1)[0].GetId(), "5m"); err != nil || <-done != nil {
		t.Fatalf("got %v", err)
	}
	c := f.through(f.openSocket("acme").Opened.GetPath())
	refused := make(chan error, 1)
	go func() {
		_, err := c.Sign(t.Context(), writing(1))
		refused <- err
	}()
	m := f.waiting(1, 1)[0]
	if m.GetSocket() == "" {
		t.Errorf("shown is %v", m)
	}
	if err := f.admin.Deny(t.Context(), m.GetId()); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; !errors.Is(err, client.ErrDeclined) {
		t.Errorf("got %v", err)
	}
}

// No program can ask without end: each has room for so much, and others go on.
func TestApprovalFlood(t *testing.T) {
	f := startAsking(t)
	ctx, cancel := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	limited := make(chan error, 100)
	for n := range 40 {
		flood.Go(func() {
			_, err := f.signer.Sign(ctx, writing(n))
			limited <- err
		})
	}
	n := 0
	for ; n < 24; n++ { // 16 have room
		if err := <-limited; !errors.Is(err, client.ErrLimited) {
			t.Fatalf("got %v", err)
		}
	}
	f.waiting(16, 16)
	if _, err := f.signer.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); err != nil {
		t.Errorf("what needs no approval: %v", err)
	}
	cancel()
	flood.Wait()
	f.waiting(0, 0)
	eventually(t, 20*time.Second, func() string { // each writes its entry after it has left
		if got := f.events("approval.timeout"); len(got) != 16 {
			return fmt.Sprintf("%d gave up, in the log", len(got))
		}
		return ""
	})
}

// Over HTTP a caller waits as well, longer than the connection would live otherwise.
func TestApprovalOverHTTP(t *testing.T) {
	f := startAsking(t)
	h := overUnix(f.paths.Agent)
	out := make(chan string, 1)
	go func() {
		status, code := post(t, h, "sign", fmt.Sprintf(`{"profile":"acme","method":"POST","url":%q}`, sandboxURL))
		out <- fmt.Sprint(status, " ", code)
	}()
	if err := f.approve(f.waiting(1, 1)[0].GetId(), "once"); err != nil {
		t.Fatal(err)
	}
	if got := <-out; got != "200 ok" {
		t.Errorf("got %s", got)
	}
}

// A call that must not wait says that it would have to.
func TestApprovalIsNotWaitedForInATest(t *testing.T) {
	f := startAsking(t)
	_, err := f.agent.connectPassword(withoutWaiting(t.Context()), &caller{peer: ownPeer(t), has: ofOwner()}, &pb.ConnectPasswordRequest{Profile: "acme"})
	if r := refusalOf(err); r.Code != pb.CodeAsk {
		t.Errorf("got %v", err)
	}
	if got := f.events("connect-password"); !slices.Equal(got, []string{"connect-password denied NSA-ASK"}) {
		t.Errorf("the log says %q", got)
	}
}

func TestParentIn(t *testing.T) {
	for stat, want := range map[string]int32{
		"12 (cat) S 7 12": 7, "12 (a) S 9 (b) R 8 1": 8, "12 (x\n) R 5 5 5) S 1 2": 1,
	} {
		if got, err := parentIn(stat); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", stat, got, err, want)
		}
	}
	for _, stat := range []string{"", "12", "12 7 9", "12 (cat)", "12 (cat) S", "12 (cat) S x", ")", "12 (cat) S 99999999999"} {
		if got, err := parentIn(stat); err == nil {
			t.Errorf("%q: got %d", stat, got)
		}
	}
}
