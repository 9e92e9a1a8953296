package client_test

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"testing"

	"google.golang.org/grpc"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// fill puts into requests what the page cannot show: sealed secrets, and the ids of
// keys, slots and uploads. Where it stands there is … on the page.
func (w *wire) fill(t *testing.T, method string, requests []any) {
	t.Helper()
	if len(requests) > 1 { // the messages of an upload
		if start, ok := requests[0].(map[string]any)["start"].(map[string]any); ok {
			w.fillUpload(t, start, requests)
			return
		}
	}
	if method == pb.Signer_Redeem_FullMethodName {
		w.fillToken(t, requests[0].(map[string]any))
		return
	}
	for _, q := range requests {
		profile, _ := q.(map[string]any)["name"].(string)
		if method == pb.Admin_FinishLogin_FullMethodName {
			profile, _ = w.login["profile"].(string)
			for key, value := range w.login {
				if q.(map[string]any)[key] == "…" {
					q.(map[string]any)[key] = value
				}
			}
		}
		if p, ok := q.(map[string]any)["profile"].(map[string]any); ok {
			if profile == "" {
				profile, _ = p["name"].(string)
			}
			for key, text := range w.public {
				if p[key] == "…" {
					p[key] = text
				}
			}
		}
		if object, ok := q.(map[string]any); ok && object["certificateId"] == "…" {
			object["certificateId"] = w.certificate
		}
		w.fillIn(t, method, profile, q)
	}
}

// fillIn looks for what is sealed, at any depth.
func (w *wire) fillIn(t *testing.T, method, profile string, v any) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			w.fillIn(t, method, profile, e)
		}
	case map[string]any:
		if v["id"] == "…" {
			v["id"] = w.id
		}
		if field, ok := v["field"].(string); ok {
			s := w.seal(t, method, profile, field)
			v["keyId"] = base64.StdEncoding.EncodeToString(s.key)
			v["box"] = base64.StdEncoding.EncodeToString(append(s.enc, s.next([]byte(w.secrets[field]))...))
			return
		}
		for _, e := range v {
			w.fillIn(t, method, profile, e)
		}
	}
}

// fillToken puts an unlock token for one profile into a Redeem.
func (w *wire) fillToken(t *testing.T, q map[string]any) {
	t.Helper()
	token, err := w.mint(t.Context(), unlocktoken.Caveats{}, "acme-sb1")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := pb.NewSignerClient(w.agent).SealKey(t.Context(), &pb.SealKeyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	k := keys.GetKeys()[0]
	s := sealTo(t, keys, pb.Signer_Redeem_FullMethodName, "", "shares")
	var shares []byte
	for _, share := range token.Shares {
		shares = append(append(shares, share.Credential[:]...), share.Key[:]...)
	}
	text := base64.StdEncoding.EncodeToString
	box, _ := q["shares"].(map[string]any)
	box["keyId"], box["box"] = text(s.key), text(append(s.enc, s.next(shares)...))
	q["chain"] = text(token.Chain.Encode())
	q["proof"] = text(token.Prove(unlocktoken.Challenge(keys.GetVaultId(), keys.GetInstance(), k.GetId(), k.GetPublicKey())))
}

// fillUpload seals the secret of an upload in as many pieces as the page has.
func (w *wire) fillUpload(t *testing.T, start map[string]any, requests []any) {
	t.Helper()
	method, _ := start["method"].(string)
	profile, _ := start["profile"].(string)
	field, _ := start["field"].(string)
	s, secret := w.seal(t, method, profile, field), []byte(w.secrets[field])
	start["keyId"], start["length"] = base64.StdEncoding.EncodeToString(s.key), len(secret)
	piece := s.enc
	for i, q := range requests {
		if i > 0 {
			n := len(secret) / (len(requests) - i)
			piece, secret = s.next(secret[:n]), secret[n:]
		}
		q.(map[string]any)["piece"] = base64.StdEncoding.EncodeToString(piece)
	}
}

// sealing is what docs/protocol.md says of secrets on their way in, anew.
type sealing struct {
	key, enc []byte
	next     func([]byte) []byte
}

func (w *wire) seal(t *testing.T, method, profile, field string) sealing {
	t.Helper()
	if field == "new_totp" {
		w.secrets[field] = totpNow()
	}
	if _, ok := w.secrets[field]; !ok {
		t.Fatalf("nothing is there to seal for %q", field)
	}
	keys, err := pb.NewAdminClient(grpc.ClientConnInterface(w.admin)).SealKey(t.Context(), &pb.SealKeyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return sealTo(t, keys, method, profile, field)
}

// sealTo seals to the first of the keys.
func sealTo(t *testing.T, keys *pb.SealKeyResponse, method, profile, field string) sealing {
	t.Helper()
	public, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(keys.GetKeys()[0].GetPublicKey())
	if err != nil {
		t.Fatal(err)
	}
	info := measured("nsagent/v1 seal", string(keys.GetVaultId()), string(keys.GetInstance()))
	enc, sender, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info)
	if err != nil {
		t.Fatal(err)
	}
	return sealing{keys.GetKeys()[0].GetId(), enc, func(piece []byte) []byte {
		out, err := sender.Seal(measured(method, profile, field), piece)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}}
}

// measured puts each part behind its length in two bytes, big endian.
func measured(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(p))), p...) // #nosec G115 -- short
	}
	return out
}

// remember keeps what later calls of the page need.
func (w *wire) remember(t *testing.T, verb string, request any, answers []any) {
	t.Helper()
	answer, _ := answers[0].(map[string]any)
	switch verb {
	case "Admin.BeginLogin":
		w.login = w.browse(t, fmt.Sprint(answer["authorizeUrl"]))
		profile, _ := request.(map[string]any)["profile"].(map[string]any)
		w.login["profile"], w.login["id"] = profile["name"], answer["id"]
	case "Admin.AddKeySlot":
		slots, _ := answer["slots"].([]any)
		for _, s := range slots {
			if slot, _ := s.(map[string]any); slot["kind"] == "recovery" {
				w.id, _ = slot["id"].(string)
			}
		}
	case "Admin.NewGrant":
		grant, _ := answer["grant"].(map[string]any)
		w.id, _ = grant["id"].(string)
	case "Admin.UploadCertificate":
		certificate, _ := answer["certificate"].(map[string]any)
		w.certificate, _ = certificate["certificateId"].(string)
	case "Admin.ChangePassphrase", "Admin.Recover":
		w.secrets["passphrase"] = w.secrets["new_passphrase"]
		w.secrets["new_passphrase"] += ", and again"
	}
}

// browse opens the page of a login, says yes, and returns what the answer of NetSuite
// brings, under the names that FinishLogin has for it.
func (w *wire) browse(t *testing.T, page string) map[string]any {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(shared(t).endpoint.CAPEM)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(request(t, t.Context(), "GET", page+"&nstest_allow=1", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	callback, err := resp.Location()
	if err != nil {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	query := callback.Query()
	w.secrets["code"] = query.Get("oauth_verifier")
	return map[string]any{
		"state": query.Get("state"), "company": query.Get("company"), "role": query.Get("role"), "entity": query.Get("entity"), "requestToken": query.Get("oauth_token"),
	}
}
