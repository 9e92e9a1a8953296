package policy

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// Parse reads the text of a policy. The reader is strict: a key that is unknown, comes
// twice or is written in another case is an error, and so is whatever a rule could not
// mean.
//
// The error is a *SyntaxError, which wraps ErrSyntax.
func Parse(text string) (*Policy, error) {
	top, err := decode(text)
	if err != nil {
		return nil, err
	}
	p := &Policy{}
	top.must("version")
	top.hint = ": write version = 1 on its first line"
	if v, ok := top.get("version"); ok && v != int64(1) {
		top.fail("version", "it is 1, the only one that there is")
	}
	p.readSettings(top)
	p.readCopied(top)
	names := make(map[string]int)
	for _, t := range top.subs("rule", maxRules) {
		r := readRule(t)
		if line, twice := names[r.Name]; twice {
			t.fail("name", "the rule of line %d has this name", line)
		}
		names[r.Name] = r.Line
		p.Rules = append(p.Rules, r)
		if *top.err != nil {
			break
		}
	}
	top.end()
	if *top.err != nil {
		return nil, *top.err
	}
	p.compile()
	return p, nil
}

// compile makes p ready to decide.
func (p *Policy) compile() {
	p.index = newIndex(p.Rules)
	for i := range p.Rules {
		p.asks |= p.Rules[i].Who.asks()
	}
}

// decode reads TOML into a table.
func decode(text string) (*table, error) {
	where, err := scan(text)
	if err != nil {
		return nil, err
	}
	t := &table{places: where, err: new(error)}
	// Into a map: matching struct fields would forgive another case.
	if _, err := toml.Decode(text, &t.values); err != nil {
		s := &SyntaxError{Line: 1, Why: "it is not TOML"}
		if e := (toml.ParseError{}); errors.As(err, &e) {
			s.Line, s.Why = max(e.Position.Line, 1), printable(e.Message)
		}
		return nil, s
	}
	return t, nil
}

// printable makes a message of the parser, which quotes the text, safe to print.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 200)])
}

// readSettings reads what is not a rule.
func (p *Policy) readSettings(top *table) {
	if t := top.sub("step_up"); t != nil {
		p.StepUp.Admin = t.boolean("admin") == "yes"
		t.end()
	}
	if t := top.sub("approval"); t != nil {
		p.Approval.Timeout = t.duration("timeout", time.Hour)
		t.end()
	}
	for _, t := range top.subs("issuer", maxList) {
		p.Issuers = append(p.Issuers, readIssuer(t))
	}
}

// absolute reads an absolute path.
func absolute(t *table, key string) string {
	s := t.text(key)
	if s != "" && (!filepath.IsAbs(s) || filepath.Clean(s) != s) {
		t.fail(key, "it is an absolute path, without . and ..")
	}
	return s
}

func readRule(t *table) Rule {
	t.must("name")
	r := Rule{Name: t.text("name"), Line: t.places.line(t.path)}
	if len(r.Name) > 64 || strings.ContainsAny(r.Name, "\"\\`") {
		t.fail("name", "it has at most 64 characters, without quotation marks and backslash")
	} else if r.Name != "" {
		t.title = fmt.Sprintf("rule %q", r.Name)
	}
	t.must("effect")
	t.must("what")
	r.Effect = Effect(t.word("effect", string(Allow), string(Deny), string(Ask)))
	r.Environment = t.word("environment", "production", "sandbox")
	r.Profiles = parsed(t, "profiles", parseProfile)
	r.What = parsed(t, "what", readOperation)
	r.Hours = parsed(t, "hours", parseHours)
	if w := t.sub("who"); w != nil {
		r.Who = readWho(w)
	}
	r.Obligations = readObligations(t, r.Effect)
	t.end()
	return r
}

// errConnect answers the name that the permission has in grants and on the command line.
var errConnect = errors.New("that permission is called connect here")

func readOperation(s string) (Operation, error) {
	if s == string(KindConnectPassword) {
		return Operation{}, errConnect
	}
	return parseOperation(s)
}

func parseProfile(s string) (pathglob.Word, error) {
	if !plainName(strings.ReplaceAll(s, "*", "x")) {
		return pathglob.Word{}, errors.New("it is the name of a profile, in which one * stands for any letters")
	}
	return pathglob.CompileWord(s)
}

func readObligations(t *table, e Effect) (o Obligations) {
	rate := t.text("rate")
	o = Obligations{
		Uses: uint64(t.number("max_uses", 1e12)), Concurrency: int(t.number("concurrency", 10_000)), // #nosec G115 -- not negative
		TOTP: t.boolean("totp") == "yes",
	}
	if rate != "" {
		var err error
		if o.Rate, err = parseRate(rate); err != nil {
			t.fail("rate", "%v", err)
		}
	}
	if e == Deny && o != (Obligations{}) {
		t.fail("", "a rule that denies has no rate, max_uses, concurrency or totp")
	}
	return o
}

var errRate = errors.New(`it looks like "200/h": a number, and s, m, h or d`)

// parseRate reads "COUNT/UNIT".
func parseRate(s string) (r Rate, err error) {
	count, unit, _ := strings.Cut(s, "/")
	r.Per = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[unit]
	if r.Count, _ = strconv.ParseUint(count, 10, 32); r.Per == 0 || r.Count == 0 || r.Count > 1e6 {
		return Rate{}, errRate
	}
	return r, nil
}

func readWho(t *table) Who {
	if len(t.values) == 0 {
		t.fail("", "who names nobody: leave it out for everybody")
	}
	w := Who{
		UIDs: t.uids("uid"), Exes: t.texts("exe"), Hashes: t.texts("exe_sha256"), TTY: t.boolean("tty"),
		Units: parsed(t, "unit", pathglob.CompileWord), Containers: parsed(t, "container", pathglob.CompileWord), Grants: parsed(t, "grant", parseGrant),
	}
	for _, exe := range w.Exes {
		if !filepath.IsAbs(exe) || filepath.Clean(exe) != exe {
			t.fail("exe", "it is an absolute path, without . and ..")
		}
	}
	for _, h := range w.Hashes {
		if !isHash(h) {
			t.fail("exe_sha256", "it is 64 digits of lower-case hex")
		}
	}
	if o := t.sub("oidc"); o != nil {
		w.OIDC = readIdentity(o)
	}
	t.end()
	return w
}

func isHash(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// grantLetters is how many letters and digits stand behind the g_ of a grant's name.
const grantLetters = 26

var errGrant = fmt.Errorf("a grant is named whole, by g_ and %d letters and digits, or with a * for any; see:  nsagent grant ls", grantLetters)

// parseGrant reads the name of a grant, or a pattern. The start of a name, as other commands
// take it, would match nothing: a rule that denies by it would let everything through.
func parseGrant(s string) (pathglob.Word, error) {
	letters, named := strings.CutPrefix(s, "g_")
	pattern := strings.Contains(s, "*")
	switch {
	case s == "*":
	case !named, strings.Trim(letters, "abcdefghijklmnopqrstuvwxyz234567*") != "",
		!pattern && len(letters) != grantLetters, len(letters) > grantLetters:
		return pathglob.Word{}, errGrant
	}
	return pathglob.CompileWord(s)
}

// readIdentity reads an OIDC identity: every key but issuer is a claim.
func readIdentity(t *table) *Identity {
	t.must("issuer")
	i := &Identity{Issuer: t.text("issuer")}
	for name := range t.values {
		if name == "issuer" {
			continue
		}
		values := t.list(name)
		c := Claim{Name: name}
		for _, v := range values {
			if n, ok := v.(int64); ok {
				v = fmt.Sprint(n)
			}
			c.Values = append(c.Values, t.textOf(name, v))
		}
		i.Claims = append(i.Claims, c)
	}
	if len(i.Claims) == 0 {
		t.fail("", "oidc needs at least one claim: an issuer alone is everybody there")
	}
	slices.SortFunc(i.Claims, func(a, b Claim) int { return strings.Compare(a.Name, b.Name) })
	t.end()
	return i
}
