package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/oidc/oidctest"
)

// TestJobAtAnAgent: what is in users.md 5.2 of ID tokens, with the product and no bundle: the
// agent that has the vault takes an unlock token with an ID token of GitHub's, whose keys the
// policy has, decides by what it says, and takes it once, also where it was killed since.
func TestJobAtAnAgent(t *testing.T) {
	issuer := oidctest.New(t)
	issuer.URL = "https://token.actions.githubusercontent.com"
	o := newJobOwner(t)
	o.mustTrust(issuer, o.file("jwks_file", "keys.json", string(issuer.JWKS(t)))+`
[[rule]]
name = "the job"
effect = "allow"
what = "GET /**"
who = { oidc = { issuer = "`+issuer.URL+`", repository_id = "74", event_name = "push" } }
[[rule]]
name = "nobody else"
effect = "deny"
what = "*"
`)
	var made struct{ ID, Token string }
	if err := json.Unmarshal(o.must(o.pass, "grant", "new", "-p", "acme-sb1", "--for", "github:74@main", "--ttl", "1h", "--passphrase-fd", "0", "-o", "json"), &made); err != nil {
		t.Fatal(err)
	}
	var shown struct{ Audience string }
	if err := json.Unmarshal(o.must("", "grant", "show", made.ID, "-o", "json"), &shown); err != nil {
		t.Fatal(err)
	}
	r := &jobRunner{user: o.user, token: made.Token, url: o.url}
	fresh := func(name string, value any) string {
		return string(issuer.Sign(t, issuer.GitHub(shown.Audience, time.Now()).With(name, value)))
	}
	job := func(when, id, says string, code int) {
		t.Helper()
		o.write("id", id)
		env := []string{"NSAGENT_OIDC_TOKEN_FILE=" + filepath.Join(o.home, "id")}
		out, got := r.run(env, "sh", "-c", `exec "$NSAGENT" sign -q --format value "$URL"`)
		if got != code || !strings.Contains(out, says) || id != "" && strings.Contains(out, id) {
			t.Errorf("%s: exit %d, want %d and %q\n%s", when, got, code, says, out)
		}
	}
	taken := func(when, id string) { t.Helper(); job(when, id, "OAuth realm=", 0) }
	refused := func(when, id, says string) { t.Helper(); job(when, id, says, 5) }
	const used = "nsagent: the ID token was not taken\n  it was used before, and is good for one exchange\n"

	good := fresh("ref", "refs/heads/main")
	taken("the job", good)
	refused("the same token again", good, used)
	refused("another branch", fresh("ref", "refs/heads/other"), "[NSA-GRANT-SCOPE]")
	refused("another repository", fresh("repository_id", "75"), "[NSA-GRANT-SCOPE]")
	refused("another event, which the grant leaves open", fresh("event_name", "workflow_dispatch"), `rule "nobody else" of the policy denies it`)
	refused("keys of somebody else", string(oidctest.New(t).Sign(t, issuer.GitHub(shown.Audience, time.Now()))), "[NSA-GRANT]")
	refused("no ID token", "", "[NSA-GRANT]")

	o.agent.kill()
	o.agent, _ = o.startAgent(o.pass)
	refused("the same token after a kill", good, used)
	taken("another token after a kill", fresh("run_attempt", "2"))
	o.must("", "lock")
	refused("the same token, locked", good, used)
	taken("another token, locked", fresh("run_attempt", "3"))
	if n := issuer.Fetched(); n != 0 {
		t.Errorf("the keys were fetched %d times", n)
	}
}
