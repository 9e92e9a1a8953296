package nstest

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/nsagent/nsagent/internal/pattern"
)

var internalID = pattern.New(`^-?[0-9]{1,12}$`)

// mappedCertificate is a certificate as the list shows it.
//
// Source: NetSuite Help, "GET Request to Obtain the List of Certificates".
type mappedCertificate struct {
	Application   mappedRecord `json:"application"`
	Entity        mappedRecord `json:"entity"`
	Role          mappedRecord `json:"role"`
	Created       string       `json:"created"`
	ValidFrom     string       `json:"valid_from"`
	ValidUntil    string       `json:"valid_until"`
	Revoked       bool         `json:"revoked"`
	CertificateID string       `json:"certificate_id"`
	Algorithm     string       `json:"algorithm"`
}

type mappedRecord struct {
	ID            any    `json:"id"` // string, or a number where NumberIDs is set
	Name          string `json:"name"`
	URL           string `json:"url"`
	ApplicationID string `json:"application_id,omitempty"`
}

// newMapping is the answer to a certificate that was created. Its names differ
// from those of the list.
//
// Source: NetSuite Help, "POST Request to Set Up a New Certificate".
type newMapping struct {
	EntityRole    entityRole `json:"entity_role_id"`
	ApplicationID string     `json:"application_id"`
	CertificateID string     `json:"certificate_id"`
	Certificate   string     `json:"certificate"`
	Algorithm     string     `json:"algorithm"`
	CreatedAt     string     `json:"created_at"`
	ValidFrom     string     `json:"valid_from"`
	ValidUntil    string     `json:"valid_until"`
	Invalidated   bool       `json:"invalidated"`
}

type entityRole struct {
	Company string `json:"com"`
	Entity  any    `json:"ent"`
	Role    any    `json:"rol"`
}

// certificates serves the certificate rotation API.
//
// Source: NetSuite Help, "OAuth 2.0 Client Credentials Certificate Rotation
// Endpoint". It prints neither statuses nor errors; Settings decide them.
func (x *exchange) certificates() answer {
	if scheme(x.request.Header.Get("Authorization")) != "bearer" {
		return x.deny(refuse(ReasonInvalidRequest, "the certificates API takes an access token of OAuth 2.0 only"))
	}
	return x.asUser(func(who login) answer {
		path := strings.Split(strings.TrimPrefix(x.wire.path, "/services/rest/auth/oauth2/v1/clients/"), "/")
		if len(path) < 2 || path[1] != "certificates" || !who.account.knowsClient(path[0]) {
			return x.deny(refuse(ReasonNotFound, "there is no such client ID, or nothing at this path"))
		}
		if !who.account.mayManage(who.token.User, who.token.Role) {
			return x.deny(mistaken(ReasonPermissionDenied, "certificate-permission",
				"the role lacks the permission Manage own OAuth 2.0 Client Credentials certificates"))
		}
		switch {
		case len(path) == 2 && x.wire.method == http.MethodGet:
			return x.listCertificates(who, path[0])
		case len(path) == 2 && x.wire.method == http.MethodPost:
			return x.createCertificate(who, path[0])
		case len(path) == 4 && path[3] == "revoke" && x.wire.method == http.MethodPost:
			return x.revokeCertificate(who, path[0], path[2])
		}
		return x.deny(refuse(ReasonNotFound, "there is nothing at this path for this method"))
	})
}

func (x *exchange) listCertificates(who login, clientID string) answer {
	integration, _ := who.account.integration(clientID)
	out := []mappedCertificate{}
	for _, c := range who.account.mapped("") {
		if c.ClientID != clientID || (x.server.settings.OwnCertificates && c.Entity != who.token.User) {
			continue
		}
		out = append(out, mappedCertificate{
			Application:   mappedRecord{x.idOf("1"), integration.Name, "/app/common/integration/integrapp.nl?id=1", applicationID(clientID)},
			Entity:        mappedRecord{x.idOf(c.Entity), "Entity " + c.Entity, "/app/common/entity/employee.nl?id=" + c.Entity, ""},
			Role:          mappedRecord{x.idOf(c.Role), "Role " + c.Role, "/app/setup/role.nl?id=" + c.Role, ""},
			Created:       c.created.UTC().Format("2006-01-02"),
			ValidFrom:     c.from.UTC().Format("2006-01-02"),
			ValidUntil:    c.until.UTC().Format("2006-01-02"),
			Revoked:       c.Revoked,
			CertificateID: c.id,
			Algorithm:     c.algorithm(),
		})
	}
	return jsonAnswer(http.StatusOK, out)
}

// idOf writes an internal ID as the settings say.
func (x *exchange) idOf(id string) any {
	if x.server.settings.NumberIDs && internalID().MatchString(id) {
		return json.RawMessage(id)
	}
	return id
}

func (x *exchange) createCertificate(who login, clientID string) answer {
	order, refused := parseCertificateOrder(x.request.Header.Get("Content-Type"), x.body)
	if refused != nil {
		return x.deny(refused)
	}
	if order.entity != who.token.User {
		return x.deny(mistaken(ReasonPermissionDenied, "certificate-of-another-entity", "the permission is for certificates of entity "+who.token.User+" only"))
	}
	if order.role != who.token.Role {
		return x.deny(mistaken(ReasonPermissionDenied, "certificate-of-another-role", "the access token is for role "+who.token.Role+", the certificate for another"))
	}
	c, refused := who.account.addCertificate(order.file, clientID, order.entity, order.role, x.server.settings.LongCertificates, x.now)
	if refused != nil {
		return x.deny(refused)
	}
	status := http.StatusOK
	if x.server.settings.CertificateCreated != 0 {
		status = x.server.settings.CertificateCreated
	}
	return jsonAnswer(status, newMapping{
		EntityRole:    entityRole{who.account.ID, x.idOf(c.Entity), x.idOf(c.Role)},
		ApplicationID: applicationID(clientID),
		CertificateID: c.id,
		Certificate:   c.PEM,
		Algorithm:     c.algorithm(),
		CreatedAt:     c.created.UTC().Format("2006-01-02"),
		ValidFrom:     c.from.UTC().Format("2006-01-02"),
		ValidUntil:    c.until.UTC().Format("2006-01-02"),
	})
}

func (x *exchange) revokeCertificate(who login, clientID, id string) answer {
	if len(x.body) > 0 {
		return x.deny(refuse(ReasonBadRequest, "a revocation has an empty body"))
	}
	if refused := who.account.revokeCertificate(id, clientID, who.token.User, x.server.settings.RevokeTwice); refused != nil {
		return x.deny(refused)
	}
	return textAnswer(http.StatusOK, "text/plain; charset=utf-8", "Successfully revoked")
}

// certificateOrder is the body of a POST that creates a certificate.
type certificateOrder struct{ file, entity, role string }

// parseCertificateOrder reads the body strictly: these three members, each once.
// Entity and role are whole numbers, or text of such: Oracle prints one of each.
func parseCertificateOrder(contentType string, body []byte) (certificateOrder, *refusal) {
	var out certificateOrder
	if mediaType(contentType) != "application/json" {
		return out, refuse(ReasonBadRequest, "the certificate comes as application/json")
	}
	object, err := decodeObject(body)
	if err != nil {
		return out, refuse(ReasonBadRequest, "the body is not one JSON object")
	}
	file, isText := claimText(object, "fileContent")
	entity, okEntity := claimID(object, "entity")
	role, okRole := claimID(object, "role")
	if !isText || !okEntity || !okRole || len(object) != 3 {
		return out, refuse(ReasonBadRequest, "the members are fileContent, entity and role, and no others")
	}
	return certificateOrder{file, entity, role}, nil
}

// claimID returns an internal ID, which is a number or text.
func claimID(from map[string]json.RawMessage, name string) (string, bool) {
	text, isText := claimText(from, name)
	if !isText {
		text = string(from[name])
	}
	return text, internalID().MatchString(text)
}

// denyCertificates is the error answer of the certificates API.
func (x *exchange) denyCertificates(r *refusal) answer {
	status, code := http.StatusBadRequest, "INVALID_CONTENT"
	switch r.reason {
	case ReasonPermissionDenied:
		status, code = http.StatusForbidden, "INSUFFICIENT_PERMISSION"
	case ReasonNotFound:
		status, code = http.StatusNotFound, "NONEXISTENT_ID"
	case ReasonCertificate, ReasonBadRequest:
	default:
		return x.denyREST(r)
	}
	if x.server.settings.CertificateErrors == "oauth2" {
		return jsonAnswer(status, map[string]string{"error": "invalid_request"})
	}
	return restAnswer(status, http.StatusText(status), restErrorDetail{Detail: "The certificate request was refused.", Code: code})
}
