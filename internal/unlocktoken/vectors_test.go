package unlocktoken

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/nsagent/nsagent/internal/vectortest"
)

const vectorFile = "testdata/vectors.json"

// vectors are frozen tokens, with keys that everybody knows, and what they say.
type vectors struct {
	Issuer     string   `json:"issuer"`      // public key, in hexadecimal as all bytes here
	MachineKey string   `json:"machine_key"` // of the machine that issued them
	Tokens     []vector `json:"tokens"`
}

type vector struct {
	Name         string       `json:"name"`
	Text         string       `json:"text"`
	Presentation presentation `json:"presentation"`
	// Wrong is the class of what is wrong: format, issuer, signature, unknown or caveats.
	Wrong    string            `json:"wrong,omitempty"`
	Grant    string            `json:"grant,omitempty"`
	Mode     string            `json:"mode,omitempty"`
	Blocks   []map[string]any  `json:"blocks,omitempty"`
	Requests []vectorRequest   `json:"requests,omitempty"`
	WrapKeys map[string]string `json:"wrap_keys,omitempty"`
}

// presentation is what a token was shown to, and the proof that it made of that.
type presentation struct {
	VaultID   string `json:"vault_id"`
	Instance  string `json:"instance"`
	ID        string `json:"id"`
	PublicKey string `json:"public_key"`
	Proof     string `json:"proof"`
}

func (p presentation) challenge(t *testing.T) []byte {
	t.Helper()
	return Challenge(unhex(t, p.VaultID), unhex(t, p.Instance), unhex(t, p.ID), unhex(t, p.PublicKey))
}

type vectorRequest struct {
	Time       int64             `json:"time"`
	Credential string            `json:"credential"`
	Kind       string            `json:"kind"`
	Host       string            `json:"host,omitempty"`
	Method     string            `json:"method,omitempty"`
	Path       string            `json:"path,omitempty"`
	Script     string            `json:"script,omitempty"`
	Operation  string            `json:"operation,omitempty"`
	Address    string            `json:"address,omitempty"`
	Issuer     string            `json:"issuer,omitempty"`
	Claims     map[string]string `json:"claims,omitempty"`
	UID        *uint32           `json:"uid,omitempty"`
	Executable string            `json:"executable,omitempty"`
	// Refused is the name of the caveat that refuses; empty means that it is allowed.
	Refused string `json:"refused,omitempty"`
}

func (r vectorRequest) request(t *testing.T) Request {
	t.Helper()
	q := Request{
		Time: r.Time, Credential: ID(unhex(t, r.Credential)), Kind: r.Kind, Host: r.Host, Method: r.Method, Path: r.Path, Script: r.Script,
		Operation: r.Operation, Issuer: r.Issuer, Claims: r.Claims, Executable: r.Executable,
	}
	if r.Address != "" {
		q.Address = netip.MustParseAddr(r.Address)
	}
	if r.UID != nil {
		q.HasPeer, q.UID = true, *r.UID
	}
	return q
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// look returns what this package makes of a frozen token.
func (v vector) look(t *testing.T, issuer, machineKey []byte) vector {
	t.Helper()
	out := vector{Name: v.Name, Text: v.Text, Presentation: v.Presentation}
	token, err := Parse([]byte(v.Text))
	if err == nil && token.Issuer != IssuerHash(issuer) {
		err = ErrIssuer
	}
	var g *Grant
	if err == nil {
		g, err = token.Chain.Verify(issuer, v.Presentation.challenge(t), unhex(t, v.Presentation.Proof))
	}
	if err != nil {
		out.Wrong = classOf(err)
		return out
	}
	if got := hex.EncodeToString(token.Prove(v.Presentation.challenge(t))); got != v.Presentation.Proof {
		t.Errorf("%s: another proof", v.Name)
	}
	id := g.Authority.Grant
	out.Grant, out.Mode, out.WrapKeys = hex.EncodeToString(id[:]), g.Mode, make(map[string]string)
	for _, b := range g.Blocks() {
		out.Blocks = append(out.Blocks, shownCaveats(b))
	}
	for _, r := range v.Requests {
		r.Refused = ""
		if refused := (*Refused)(nil); errors.As(g.Clear(r.request(t)), &refused) {
			r.Refused = refused.Caveat
		}
		out.Requests = append(out.Requests, r)
	}
	for _, s := range token.Shares {
		key := s.Key[:]
		if g.Mode == Attached {
			mac := hmac.New(sha256.New, machineKey)
			mac.Write(slices.Concat([]byte("nsagent/v1 agent share"), g.Vault[:], id[:]))
			key = mac.Sum(slices.Clone(key))
		}
		wrap, err := hkdf.Key(sha256.New, key, id[:], string(g.WrapInfo(s.Credential, IssuerHash(issuer))), 32)
		if err != nil {
			t.Fatal(err)
		}
		out.WrapKeys[hex.EncodeToString(s.Credential[:])] = hex.EncodeToString(wrap)
	}
	return out
}

func classOf(err error) string {
	for class, sentinel := range map[string]error{"format": ErrFormat, "issuer": ErrIssuer, "signature": ErrSignature, "unknown": ErrUnknownCaveat, "caveats": ErrCaveats} {
		if errors.Is(err, sentinel) {
			return class
		}
	}
	return err.Error()
}

// shownCaveats returns the caveats that are set, under the names of docs/unlock-tokens.md.
func shownCaveats(c Caveats) map[string]any {
	out := make(map[string]any)
	set := func(name string, v any) {
		if !reflect.ValueOf(v).IsZero() {
			out[name] = v
		}
	}
	var ids []string
	for _, id := range c.Credentials {
		ids = append(ids, hex.EncodeToString(id[:]))
	}
	set("credentials", ids)
	set("kinds", c.Kinds)
	set("hosts", c.Hosts)
	set("methods", c.Methods)
	set("paths", c.Paths)
	set("scripts", c.Scripts)
	set("operations", c.Operations)
	set("not_before", c.NotBefore)
	set("not_after", c.NotAfter)
	set("uses", c.Uses)
	set("networks", c.Networks)
	if c.Rate != nil {
		out["rate"] = []uint64{c.Rate.Count, c.Rate.Seconds}
	}
	if c.Peer != nil {
		out["peer"] = []any{append([]uint32{}, c.Peer.UIDs...), append([]string{}, c.Peer.Executables...)}
	}
	var identities []any
	for _, i := range c.Identities {
		var claims []any
		for _, claim := range i.Claims {
			claims = append(claims, []any{claim.Name, claim.Values})
		}
		identities = append(identities, []any{i.Issuer, claims})
	}
	if identities != nil {
		out["identities"] = identities
	}
	return out
}

// asJSON returns v as it comes out of JSON, so that numbers compare.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Tokens of every release are read for ever: these are frozen.
func TestVectors(t *testing.T) {
	vectortest.Renew(t, vectorFile, func() vectors { return newVectors(t) })
	v := vectortest.Read[vectors](t, vectorFile)
	if len(v.Tokens) < 15 {
		t.Fatalf("%d frozen tokens", len(v.Tokens))
	}
	for _, want := range v.Tokens {
		if got := want.look(t, unhex(t, v.Issuer), unhex(t, v.MachineKey)); !reflect.DeepEqual(asJSON(t, got), asJSON(t, want)) {
			t.Errorf("%s:\ngot  %v\nwant %v", want.Name, asJSON(t, got), asJSON(t, want))
		}
	}
}

// inPython returns the answer of the second implementation, written from
// docs/unlock-tokens.md alone, to a file of testdata.
func inPython[T any](t *testing.T, file string, args ...string) T {
	t.Helper()
	return vectortest.Answer[T](t, file, vectortest.Script{Path: "testdata/verifier.py", Modules: []string{"cbor2", "nacl"}}, args...)
}

// It tells RESTlets from paths and queries as agent/policy does, which has the same table.
func TestSecondImplementationOfRESTlets(t *testing.T) {
	const file = "testdata/restlets.json"
	got := inPython[[]string](t, file, "restlets")
	for i, want := range vectortest.Read[[][3]string](t, file) { // path, query, script
		if got[i] != want[2] {
			t.Errorf("%s?%s: got %q, want %q", want[0], want[1], got[i], want[2])
		}
	}
}

// It makes the same of the frozen tokens.
func TestSecondImplementation(t *testing.T) {
	all := inPython[[]struct {
		vector
		Allowed []bool `json:"allowed"`
	}](t, vectorFile)
	for i, want := range vectortest.Read[vectors](t, vectorFile).Tokens {
		got := all[i]
		if got.Wrong != want.Wrong || got.Grant != want.Grant || got.Mode != want.Mode || !reflect.DeepEqual(asJSON(t, got.Blocks), asJSON(t, want.Blocks)) || !maps.Equal(got.WrapKeys, want.WrapKeys) {
			t.Errorf("%s:\ngot  %v\nwant %v", want.Name, asJSON(t, got), asJSON(t, want))
		}
		for j, r := range want.Requests {
			if j >= len(got.Allowed) {
				t.Errorf("%s: request %d: no answer", want.Name, j)
			} else if got.Allowed[j] != (r.Refused == "") {
				t.Errorf("%s: request %d: got %v, want it refused by %q", want.Name, j, got.Allowed[j], r.Refused)
			}
		}
	}
}
