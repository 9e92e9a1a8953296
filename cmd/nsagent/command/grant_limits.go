package command

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// limitFlags say what a grant, or a narrower token, allows.
type limitFlags struct {
	methods, paths, hosts, scripts, kinds, networks, executables, jobs, uids []string

	ttl       duration
	notBefore beginning
	uses      positive
	rate      rate
	oidc      string
}

func (f *limitFlags) register(c *cobra.Command) {
	list := func(to *[]string, name, usage string) { c.Flags().StringArrayVar(to, name, nil, usage) }
	list(&f.methods, "method", "allow the HTTP `METHOD` only; more than one may be given, as in GET,HEAD")
	list(&f.paths, "path", "allow URL paths that fit `PATTERN`, such as /services/rest/**")
	list(&f.hosts, "host", "allow requests to `HOST` only")
	list(&f.scripts, "script", "allow the RESTlet `S/D`: script and deployment")
	list(&f.kinds, "kind", "allow `KIND`: sign, send, passport, connect-password, …")
	list(&f.networks, "cidr", "allow requests from a `NETWORK`; on a Unix socket, none")
	list(&f.executables, "exe", "allow the executable at `PATH` to ask; evidence, no wall")
	list(&f.uids, "uid", "allow the user `ID` to ask")
	c.Flags().Var(&f.ttl, "ttl", "end after a `TIME` such as 8h or 30d, at most 366d")
	c.Flags().Var(&f.notBefore, "not-before", "begin at a `TIME` such as 2026-12-01T06:00, in local time")
	c.Flags().Var(&f.uses, "uses", "end after `N` uses")
	c.Flags().Var(&f.rate, "rate", "allow `N/UNIT` uses, N at once after a pause: s, m, h or d, such as 200/h")
	list(&f.jobs, "for", "allow CI jobs: `JOB` is github:ID or gitlab:ID of a repository, and @BRANCH")
	c.Flags().StringVar(&f.oidc, "oidc", "", "allow jobs whose OIDC token says what `FILE` says")
}

// caveats returns what the flags say, without credentials. now is when the time begins.
func (f *limitFlags) caveats(now time.Time) (unlocktoken.Caveats, error) {
	c := unlocktoken.Caveats{
		Kinds: split(f.kinds), Hosts: mapped(split(f.hosts), strings.ToLower), Methods: mapped(split(f.methods), strings.ToUpper), Paths: f.paths, Scripts: split(f.scripts),
		Networks: split(f.networks), Uses: uint64(f.uses),
	}
	if t := time.Time(f.notBefore); !t.IsZero() {
		c.NotBefore = t.Unix()
	}
	if f.ttl > 0 {
		c.NotAfter = now.Add(time.Duration(f.ttl)).Unix()
	}
	if f.rate.Count > 0 {
		c.Rate = &unlocktoken.Rate{Count: f.rate.Count, Seconds: f.rate.Seconds}
	}
	if len(f.executables)+len(f.uids) > 0 {
		c.Peer = &unlocktoken.Peer{Executables: f.executables}
	}
	for _, host := range c.Hosts {
		if u, err := url.Parse("https://" + host); err != nil || u.Host != host || u.Port() != "" {
			return c, usage("wrong value for --host", fmt.Sprintf("%.80q is not the name of a host alone", host), "leave out https://, port and path, as in:  --host 1234567-sb1.suitetalk.api.netsuite.com")
		}
	}
	for _, user := range split(f.uids) {
		id, err := strconv.ParseUint(user, 10, 32)
		if err != nil {
			return c, usage("wrong value for --uid", fmt.Sprintf("%.80q is not the number of a user", user), "ask for it:  id -u NAME")
		}
		c.Peer.UIDs = append(c.Peer.UIDs, uint32(id)) // #nosec G115 -- of 32 bits
	}
	for _, job := range f.jobs {
		i, err := jobIdentity(job)
		if err != nil {
			return c, err
		}
		c.Identities = append(c.Identities, i)
	}
	if f.oidc != "" {
		all, err := readIdentities(f.oidc)
		if err != nil {
			return c, err
		}
		c.Identities = append(c.Identities, all...)
	}
	for _, i := range c.Identities {
		if err := oidc.CheckRefs(i); err != nil {
			_, why, _ := strings.Cut(err.Error(), oidc.ErrConfig.Error()+": ")
			return c, usage("the limits cannot be used", why, "name each branch whole, and once, as in:  --for github:123456789@release/1.2")
		}
	}
	return c, limitsFault(c)
}

// limitsFault returns an error for limits that make no sense.
func limitsFault(c unlocktoken.Caveats) error {
	if err := caveatsFault(c.Check()); err != nil {
		return err
	}
	onTarget := len(c.Hosts)+len(c.Methods)+len(c.Paths)+len(c.Scripts) > 0
	if onTarget && len(c.Kinds) > 0 && !slices.Contains(c.Kinds, "sign") && !slices.Contains(c.Kinds, "send") {
		return usage("the limits allow nothing", "where hosts, methods, paths or scripts are limited, sign and send alone are allowed", "leave --kind out, or the other limits")
	}
	return nil
}

// caveatsFault says what limits have to be; nil of nil.
func caveatsFault(err error) error {
	if err == nil {
		return nil
	}
	_, why, _ := strings.Cut(err.Error(), unlocktoken.ErrCaveats.Error()+": ")
	return usage("the limits cannot be used", plain(errors.New(why)), limitExample(why))
}

// limitExample shows the flag of a limit that is not well formed, by the name that begins what
// is said of it.
func limitExample(why string) string {
	name, _, _ := strings.Cut(why, ":")
	flag := map[string]string{
		"kinds": "--kind sign", "hosts": "--host 1234567-sb1.suitetalk.api.netsuite.com", "methods": "--method GET", "paths": "--path '/services/rest/**'",
		"scripts": "--script 123/1", "networks": "--cidr 192.0.2.0/24", "executables": "--exe /usr/bin/python3", "peer": "--uid 1000", "times": "--ttl 30d", "rate": "--rate 200/h",
		"identities": "--for github:123456789@main",
	}[name]
	if flag == "" {
		return ""
	}
	return "as in:  " + flag
}

// roomFault returns an error for limits that no token of so many profiles, made now, has
// room for: before anybody is asked for a proof. The agent looks again.
func roomFault(c unlocktoken.Caveats, profiles int, now time.Time) error {
	if profiles > unlocktoken.MaxShares {
		return nil // which is what the agent says
	}
	a := unlocktoken.Authority{Mode: unlocktoken.Attached, IssuedAt: now.Unix(), Caveats: c}
	for i := range profiles {
		a.Caveats.Credentials = append(a.Caveats.Credentials, unlocktoken.ID{byte(i)}) // #nosec G115 -- at most MaxShares; any of that length do
	}
	return caveatsFault(a.Check())
}

// noteLimits says which limits are hardly meant: networks, which nobody can meet as long as
// agents listen on nothing but Unix sockets, and what is likely to be misspelt.
func (e *env) noteLimits(c unlocktoken.Caveats) {
	if len(c.Networks) > 0 {
		e.note("with --cidr the token can do nothing: an agent listens on Unix sockets, which tell no address; leave it out")
	}
	for _, text := range strangeMethods(c.Methods) {
		e.note("%s", text)
	}
	if c.Peer != nil {
		for _, text := range notHere(c.Peer.Executables) {
			e.note("%s", text)
		}
	}
	e.noteClaims(c)
}

// split returns the values of a flag, of which one may hold several with commas between, where
// no comma can be part of a value.
func split(l []string) (out []string) {
	for _, s := range l {
		for part := range strings.SplitSeq(s, ",") {
			out = append(out, strings.TrimSpace(part))
		}
	}
	return out
}

func mapped(l []string, f func(string) string) []string {
	var out []string
	for _, s := range l {
		out = append(out, f(s))
	}
	return out
}

// maxIdentities bounds a file of OIDC identities, in bytes.
const maxIdentities = 64 << 10

// readIdentities reads the OIDC identities of a file: one object, or a list of them.
func readIdentities(file string) ([]unlocktoken.Identity, error) {
	f, err := os.Open(file) // #nosec G304 -- named by the user
	if err != nil {
		return nil, usage("the OIDC identities cannot be read", err.Error(), "")
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxIdentities+1))
	if err != nil || len(b) > maxIdentities {
		return nil, usage("the OIDC identities cannot be read", fmt.Sprintf("%s has more than %d bytes, or is no file", file, maxIdentities), "")
	}
	var all []identityJSON
	one := identityJSON{}
	strict := json.JoinOptions(json.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(false))
	if err := json.Unmarshal(b, &all, strict); err != nil {
		if err := json.Unmarshal(b, &one, strict); err != nil {
			return nil, usage("the OIDC identities are not the JSON that is expected", `{"issuer":"https://…","claims":{"repository_id":"1234","ref":["refs/heads/main"]}}, or a list of such`, "")
		}
		all = []identityJSON{one}
	}
	if len(all) == 0 {
		return nil, usage("the file names no OIDC identity", "with an empty list, no job at all would fit", "")
	}
	var out []unlocktoken.Identity
	for _, i := range all {
		out = append(out, identityOf(i))
	}
	return out, nil
}

// identityOf returns what i says, its claims in the order of their names.
func identityOf(i identityJSON) unlocktoken.Identity {
	identity := unlocktoken.Identity{Issuer: i.Issuer}
	for _, name := range sortedKeys(i.Claims) {
		identity.Claims = append(identity.Claims, unlocktoken.Claim{Name: name, Values: i.Claims[name]})
	}
	return identity
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// claimStrings are the values of a claim: a text, a whole number, or a list of such.
type claimStrings []string

// UnmarshalJSONFrom reads the values.
func (c *claimStrings) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	list := dec.PeekKind() == '['
	if list {
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
	}
	for !list || dec.PeekKind() != ']' {
		tok, err := dec.ReadToken()
		if err != nil {
			return err
		}
		switch tok.Kind() {
		case '"':
			*c = append(*c, tok.String())
		case '0':
			if _, err := strconv.ParseInt(tok.String(), 10, 64); err != nil {
				return errors.New("a number that is not whole")
			}
			*c = append(*c, tok.String())
		default:
			return errors.New("neither a text nor a number")
		}
		if !list {
			return nil
		}
	}
	_, err := dec.ReadToken()
	return err
}
