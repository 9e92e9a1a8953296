package agent

import (
	"errors"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestHostileProfiles guards I-05 and L-03: what is wrong with the public part of a
// profile is told by its field, and nothing is stored.
func TestHostileProfiles(t *testing.T) {
	f := start(t)
	f.unlock()
	set := func(change func(*pb.Profile)) func(*pb.Profile) { return change }
	name := func(s string) func(*pb.Profile) { return set(func(p *pb.Profile) { p.Name = s }) }
	account := func(s string) func(*pb.Profile) { return set(func(p *pb.Profile) { p.Account = s }) }
	endpoint := func(s string) func(*pb.Profile) { return set(func(p *pb.Profile) { p.Endpoint = s }) }
	note := func(s string) func(*pb.Profile) { return set(func(p *pb.Profile) { p.Note = s }) }
	key := func(s string) func(*pb.Profile) { return set(func(p *pb.Profile) { p.ConsumerKey = s }) }
	ca := func(s string) func(*pb.Profile) {
		return set(func(p *pb.Profile) { p.Ca, p.Endpoint = s, "https://127.0.0.1:8443" })
	}
	authority := caPEM(t)

	for why, c := range map[string]struct {
		change func(*pb.Profile)
		want   pb.Code
	}{
		"no name":                 {name(""), pb.CodeRequest},
		"a name of 64":            {name(strings.Repeat("a", 64)), pb.CodeRequest},
		"a name of 60 KB":         {name(strings.Repeat("a", 60<<10)), pb.CodeRequest},
		"upper case":              {name("Acme"), pb.CodeRequest},
		"a path":                  {name("../../etc/passwd"), pb.CodeRequest},
		"two dots":                {name("a..b"), pb.CodeRequest},
		"a slash":                 {name("a/b"), pb.CodeRequest},
		"a leading dot":           {name(".a"), pb.CodeRequest},
		"a leading hyphen":        {name("-rf"), pb.CodeRequest},
		"a blank":                 {name("a b"), pb.CodeRequest},
		"a newline":               {name("a\n"), pb.CodeRequest},
		"a NUL":                   {name("a\x00"), pb.CodeRequest},
		"Cyrillic a":              {name("асme"), pb.CodeRequest},
		"full width":              {name("ａcme"), pb.CodeRequest},
		"an escape sequence":      {name("\x1b[2J"), pb.CodeRequest},
		"no account":              {account(""), pb.CodeAccount},
		"a host":                  {account("1234567.suitetalk.api.netsuite.com"), pb.CodeAccount},
		"a path in the account":   {account("1234567/../7654321"), pb.CodeAccount},
		"a fragment":              {account("1234567#"), pb.CodeAccount},
		"an at sign":              {account("1234567@evil.example"), pb.CodeAccount},
		"a quote":                 {account(`1234567"`), pb.CodeAccount},
		"CR LF":                   {account("1234567\r\nX: y"), pb.CodeAccount},
		"a dot":                   {account("1234567.SB1"), pb.CodeAccount},
		"an account of 1 KB":      {account(strings.Repeat("1", 1024)), pb.CodeAccount},
		"unknown access":          {set(func(p *pb.Profile) { p.Access = "admin" }), pb.CodeCredential},
		"access in upper case":    {set(func(p *pb.Profile) { p.Access = "READ" }), pb.CodeCredential},
		"unknown auth":            {set(func(p *pb.Profile) { p.Auth = "basic" }), pb.CodeCredential},
		"no auth":                 {set(func(p *pb.Profile) { p.Auth = "" }), pb.CodeCredential},
		"auth of another kind":    {set(func(p *pb.Profile) { p.Auth = "m2m" }), pb.CodeCredential},
		"no consumer key":         {key(""), pb.CodeCredential},
		"a newline in the key":    {key(sample(1) + "\n"), pb.CodeCredential},
		"a quote breaks nothing":  {key(sample(1) + "\u00e9"), pb.CodeCredential},
		"a key of 257":            {key(strings.Repeat("a", 257)), pb.CodeCredential},
		"no token ID":             {set(func(p *pb.Profile) { p.TokenId = "" }), pb.CodeCredential},
		"a client ID too":         {set(func(p *pb.Profile) { p.ClientId = "x" }), pb.CodeCredential},
		"a certificate too":       {set(func(p *pb.Profile) { p.Certificate = "x" }), pb.CodeCredential},
		"scopes too":              {set(func(p *pb.Profile) { p.Scopes = []string{"restlets"} }), pb.CodeCredential},
		"an alg too":              {set(func(p *pb.Profile) { p.Alg = "ES256" }), pb.CodeCredential},
		"a newline in the note":   {note("a\nb"), pb.CodeCredential},
		"an escape in the note":   {note("\x1b]0;x\x07"), pb.CodeCredential},
		"a C1 control":            {note("\u009b31m"), pb.CodeCredential},
		"DEL":                     {note("\x7f"), pb.CodeCredential},
		"a replacement character": {note("\ufffd"), pb.CodeCredential},
		"a note of 1025":          {note(strings.Repeat("a", 1025)), pb.CodeCredential},
		"an owner of 257":         {set(func(p *pb.Profile) { p.Owner = strings.Repeat("a", 257) }), pb.CodeCredential},
		"http elsewhere":          {endpoint("http://mock.example:8080"), pb.CodeCredential},
		"http to a near miss":     {endpoint("http://127.0.0.1.evil.example"), pb.CodeCredential},
		"http to any address":     {endpoint("http://0.0.0.0:80"), pb.CodeCredential},
		"a path in the endpoint":  {endpoint("https://127.0.0.1:8443/x"), pb.CodeCredential},
		"a query in the endpoint": {endpoint("https://127.0.0.1:8443?x"), pb.CodeCredential},
		"userinfo":                {endpoint("https://user:pass@127.0.0.1:8443"), pb.CodeCredential},
		"another scheme":          {endpoint("file:///etc/passwd"), pb.CodeCredential},
		"no scheme":               {endpoint("127.0.0.1:8443"), pb.CodeCredential},
		"a port too high":         {endpoint("https://127.0.0.1:65536"), pb.CodeCredential},
		"a newline in it":         {endpoint("https://127.0.0.1:8443\n"), pb.CodeCredential},
		"a CA without endpoint":   {set(func(p *pb.Profile) { p.Ca = authority }), pb.CodeCredential},
		"a CA that is none":       {ca("x"), pb.CodeCredential},
		"two CAs":                 {ca(authority + authority), pb.CodeCredential},
		"text before the CA":      {ca("\x1b[2J" + authority), pb.CodeCredential},
		"text after the CA":       {ca(authority + "x"), pb.CodeCredential},
		"a CA with headers":       {ca(strings.Replace(authority, "-----\n", "-----\nX: y\n\n", 1)), pb.CodeCredential},
		"a key as CA":             {ca(strings.ReplaceAll(authority, "CERTIFICATE", "PRIVATE KEY")), pb.CodeCredential},
		"a CA of 200 KB":          {ca(authority + strings.Repeat("\n", 200<<10)), pb.CodeCredential},
	} {
		p := tba("acme")
		c.change(p)
		_, err := f.admin.AddProfile(t.Context(), p, f.tbaSecrets())
		if got := errorCode(err); got != string(c.want) {
			t.Errorf("%s: got %v, want %s", why, err, c.want)
		}
		if err != nil && (len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\x1b\n\r\x00\u009b")) {
			t.Errorf("%s: the message repeats what was sent: %q", why, err)
		}
	}
	if _, err := f.admin.AddProfile(t.Context(), nil, f.tbaSecrets()); !errors.Is(err, client.ErrRequest) {
		t.Errorf("no profile at all: got %v", err)
	}
	if l, err := f.signer.Profiles(t.Context()); err != nil || len(l.GetProfiles()) != 0 {
		t.Fatalf("afterwards: got %v, %v, want no profile", l, err)
	}

	// What is unusual and right.
	for i, change := range []func(*pb.Profile){
		name("a"), name(strings.Repeat("a", 63)), name("0.a_b-c"), account("1234567-sb1"), account("TSTDRV123"),
		note("Größe – 漢字"), endpoint("http://localhost:8080"), endpoint("http://[::1]:1"), endpoint("http://127.1.2.3:65535"),
		endpoint("https://MOCK.example"), ca(authority), key(strings.Repeat("~", 128)),
	} {
		p := tba("acme")
		change(p)
		got, err := f.admin.AddProfile(t.Context(), p, f.tbaSecrets())
		if err != nil {
			t.Errorf("number %d: %v", i, err)
			continue
		}
		if got.GetName() != p.GetName() || got.GetCreatedAt() == 0 {
			t.Errorf("number %d: got %v", i, got)
		}
		if err := f.admin.RemoveProfile(t.Context(), p.GetName()); err != nil {
			t.Error(err)
		}
	}
}

// TestHostileSecrets guards L-03: what is wrong with a secret is told by its field
// and the kind of mistake; no part of it comes back, whole or in pieces.
func TestHostileSecrets(t *testing.T) {
	f := start(t)
	f.unlock()
	const good, canary = "c0ffee00c0ffee00c0ffee00c0ffee00", "5eed5eed77aa5eed5eed77aa5eed5eed"
	for why, c := range map[string][2]string{
		"a newline":            {canary + "\n", good},
		"CR LF":                {canary, good + "\r\n"},
		"a blank before":       {" " + canary, good},
		"a tab inside":         {canary[:8] + "\t" + canary[8:], good},
		"a NUL":                {canary + "\x00", good},
		"not ASCII":            {canary + "é", good},
		"the same twice":       {canary, canary},
		"empty":                {"", good},
		"empty token secret":   {canary, ""},
		"513 bytes":            {strings.Repeat("5", 481) + canary, good},
		"a key, not a secret":  {"-----BEGIN PRIVATE KEY-----\n" + canary, good},
		"quotes are fine, DEL": {canary + "\x7f", good},
	} {
		_, err := f.admin.AddProfile(t.Context(), tba("acme"), map[string]client.Sealer{"consumer_secret": f.sealer(c[0]), "token_secret": f.sealer(c[1])})
		if errorCode(err) != string(pb.CodeCredential) {
			t.Errorf("%s: got %v, want %s", why, err, pb.CodeCredential)
		}
		if err != nil && strings.Contains(err.Error(), canary[:8]) {
			t.Errorf("%s: the message has the secret: %v", why, err)
		}
	}
	for _, e := range f.entries() {
		if strings.Contains(string(e.AppendLine(nil)), canary[:8]) {
			t.Errorf("the log has the secret: %+v", e)
		}
	}
	longest := strings.Repeat("!", 511) + "~"
	if _, err := f.admin.AddProfile(t.Context(), tba("acme"), map[string]client.Sealer{"consumer_secret": f.sealer(longest), "token_secret": f.sealer("%&=+ "[:4])}); err != nil {
		t.Errorf("512 bytes of punctuation: %v", err)
	}
	f.sign("acme")
}
