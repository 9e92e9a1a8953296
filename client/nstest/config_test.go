package nstest

import (
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const smallConfig = `{"accounts":[{"id":"1234567_SB1","integrations":[{"name":"n","consumer_key":"ck","consumer_secret":"cs"}],"tokens":[{"token_id":"ti","token_secret":"ts","consumer_key":"ck"}]}]}`

func TestReadConfig(t *testing.T) {
	c, err := ReadConfig(strings.NewReader(smallConfig))
	if err != nil || len(c.Accounts) != 1 || c.Accounts[0].Tokens[0].TokenSecret != "ts" {
		t.Fatalf("%+v, %v", c, err)
	}
	edit := func(old, with string) string { return strings.Replace(smallConfig, old, with, 1) }
	for what, text := range map[string]string{
		"nothing":               "",
		"null":                  "null",
		"an array":              "[]",
		"no accounts":           `{}`,
		"trailing bytes":        smallConfig + "{}",
		"unknown key":           edit(`"id"`, `"ident":1,"id"`),
		"key in another case":   edit(`"id"`, `"ID"`),
		"key with a long s":     edit(`"tokens"`, `"token\u017f"`),
		"key twice":             edit(`"name":"n"`, `"name":"n","name":"m"`),
		"secret twice":          edit(`"token_secret":"ts"`, `"token_secret":"ts","token_secret":"tu"`),
		"a number for a text":   edit(`"ck"`, `7`),
		"host label as ID":      edit("1234567_SB1", "1234567-sb1"),
		"ID with a dot":         edit("1234567_SB1", "1234567.EVIL"),
		"ID empty":              edit("1234567_SB1", ""),
		"no consumer secret":    edit(`"cs"`, `""`),
		"unknown state":         edit(`"name":"n"`, `"name":"n","state":"Enabled"`),
		"token of nobody":       edit(`"ts","consumer_key":"ck"`, `"ts","consumer_key":"other"`),
		"certificate not PEM":   edit(`"tokens"`, `"certificates":[{"client_id":"c","pem":"x"}],"tokens"`),
		"bad label":             edit(`"integrations"`, `"host_label":"a.b","integrations"`),
		"negative concurrency":  edit(`"integrations"`, `"concurrency":-1,"integrations"`),
		"too many customers":    edit(`"integrations"`, `"customers":10001,"integrations"`),
		"account twice":         `{"accounts":[{"id":"1"},{"id":"1"}]}`,
		"unknown setting":       edit(`{"accounts"`, `{"settings":{"x":1},"accounts"`),
		"bad setting":           edit(`{"accounts"`, `{"settings":{"challenge":"x"},"accounts"`),
		"bad status":            edit(`{"accounts"`, `{"settings":{"restlet_login_status":500},"accounts"`),
		"bad namespace":         edit(`{"accounts"`, `{"settings":{"passport_namespace":"x"},"accounts"`),
		"bad assertion error":   edit(`{"accounts"`, `{"settings":{"assertion_error":"x"},"accounts"`),
		"bad audience":          edit(`{"accounts"`, `{"settings":{"audience":"x"},"accounts"`),
		"bad cert errors":       edit(`{"accounts"`, `{"settings":{"certificate_errors":"x"},"accounts"`),
		"bad created":           edit(`{"accounts"`, `{"settings":{"certificate_created":204},"accounts"`),
		"bad token type":        edit(`{"accounts"`, `{"settings":{"token_type":"MAC"},"accounts"`),
		"bad client status":     edit(`{"accounts"`, `{"settings":{"unauthorized_client_status":404},"accounts"`),
		"bad step status":       edit(`{"accounts"`, `{"settings":{"three_step_status":200},"accounts"`),
		"bad life":              edit(`{"accounts"`, `{"settings":{"request_token_seconds":-1},"accounts"`),
		"leeway":                edit(`{"accounts"`, `{"settings":{"assertion_leeway":-1},"accounts"`),
		"body limit":            edit(`{"accounts"`, `{"max_body":-1,"accounts"`),
		"not UTF-8":             edit(`"n"`, "\"\xff\""),
		"nested too deeply":     strings.Repeat("[", 40) + strings.Repeat("]", 40),
		"request token at once": edit(`"tokens"`, `"request_tokens":[{"token_id":"r","token_secret":"s","consumer_key":"ck"}],"tokens"`),
		"longer than 4 MiB":     smallConfig + strings.Repeat(" ", 4<<20),
	} {
		if _, err := ReadConfig(strings.NewReader(text)); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestDemoConfig(t *testing.T) {
	c := DemoConfig()
	if err := c.Check(); err != nil || len(c.Accounts) != 2 || c.Accounts[0].ID != "1234567_SB1" || c.Accounts[1].ID != "1234567" {
		t.Fatalf("%+v, %v", c, err)
	}
	published, err := os.ReadFile("testdata/netsuite.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range c.Accounts {
		for _, secret := range []string{a.Integrations[0].ConsumerSecret, a.Tokens[0].TokenSecret} {
			if !strings.Contains(string(published), secret) {
				t.Errorf("a secret of %s is not one of the published samples", a.ID)
			}
		}
	}
}

// TestDocumentedConfig keeps the example of docs/mock.md readable, and every key
// and every mistake named there.
func TestDocumentedConfig(t *testing.T) {
	page, err := os.ReadFile("../../docs/mock.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```json\n")
	example, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("docs/mock.md has no JSON example")
	}
	c, err := ReadConfig(strings.NewReader(example))
	if err != nil {
		t.Fatalf("the example of docs/mock.md: %v", err)
	}
	for _, v := range []any{c, Account{}, Integration{}, Token{}, RequestToken{}, Certificate{}, User{}, Fault{}, Settings{}} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var names map[string]json.RawMessage
		if err := json.Unmarshal(data, &names); err != nil {
			t.Fatal(err)
		}
		for name := range names {
			if !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/mock.md does not name %s", name)
			}
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	given := regexp.MustCompile(`mistaken\(\w+, "([a-z0-9-]+)"`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range given.FindAllSubmatch(source, -1) {
			if !strings.Contains(string(page), "`"+string(m[1])+"`") {
				t.Errorf("docs/mock.md does not name %s", m[1])
			}
		}
	}
	for _, g := range append(httpGuesses(), concatGuesses()...) {
		if !strings.Contains(string(page), "`"+g.name+"`") {
			t.Errorf("docs/mock.md does not name the mistake %s", g.name)
		}
	}
}

func TestCertificateRules(t *testing.T) {
	with := func(all ...Certificate) error {
		a := account1()
		a.Certificates = all
		return Config{Accounts: []Account{a}}.Check()
	}
	var six []Certificate
	for range 6 {
		six = append(six, certificateOf(t, ecKey(elliptic.P256())))
	}
	if err := with(six[:5]...); err != nil {
		t.Errorf("five certificates: %v", err)
	}
	if err := with(six...); !errors.Is(err, ErrConfig) {
		t.Errorf("six certificates: %v", err)
	}
	six[0].Revoked = true
	if err := with(six...); err != nil {
		t.Errorf("six, one of them revoked: %v", err)
	}
	if err := with(six[1], six[1]); !errors.Is(err, ErrConfig) {
		t.Errorf("one twice: %v", err)
	}
	for _, bad := range []Certificate{certificateOf(t, keyOf.rsa2048()), certificateOf(t, ecKey(elliptic.P224()))} {
		if err := with(bad); !errors.Is(err, ErrConfig) {
			t.Errorf("a weak key: %v", err)
		}
	}
	bad := certificateOf(t, keyOf.ec256())
	bad.Scopes = []string{"mcp"}
	if err := with(bad); !errors.Is(err, ErrConfig) {
		t.Errorf("scope mcp: %v", err)
	}
}
