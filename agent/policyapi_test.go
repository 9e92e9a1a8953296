package agent

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// all is a policy that allows everything.
const all = "version = 1\n[[rule]]\nname = \"all\"\neffect = \"allow\"\nenvironment = \"sandbox\"\nwhat = \"*\"\n"

func packedPolicy(t testing.TB, text string) []byte {
	t.Helper()
	b, err := policy.Pack(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// policySum returns the hash of the policy in force; empty: none.
func (f *fixture) policySum() string {
	f.t.Helper()
	_, st, err := f.admin.Policy(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return st.GetSha256()
}

// adopt puts a policy in force; "" takes it away.
func (f *fixture) adopt(text string) *pb.PolicyStatus {
	f.t.Helper()
	var b []byte
	if text != "" {
		b = packedPolicy(f.t, text)
	}
	st, err := f.admin.AdoptPolicy(f.t.Context(), f.passphrase(testPassphrase), b, f.policySum())
	if err != nil {
		f.t.Fatalf("AdoptPolicy: %v", err)
	}
	return st
}

// A policy is in force from the moment it is adopted, after a restart as well; the log
// names the rule that decided.
func TestPolicyDecides(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	sign := func(profile, method string) error {
		_, err := f.signer.Sign(t.Context(), client.Request{Profile: profile, Method: method, URL: sandboxURL})
		return err
	}
	st := f.adopt("version = 1\n[approval]\ntimeout = \"1s\"\n[[rule]]\nname = \"no deletes\"\neffect = \"deny\"\nwhat = \"DELETE /**\"\n[[rule]]\nname = \"acme\"\neffect = \"allow\"\nprofiles = \"ac*\"\nwhat = \"*\"\n[[rule]]\nname = \"asked\"\neffect = \"ask\"\nprofiles = \"other\"\nwhat = \"GET /**\"\n")
	if st.GetRules() != 3 || len(st.GetSha256()) != 64 || st.GetFault() != "" {
		t.Errorf("got %+v", st)
	}
	for _, step := range []struct{ again func() }{{func() {}}, {func() { f.restart(); f.unlock() }}} {
		step.again()
		for _, c := range []struct {
			profile, method string
			want            error
			rule            string
		}{
			{"acme", "GET", nil, "acme"}, {"acme", "PUT", nil, "acme"}, {"acme", "DELETE", client.ErrDenied, "no deletes"},
			{"other", "GET", client.ErrDeclined, "asked"}, {"other", "PUT", client.ErrDenied, ""},
		} {
			if err := sign(c.profile, c.method); !errors.Is(err, c.want) {
				t.Errorf("%s %s: got %v, want %v", c.profile, c.method, err, c.want)
			}
			log := f.entries()
			if last := log[len(log)-1]; last.Rule != c.rule || last.Profile != c.profile || last.Event != audit.EventSign {
				t.Errorf("%s %s: the log says %+v", c.profile, c.method, last)
			}
		}
		if r, err := f.signer.Status(t.Context()); err != nil || r.GetPolicy().GetSha256() != st.GetSha256() {
			t.Errorf("status: got %+v, %v", r.GetPolicy(), err)
		}
	}
	f.adopt("")
	if err := sign("other", "DELETE"); err != nil {
		t.Errorf("without a policy: %v", err)
	}
}

// A policy is adopted with a fresh proof only, as a whole, and against the one that was
// looked at.
func TestAdoptPolicyRefuses(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	const deny = "version = 1\n[[rule]]\nname = \"none\"\neffect = \"deny\"\nwhat = \"*\"\n"
	good := f.adopt(all).GetSha256()
	large := make([]string, 10_001)
	for i := range large {
		large[i] = fmt.Sprintf("[[rule]]\nname = \"%d\"\neffect = \"deny\"\nwhat = \"*\"\n", i)
	}
	for name, c := range map[string]struct {
		proof    client.Proof
		packed   []byte
		replaces string
		want     error
		says     string
	}{
		"no proof":        {client.Proof{}, packedPolicy(t, deny), good, client.ErrProof, ""},
		"a wrong proof":   {f.passphrase("wrong"), packedPolicy(t, deny), good, client.ErrPassphrase, ""},
		"none, no proof":  {client.Proof{}, nil, good, client.ErrProof, ""},
		"another base":    {f.passphrase(testPassphrase), packedPolicy(t, deny), "", client.ErrPolicy, "another one is in force"},
		"not packed":      {f.passphrase(testPassphrase), []byte(deny), good, client.ErrPolicy, "not compressed"},
		"cut":             {f.passphrase(testPassphrase), packedPolicy(t, deny)[:9], good, client.ErrPolicy, "not compressed"},
		"duplicate keys":  {f.passphrase(testPassphrase), packedPolicy(t, deny+"name = \"none\"\n"), good, client.ErrPolicy, "line 6: Key 'rule.name' has already been defined"},
		"an unknown zone": {f.passphrase(testPassphrase), packedPolicy(t, deny+"hours = \"Mon 01:00-02:00 Mars/Base\"\n"), good, client.ErrPolicy, "line 6, rule \"none\", \"hours\""},
		"10,001 rules":    {f.passphrase(testPassphrase), packedPolicy(t, "version = 1\n"+strings.Join(large, "")), good, client.ErrPolicy, "at most 10000"},
		"a large text":    {f.passphrase(testPassphrase), packedPolicy(t, deny+"#"+strings.Repeat(" ", 1<<20)), good, client.ErrPolicy, "larger than 1 MiB"},
		"nested deeply":   {client.Proof{}, packedPolicy(t, "version = 1\nx = ['''a'''', "+strings.Repeat("{a=", 500)), good, client.ErrPolicy, "line 2: it nests too deeply"},
		"a file left out": {f.passphrase(testPassphrase), packedPolicy(t, deny+"[[issuer]]\nurl = \"https://i\"\njwks_file = \"/etc/i.json\"\n"), good, client.ErrPolicy, "/etc/i.json is not copied in"},
		"no key set":      {f.passphrase(testPassphrase), packedPolicy(t, deny+"[[issuer]]\nurl = \"https://i\"\njwks = \"AAAA\"\n"), good, client.ErrPolicy, "issuer \"https://i\": its keys: no key set in JSON"},
	} {
		_, err := f.admin.AdoptPolicy(t.Context(), c.proof, c.packed, c.replaces)
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: got %v, want %v with %q", name, err, c.want, c.says)
		}
	}
	if f.policySum() != good {
		t.Error("another policy is in force")
	}
	f.sign("acme")
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.admin.AdoptPolicy(t.Context(), f.passphrase(testPassphrase), nil, good); !errors.Is(err, client.ErrLocked) {
		t.Errorf("locked: got %v", err)
	}
	if _, _, err := f.admin.Policy(t.Context()); !errors.Is(err, client.ErrLocked) {
		t.Errorf("showing it locked: got %v", err)
	}
}

// 10,000 rules can be adopted.
func TestManyRules(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	var b strings.Builder
	b.WriteString("version = 1\n")
	for i := range 9_999 {
		fmt.Fprintf(&b, "[[rule]]\nname = \"rule %d\"\neffect = \"deny\"\nprofiles = \"p%d\"\nwhat = \"GET /a%d/**\"\n", i, i, i)
	}
	b.WriteString(strings.TrimPrefix(all, "version = 1\n"))
	if st := f.adopt(b.String()); st.GetRules() != 10_000 {
		t.Errorf("got %+v", st)
	}
	f.sign("acme")
}

// A policy that cannot be read allows nothing, and another can be adopted in its place.
func TestUnreadablePolicyAllowsNothing(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.agent.mu.RLock()
	v := f.agent.session.vault
	f.agent.mu.RUnlock()
	if err := v.SetPolicy(t.Context(), packedPolicy(t, "version = 1\n[[rule]]\nname = \"from the future\"\n"), nil, nil); err != nil {
		t.Fatal(err)
	}
	f.restart()
	f.unlock()
	if _, err := f.signer.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); !errors.Is(err, client.ErrDenied) || !strings.Contains(err.Error(), `rule "from the future": it has no effect`) {
		t.Errorf("got %v", err)
	}
	if _, st, err := f.admin.Policy(t.Context()); err != nil || !strings.Contains(st.GetFault(), "it has no effect") {
		t.Errorf("got %+v, %v", st, err)
	}
	if _, err := f.admin.AdoptPolicy(t.Context(), f.passphrase(testPassphrase), packedPolicy(t, all), ""); err != nil {
		t.Fatal(err)
	}
	f.sign("acme")
}

// While the vault cannot be read, nobody is told that it holds no policy, and the one in
// force stays so.
func TestPolicyThatCannotBeShown(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.adopt(strings.Replace(all, "\"allow\"", "\"deny\"", 1))
	f.whileDamaged(func() {
		if _, st, err := f.admin.Policy(t.Context()); !errors.Is(err, &client.Error{Code: pb.CodeDamaged}) {
			t.Errorf("got %v, %v", st, err)
		}
		if _, err := f.signer.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); !errors.Is(err, client.ErrDenied) {
			t.Errorf("what the policy forbids: got %v", err)
		}
	})
}

// A policy that wants codes with each proof is refused while nobody could give one, before
// anybody is asked for a proof; with an app it is adopted.
func TestPolicyThatWantsCodesOfNoApp(t *testing.T) {
	p := newPhone()
	f := start(t, p.clock)
	f.unlock()
	wants := strings.Replace(all, "version = 1\n", "version = 1\n[step_up]\nadmin = true\n", 1)
	_, err := f.admin.AdoptPolicy(t.Context(), client.Proof{}, packedPolicy(t, wants), "")
	if !errors.Is(err, client.ErrPolicy) || !strings.Contains(fmt.Sprint(err), "no authenticator app is set up") || f.policySum() != "" {
		t.Errorf("without an app: got %v", err)
	}
	f.adopt(strings.Replace(wants, "true", "false", 1))
	f.enrol(p)
	f.adopt(wants)
}

// A policy that the vault does not keep is not in force, and the log says that it failed.
func TestPolicyThatIsNotKept(t *testing.T) {
	f := start(t)
	f.unlock()
	good := f.adopt(all).GetSha256()
	noise := make([]byte, 300<<10) // more than a message of the socket holds
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	d, _ := f.direct(t)
	keys, err := adminService{Agent: f.agent}.SealKey(d.ctx, &pb.SealKeyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	proof := &pb.Proof{Passphrase: f.sealing().seal(keys, 0, pb.Admin_AdoptPolicy_FullMethodName, "", fieldPassphrase, testPassphrase)}
	var packed bytes.Buffer // policy.Pack would refuse it
	w, _ := flate.NewWriter(&packed, flate.BestCompression)
	_, _ = io.WriteString(w, all+"# "+base64.StdEncoding.EncodeToString(noise)+"\n")
	_ = w.Close()
	large := packed.Bytes()
	if st, err := f.agent.adoptPolicy(d.ctx, &pb.AdoptPolicyRequest{Proof: proof, Packed: large, Replaces: good}); !errors.Is(err, vault.ErrPolicy) {
		t.Errorf("%d bytes: got %v, %v", len(large), st, err)
	}
	if f.agent.session.policy().sum != good || f.policySum() != good {
		t.Error("another policy is in force")
	}
	if got := f.events(audit.EventPolicyAdopt); len(got) != 3 || !strings.HasPrefix(got[2], "policy.adopt failed") {
		t.Errorf("the log says %q", got)
	}
}

// Rates and uses of a rule are counted, the uses over a restart and by the rule's name.
func TestObligationsOfRules(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	limit := func(limits string) { f.adopt(strings.Replace(all, "what", limits+"\nwhat", 1)) }
	sign := func() error {
		_, err := f.signer.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL})
		return err
	}
	limit("rate = \"2/h\"")
	f.sign("acme")
	f.sign("acme")
	if err := sign(); !errors.Is(err, client.ErrLimited) || !strings.Contains(fmt.Sprint(err), `rule "all" of the policy allows 2 uses in an hour`) {
		t.Errorf("the third of two an hour: got %v", err)
	}
	f.clock.Add(int64(31 * time.Minute))
	f.sign("acme")

	limit("max_uses = 3")
	f.sign("acme")
	f.restart()
	f.unlock()
	f.sign("acme")
	limit("max_uses = 3\nconcurrency = 1") // the same name: what was used stays used
	f.sign("acme")
	if err := sign(); !errors.Is(err, client.ErrDenied) || !strings.Contains(fmt.Sprint(err), `rule "all" of the policy has max_uses = 3`) {
		t.Errorf("the fourth of three: got %v", err)
	}
	log := f.entries()
	if last := log[len(log)-1]; last.Outcome != audit.OutcomeDenied || last.Reason != string(pb.CodeDenied) || last.Rule != "all" {
		t.Errorf("the log says %+v", last)
	}
}

// Uses at once are counted while they last, and a refusal gives back its place.
func TestConcurrencyOfRules(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.adopt(strings.Replace(all, "what", "concurrency = 2\nwhat", 1))
	c := &caller{peer: livePeer(t, f), has: ofOwner()}
	u := use{caller: c, kind: policy.KindPassport, name: "acme"}
	hold, taken, done := make(chan struct{}), make(chan struct{}, 2), sync.WaitGroup{}
	for range 2 {
		done.Go(func() {
			if err := f.agent.withProfile(t.Context(), u, func(*live) error { taken <- struct{}{}; <-hold; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	<-taken
	<-taken
	for range 3 {
		if err := f.agent.withProfile(t.Context(), u, func(*live) error { return nil }); refusedWith(err) != pb.CodeLimited {
			t.Errorf("the third at once: got %v", err)
		}
	}
	close(hold)
	done.Wait()
	if err := f.agent.withProfile(t.Context(), u, func(*live) error { return ErrNetwork }); refusedWith(err) != pb.CodeNetwork {
		t.Errorf("one that fails: got %v", err)
	}
	f.agent.underway.mu.Lock()
	defer f.agent.underway.mu.Unlock()
	if len(f.agent.underway.n) != 0 {
		t.Errorf("places are left: %v", f.agent.underway.n)
	}
}

// A locked agent that serves an unlock token obeys the policy, too.
func TestPolicyOfALockedAgent(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token := f.mint(unlocktoken.Caveats{}, "acme")
	grant, err := token.Chain.Read()
	if err != nil {
		t.Fatal(err)
	}
	f.adopt("version = 1\n[[rule]]\nname = \"no deletes\"\neffect = \"deny\"\nwhat = \"DELETE /**\"\n[[rule]]\nname = \"tokens\"\neffect = \"allow\"\nwho = { grant = \"" + unlocktoken.GrantName(grant.Authority.Grant)[:9] + "*\" }\nmax_uses = 2\nwhat = \"*\"\n")
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := f.show(token)
	sign := func(method string) error {
		_, err := c.Sign(t.Context(), client.Request{Profile: "acme", Method: method, URL: sandboxURL})
		return err
	}
	for _, step := range []struct {
		method string
		want   error
	}{{"GET", nil}, {"DELETE", client.ErrDenied}, {"PUT", nil}, {"PUT", client.ErrDenied}} {
		if err := sign(step.method); !errors.Is(err, step.want) {
			t.Errorf("%s: got %v, want %v", step.method, err, step.want)
		}
	}
	f.unlock()
	if _, err := f.signer.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL}); !errors.Is(err, client.ErrDenied) {
		t.Errorf("the owner, whom no rule names: got %v", err)
	}
}
