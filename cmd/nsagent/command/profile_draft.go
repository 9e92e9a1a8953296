package command

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// draft is a profile on its way in: what is public, and the secrets.
type draft struct {
	profile *pb.Profile
	caFile  string
	secrets map[string]secret.Bytes
	given   []string // keys, in the order in which they came
}

const (
	// shortValue is the most bytes of an API secret that go in one message, and
	// pieceSize is how much of a longer one goes in one piece.
	shortValue = 64 << 10
	pieceSize  = 16 << 10
)

func newDraft() *draft {
	return &draft{profile: &pb.Profile{}, secrets: make(map[string]secret.Bytes)}
}

func (d *draft) destroy() {
	for _, b := range d.secrets {
		b.Destroy()
	}
}

// complete checks that the parts are there, mends what people paste along with
// them, warns of what looks wrong, and asks for what is left. The agent checks all
// of it again.
func (d *draft) complete(e *env) error {
	want, err := d.wanted()
	if err != nil {
		return err
	}
	if b, ok := d.secrets["client_secret"]; ok && b.Len() == 0 { // as a public client has it
		b.Destroy()
		delete(d.secrets, "client_secret")
	}
	for _, field := range want {
		b, ok := d.secrets[field]
		if !ok && field == "client_secret" {
			continue
		}
		if !ok || b.Len() == 0 {
			return misfit(field+" is missing", "")
		}
		trimmed, err := trimBlanks(b)
		if err != nil {
			return err
		}
		if trimmed && d.profile.GetAuth() != "m2m" {
			e.note("%s had blanks around it, which were left out", field)
		}
	}
	switch d.profile.GetAuth() {
	case "tba":
		d.warnTBA(e)
	case "m2m":
		if err := d.mendM2M(); err != nil {
			return err
		}
	}
	if err := d.readCA(); err != nil {
		return err
	}
	return e.askAccess(d.profile)
}

// readCA copies the CA's file in.
func (d *draft) readCA() error {
	if d.caFile == "" {
		return nil
	}
	ca, err := readSmall(d.caFile)
	if err != nil {
		return usage("ca_file cannot be read", err.Error(), "")
	}
	d.profile.Ca = string(ca)
	return nil
}

// kinds are the values of auth.
const kinds = "it is tba (token-based authentication), m2m (OAuth 2.0 client credentials), authcode (OAuth 2.0 authorization code) or secret (an API secret)"

// wanted returns the secret fields that the kind of credential has; a public client has
// no client_secret.
func (d *draft) wanted() ([]string, error) {
	switch d.profile.GetAuth() {
	case "tba":
		return []string{"consumer_secret", "token_secret"}, nil
	case "m2m":
		return []string{"private_key"}, nil
	case "authcode":
		return []string{"client_secret"}, nil
	case "secret":
		return []string{"value"}, nil
	case "":
		return nil, misfit("auth is missing", kinds)
	default:
		return nil, misfit(fmt.Sprintf("auth is %.40q", d.profile.GetAuth()), kinds)
	}
}

func misfit(message, why string) error {
	return &client.Error{Code: pb.CodeCredential, Message: message, Why: why, Next: "see:  nsagent profile add --help"}
}

// warnTBA warns of values that do not look like NetSuite's, or stand twice. It
// names fields and shows no value.
func (d *draft) warnTBA(e *env) {
	p := d.profile
	fields := []string{"consumer_key", "consumer_secret", "token_id", "token_secret"}
	public := map[string]string{"consumer_key": p.GetConsumerKey(), "token_id": p.GetTokenId()}
	use := func(field string, f func(p []byte)) {
		if b, ok := d.secrets[field]; ok {
			_ = b.Use(func(p []byte) error { f(p); return nil })
			return
		}
		f([]byte(public[field]))
	}
	var odd []string
	for i, field := range fields {
		use(field, func(v []byte) {
			if len(v) > 0 && !hex64(v) {
				odd = append(odd, field)
			}
			for _, other := range fields[:i] {
				use(other, func(w []byte) {
					if len(v) > 0 && bytes.Equal(v, w) {
						e.note("%s and %s are the same: was one of them pasted twice?", other, field)
					}
				})
			}
		})
	}
	switch {
	case len(odd) == 1:
		e.note("%s does not have the 64 hexadecimal digits that NetSuite's have", odd[0])
	case len(odd) > 1:
		e.note("%s do not have the 64 hexadecimal digits that NetSuite's have", strings.Join(odd, ", "))
	}
}

// hex64 reports whether v has the shape of NetSuite's keys, IDs and secrets.
func hex64(v []byte) bool {
	if len(v) != 64 {
		return false
	}
	for _, c := range v {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

// mendM2M undoes \n escapes, and refuses key and certificate in each other's place.
func (d *draft) mendM2M() error {
	if strings.Contains(d.profile.GetCertificate(), "PRIVATE KEY-----") {
		return misfit("certificate holds a private key", "the certificate goes there; the key goes into private_key")
	}
	d.mendCertificate()
	key, n, isCertificate := d.secrets["private_key"], 0, false
	err := key.Use(func(p []byte) error {
		n = unescapeLines(p)
		isCertificate = bytes.HasPrefix(p, []byte("-----BEGIN CERTIFICATE-----"))
		return nil
	})
	if err != nil {
		return err
	}
	if isCertificate {
		return misfit("private_key holds a certificate", "the key goes there; the certificate goes into certificate")
	}
	return key.Truncate(n)
}

func (d *draft) mendCertificate() {
	if c := d.profile.GetCertificate(); !strings.Contains(c, "\n") {
		d.profile.Certificate = strings.ReplaceAll(c, `\n`, "\n")
	}
}

// unescapeLines turns \n, as environment files have it, into line ends where p has
// none, in place, and returns the new length.
func unescapeLines(p []byte) int {
	if bytes.IndexByte(p, '\n') >= 0 {
		return len(p)
	}
	n := 0
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c == '\\' && i+1 < len(p) && p[i+1] == 'n' {
			c = '\n'
			i++
		}
		p[n] = c
		n++
	}
	return n
}

// trimBlanks takes blanks and line ends off both ends, in place.
func trimBlanks(b secret.Bytes) (trimmed bool, err error) {
	n := b.Len()
	err = b.Use(func(p []byte) error {
		s := bytes.TrimSpace(p)
		n = copy(p, s)
		return nil
	})
	if err != nil || n == b.Len() {
		return false, err
	}
	return true, b.Truncate(n)
}

// longValue returns the value of an API secret where it is too long for a message,
// and takes it out of the secrets.
func (d *draft) longValue() *client.LongSecret {
	b, ok := d.secrets["value"]
	if !ok || b.Len() <= shortValue {
		return nil
	}
	return &client.LongSecret{Length: b.Len(), Seal: func(to client.SealTo, emit func([]byte) error) error {
		return secret.SealPieces(to.PublicKey, sealContext(to), b, pieceSize, emit)
	}}
}

// readFiles reads an M2M certificate and, into the arena, its key. An empty name
// stands for none.
func (d *draft) readFiles(arena *secret.Arena, certificate, key string) error {
	if certificate != "" {
		pem, err := readSmall(certificate)
		if err != nil {
			return usage("the certificate cannot be read", err.Error(), "")
		}
		d.profile.Certificate = string(pem)
		d.given = append(d.given, "certificate")
	}
	if key == "" {
		return nil
	}
	f, err := os.Open(key) // #nosec G304 -- the user names it
	if err != nil {
		return usage("the private key cannot be read", unreadable("the file that is named for it", err), "")
	}
	defer func() { _ = f.Close() }()
	if d.secrets["private_key"], err = arena.ReadAll(f, maxSmall); err != nil {
		return usage("the private key cannot be read", readFault(err), "")
	}
	d.given = append(d.given, "private_key")
	return nil
}
