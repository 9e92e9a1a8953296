package nstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

const (
	clientA  = "1c343a716c1dceb60e7fc149fa6735929ef77d28fe16293f892976dde7d8e3e2"
	tokenURL = "https://123456-sb1.suitetalk.api.netsuite.com" + tokenPath
)

// keyOf makes the keys of the tests once: RSA keys take their time.
var keyOf = struct {
	ec256, ec384, ec521, rsa3072, rsa2048 func() crypto.Signer
}{
	sync.OnceValue(func() crypto.Signer { return ecKey(elliptic.P256()) }),
	sync.OnceValue(func() crypto.Signer { return ecKey(elliptic.P384()) }),
	sync.OnceValue(func() crypto.Signer { return ecKey(elliptic.P521()) }),
	sync.OnceValue(func() crypto.Signer { return rsaKey(3072) }),
	sync.OnceValue(func() crypto.Signer { return rsaKey(2048) }),
}

func ecKey(c elliptic.Curve) crypto.Signer {
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func rsaKey(bits int) crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// certify makes a self-signed certificate, valid around pinned.
func certify(t *testing.T, key crypto.Signer, from time.Time, years int) string {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: from.AddDate(years, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func certificateOf(t *testing.T, key crypto.Signer) Certificate {
	t.Helper()
	return Certificate{ClientID: clientA, PEM: certify(t, key, time.Unix(pinned-86400, 0), 1), Entity: "-5", Role: "1000"}
}

// assertion is a client assertion to sign.
type assertion struct {
	header, claims map[string]any
	key            crypto.Signer
	hash           crypto.Hash
	mangle         func(signature []byte) []byte
	pkcs1          bool
	salt           int // 0: as long as the hash
}

var jtis struct {
	sync.Mutex
	n int
}

// newAssertion is a right one.
func newAssertion(alg string, hash crypto.Hash, key crypto.Signer, kid string) assertion {
	jtis.Lock()
	jtis.n++
	id := fmt.Sprintf("jti-%d", jtis.n)
	jtis.Unlock()
	return assertion{
		header: map[string]any{"typ": "JWT", "alg": alg, "kid": kid},
		claims: map[string]any{"iss": clientA, "scope": []string{"restlets", "rest_webservices"}, "aud": tokenURL, "iat": pinned - 5, "exp": pinned + 600, "jti": id},
		key:    key, hash: hash,
	}
}

func (a assertion) compact(t testing.TB) string {
	t.Helper()
	h, err := json.Marshal(a.header)
	if err != nil {
		t.Fatal(err)
	}
	c, err := json.Marshal(a.claims)
	if err != nil {
		t.Fatal(err)
	}
	signed := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	w := a.hash.New()
	w.Write([]byte(signed))
	sum := w.Sum(nil)
	var signature []byte
	switch key := a.key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum)
		if err != nil {
			t.Fatal(err)
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case *rsa.PrivateKey:
		salt := a.salt
		if salt == 0 {
			salt = a.hash.Size()
		}
		if a.pkcs1 {
			signature, err = rsa.SignPKCS1v15(rand.Reader, key, a.hash, sum)
		} else {
			signature, err = rsa.SignPSS(rand.Reader, key, a.hash, sum, &rsa.PSSOptions{SaltLength: salt})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if a.mangle != nil {
		signature = a.mangle(signature)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func tokenForm(jwt string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {jwt}}
}

func (n *netsuite) exchange(to string, form url.Values) sent {
	n.t.Helper()
	return n.send("POST", to, form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
}

func kidOf(c Certificate) string { return newCertificate(c, false).id }
