package nstest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"time"
)

// maxMappings bounds the certificates of an account, the revoked ones included.
const maxMappings = 1000

// mapped returns copies of the certificates with this ID, or of all if it is
// empty, in the order in which they came.
func (a *account) mapped(id string) []*certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*certificate
	for _, c := range a.certs {
		if id == "" || c.id == id {
			one := *c
			out = append(out, &one)
		}
	}
	return out
}

// mayManage says whether this entity in this role has the permission to manage
// its own certificates.
func (a *account) mayManage(entity, role string) bool {
	for _, c := range a.Certificates {
		if c.Manage && c.Entity == entity && c.Role == role {
			return true
		}
	}
	for _, u := range a.Users {
		if u.Manage && u.Entity == entity && u.Role == role {
			return true
		}
	}
	return false
}

// knowsClient says whether the account has an integration record of this client
// ID.
func (a *account) knowsClient(clientID string) bool {
	if _, found := a.integration(clientID); found {
		return true
	}
	for _, c := range a.Certificates {
		if c.ClientID == clientID {
			return true
		}
	}
	return false
}

// addCertificate maps a certificate: text is what was uploaded.
func (a *account) addCertificate(text, clientID, entity, role string, long bool, now time.Time) (*certificate, *refusal) {
	if refused := onlyCertificate(text); refused != nil {
		return nil, refused
	}
	c := newCertificate(Certificate{ClientID: clientID, PEM: text, Entity: entity, Role: role}, long)
	c.created = now
	switch {
	case c.fault != nil:
		return nil, mistaken(ReasonCertificate, "certificate-not-acceptable", c.fault.Error())
	case now.After(c.until):
		return nil, mistaken(ReasonCertificate, "certificate-expired", "the certificate has expired already")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	active := 0
	for _, old := range a.certs {
		switch {
		case old.id == c.id && old.Revoked:
			return nil, mistaken(ReasonCertificate, "certificate-revoked", "a revoked certificate cannot be used again")
		case old.id == c.id:
			return nil, mistaken(ReasonCertificate, "certificate-in-use", "the certificate is mapped already: one certificate, one combination of integration record, entity and role")
		}
		if old.ClientID == clientID {
			c.Scopes = old.Scopes // those of the integration record
			if old.active(now) {
				active++
			}
		}
	}
	if active >= maxActiveCertificates {
		return nil, mistaken(ReasonCertificate, "certificate-slots-full", "the integration record has five active certificates")
	}
	if len(a.certs) >= maxMappings {
		return nil, refuse(ReasonBusy, "the account has too many certificates")
	}
	a.certs = append(a.certs, c)
	one := *c
	return &one, nil
}

// revokeCertificate ends the mapping of a certificate of this client and entity.
func (a *account) revokeCertificate(id, clientID, entity string, again bool) *refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.certs {
		switch {
		case c.id != id || c.ClientID != clientID:
		case c.Entity != entity:
			return mistaken(ReasonPermissionDenied, "certificate-of-another-entity", "the permission is for the entity's own certificates")
		case c.Revoked && !again:
			return mistaken(ReasonCertificate, "certificate-revoked", "the certificate is revoked already")
		default:
			c.Revoked = true
			return nil
		}
	}
	return refuse(ReasonNotFound, "the client ID has no such certificate")
}

// onlyCertificate wants text to be one certificate in PEM and nothing else.
func onlyCertificate(text string) *refusal {
	if strings.Contains(text, "PRIVATE KEY") {
		return mistaken(ReasonCertificate, "private-key-sent", "the private key was sent along: it is not secret any more")
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" || !strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN") {
		return mistaken(ReasonCertificate, "certificate-not-acceptable", "fileContent is not one certificate in PEM form")
	}
	return nil
}

// applicationID is the application ID of the integration record with this client
// ID: a UUID, always the same one.
func applicationID(clientID string) string {
	sum := sha256.Sum256([]byte("application " + clientID))
	h := strings.ToUpper(hex.EncodeToString(sum[:16]))
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
