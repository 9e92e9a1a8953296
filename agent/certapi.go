package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/internal/pattern"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// maxActiveCertificates is how many certificates of an integration record may be active;
// those that are revoked or have ended do not count.
//
// Source: NetSuite Help, "Certificate Conditions".
const maxActiveCertificates = 5

const (
	certificateMenu       = "Setup > Integration > Manage Authentication > OAuth 2.0 Client Credentials (M2M) Setup"
	certificatePermission = "Manage own OAuth 2.0 Client Credentials certificates"
)

// mapped is a certificate as NetSuite lists it.
type mapped struct {
	standing
	id, entityName, roleName, application, algorithm string
	from, until                                      time.Time // days; zero: not said
	revoked                                          bool
	// present is set where it is the one whose access token the list was asked for with.
	present bool
}

// active reports whether the certificate takes a place. The day of its end counts, and
// the next one too: it is not said in which time zone it ends.
func (m mapped) active(now time.Time) bool {
	return !m.revoked && (m.until.IsZero() || now.Before(m.until.Add(2*day)))
}

// certificateIDs are base64url; internalIDs are NetSuite's numbers.
var (
	certificateIDs = pattern.New(`^[A-Za-z0-9_-]{1,128}$`)
	internalIDs    = pattern.New(`^-?[0-9]{1,12}$`)
)

// certificatesURL returns the URL of the certificates of the integration record, with
// what follows it.
//
// Source: NetSuite Help, "OAuth 2.0 Client Credentials Certificate Rotation Endpoint".
func (l *live) certificatesURL(rest ...string) string {
	origin := "https://" + l.identity.Account.HostLabel() + ".restlets.api.netsuite.com"
	if l.endpoint != nil {
		origin = l.endpoint.Origin()
	}
	path := append([]string{"/services/rest/auth/oauth2/v1/clients", url.PathEscape(l.ClientID), "certificates"}, rest...)
	return origin + strings.Join(path, "/")
}

// certificatesCall is one request to the certificates of a profile.
type certificatesCall struct {
	event  string // of the log
	detail string
	method string
	rest   []string // of the path
	body   func(*live) ([]byte, error)
	read   gateway.Read
	keep   []string
	what   string // has failed, if it does
}

// errUnsure marks that NetSuite may have done what was asked for, though it did not say so.
var errUnsure = errors.New("agent: not known whether it was done")

// callCertificates makes a request to the certificates of the profile, with an access
// token of its own, and records it before. by is the certificate that the token was got
// with. Errors wrap ErrNetwork, ErrNetSuite and, where it may have been done all the same,
// errUnsure.
func (a *Agent) callCertificates(ctx context.Context, name string, call certificatesCall) (answer gateway.Answer, by string, err error) {
	for {
		s, p, err := a.certified(name)
		if err != nil {
			return gateway.Answer{}, "", err
		}
		answer, err := a.tryCertificates(ctx, s, p, call)
		if !errors.Is(err, errReplaced) {
			return answer, p.CertificateID, err
		}
	}
}

func (a *Agent) tryCertificates(ctx context.Context, s *session, p *live, call certificatesCall) (gateway.Answer, error) {
	if p.Stale != 0 {
		return gateway.Answer{}, p.staleRefusal()
	}
	if !slices.Contains(p.Scopes, signer.ScopeRESTWebServices) {
		return gateway.Answer{}, credential(fmt.Sprintf("profile %q cannot manage certificates", p.Name), "the certificates API takes access tokens of scope "+signer.ScopeRESTWebServices)
	}
	var body gateway.Part
	if call.body != nil {
		text, err := call.body(p)
		if err != nil {
			return gateway.Answer{}, err
		}
		body = gateway.Plain(text)
	}
	authorization, err := a.authorization(ctx, s, p, []string{signer.ScopeRESTWebServices})
	if err != nil {
		return gateway.Answer{}, err
	}
	defer authorization.Destroy()
	job := gateway.Job{
		Method: call.method, URL: p.certificatesURL(call.rest...), CA: p.CA, Milliseconds: exchangeTime.Milliseconds(),
		Header: map[string]string{"Accept": "application/json, text/plain"}, Read: call.read, Keep: call.keep,
	}
	if body != nil {
		job.ContentType = "application/json"
	}
	e := audit.Event{Event: call.event, Outcome: audit.OutcomeOK, Profile: p.Name, Account: p.Account, Kind: p.Auth, Method: call.method, Detail: call.detail}
	if t, err := signer.ParseTarget(job.URL); err == nil {
		e.Host, e.Path = t.Host(), t.Path()
	}
	var answer gateway.Answer
	err = a.carryOut(callerOf(ctx), e, func() error {
		answer, err = a.network.doFor(ctx, s, job, gateway.Payload{Authorization: authorization, Body: body})
		if err != nil {
			return errors.Join(errUnsure, err)
		}
		p.skew.learn(answer, a.clock(), a.boottime)
		return p.certificatesRefused(call.what, e.Host, answer)
	})
	return answer, err
}

// certified returns a profile that has a certificate, for work of the agent's own.
func (a *Agent) certified(name string) (*session, *live, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	s, err := a.currentLocked()
	if err != nil {
		return nil, nil, err
	}
	p, ok := s.profiles[name]
	switch {
	case !ok:
		return nil, nil, s.noProfile(name)
	case p.Auth != authM2M:
		return nil, nil, noCertificate(p)
	}
	return s, p, nil
}

func noCertificate(p *live) error {
	return refuse(ErrKind, pb.CodeRequest, fmt.Sprintf("profile %q has no certificate", p.Name), "its credential is of kind "+p.Auth, "")
}

// certificatesRefused returns why an answer is not what was asked for. NetSuite's page
// prints neither statuses nor errors for these calls: any 2xx counts as done, and the rest
// is told by its status alone.
func (l *live) certificatesRefused(what, host string, a gateway.Answer) error {
	if a.Failure != gateway.FailedNothing {
		err := unreached(a.Failure, what, host)
		switch a.Failure {
		case gateway.FailedJob, gateway.FailedName, gateway.FailedConnect, gateway.FailedUnknownCA, gateway.FailedExpired, gateway.FailedHost, gateway.FailedTLS:
			return err // nothing was sent
		}
		return errors.Join(err, errUnsure)
	}
	why, next := "", "see NetSuite:  "+certificateMenu
	switch s := a.Status; {
	case s >= 200 && s < 300 && a.Readable:
		return nil
	case s >= 200 && s < 300:
		return errors.Join(refuse(ErrNetSuite, pb.CodeNetSuite, what, fmt.Sprintf("%s answered HTTP %d and nothing that NetSuite says", host, s), next), errUnsure)
	case s == 401:
		why = "NetSuite did not take the access token (HTTP 401)"
		next = "the reason is in NetSuite:  Setup > Users/Roles > User Management > View Login Audit Trail"
	case s == 403:
		why = "the role of the certificate lacks a permission (HTTP 403)"
		next = "give the role:  " + certificatePermission
	case s == 404:
		why = "NetSuite knows no such certificate, or no integration record of this client ID (HTTP 404)"
	case s == 429 || s == 503:
		why, next = fmt.Sprintf("NetSuite has no room for the request now (HTTP %d)", s), "try again"
	case s >= 300 && s < 400:
		why = fmt.Sprintf("%s answered with a redirect (HTTP %d), which is never followed: the account ID or endpoint is not right", host, s)
	default:
		why = fmt.Sprintf("NetSuite answered HTTP %d", s)
	}
	err := refuse(ErrNetSuite, pb.CodeNetSuite, what, why, next)
	if a.Status >= 500 && a.Status != 503 {
		return errors.Join(err, errUnsure)
	}
	return err
}

// listCertificates asks NetSuite for the certificates of the profile's integration record.
//
// Source: NetSuite Help, "GET Request to Obtain the List of Certificates".
func (a *Agent) listCertificates(ctx context.Context, name string) ([]mapped, error) {
	answer, by, err := a.callCertificates(ctx, name, certificatesCall{
		event: audit.EventCertList, method: http.MethodGet, read: gateway.ReadList, what: fmt.Sprintf("no list of certificates for profile %q", name),
		keep: []string{"certificate_id", "algorithm", "valid_from", "valid_until", "revoked", "entity.id", "entity.name", "role.id", "role.name", "application.name"},
	})
	if err != nil {
		return nil, err
	}
	var all []mapped
	for _, m := range answer.List {
		if !certificateIDs().MatchString(m["certificate_id"]) {
			continue
		}
		all = append(all, mapped{
			id: m["certificate_id"], present: m["certificate_id"] == by, algorithm: forPeople(m["algorithm"]), revoked: m["revoked"] == "true", from: dayOf(m["valid_from"]), until: dayOf(m["valid_until"]),
			standing: standing{numbered(m["entity.id"]), numbered(m["role.id"])}, entityName: forPeople(m["entity.name"]), roleName: forPeople(m["role.name"]), application: forPeople(m["application.name"]),
		})
	}
	return all, nil
}

// certificateUpload is a certificate to upload.
type certificateUpload struct {
	pem, id string
	standing
	// of is the certificate whose standing that is, with whose access token it is uploaded; ""
	// where NetSuite lists none, and somebody has proved the standing.
	of    string
	proof string // that the standing was proved by; "": none was needed
}

// uploadCertificate uploads a certificate. It returns the ID that NetSuite gave it.
//
// Source: NetSuite Help, "POST Request to Set Up a New Certificate".
func (a *Agent) uploadCertificate(ctx context.Context, name string, up certificateUpload) (string, error) {
	if !up.known() {
		return "", notKnown(name)
	}
	answer, _, err := a.callCertificates(ctx, name, certificatesCall{
		event: audit.EventCertUpload, detail: up.detail(), method: http.MethodPost, read: gateway.ReadObject, keep: []string{"certificate_id"},
		what: fmt.Sprintf("the certificate of profile %q was not uploaded", name),
		body: func(p *live) ([]byte, error) {
			if up.of != "" && p.CertificateID != up.of {
				return nil, refuse(ErrBusy, pb.CodeLimited, fmt.Sprintf("profile %q was changed meanwhile", name), "it has another certificate", "try again")
			}
			number, err := strconv.ParseInt(up.role, 10, 64)
			if err != nil {
				return nil, err
			}
			return json.Marshal(struct {
				File   string `json:"fileContent"`
				Role   int64  `json:"role"`
				Entity string `json:"entity"`
			}{up.pem, number, up.entity})
		},
	})
	if err != nil {
		return "", err
	}
	if got := answer.Kept["certificate_id"]; certificateIDs().MatchString(got) {
		return got, nil
	}
	return up.id, nil // the list will tell
}

// detail says for the log what is uploaded.
func (u *certificateUpload) detail() string {
	if u.proof == "" {
		return "certificate=" + u.id
	}
	return "certificate=" + u.id + " proof=" + u.proof
}

// revokeCertificate revokes a certificate at NetSuite.
//
// Source: NetSuite Help, "POST request to revoke a certificate".
func (a *Agent) revokeCertificate(ctx context.Context, name, id string) error {
	_, _, err := a.callCertificates(ctx, name, certificatesCall{
		event: audit.EventCertRevoke, detail: "certificate=" + id, method: http.MethodPost, rest: []string{id, "revoke"}, read: gateway.ReadText,
		what: fmt.Sprintf("certificate %s was not revoked", id),
	})
	return err
}

// forPeople returns a text of NetSuite's for people, or "" where it is none to show.
func forPeople(s string) string {
	if text("", s, 256) != nil {
		return ""
	}
	return s
}

// numbered returns an internal ID, or "" where it is none.
func numbered(s string) string {
	if !internalIDs().MatchString(s) {
		return ""
	}
	return s
}

// dayOf reads a date such as 2027-03-01; zero where it is none.
func dayOf(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}
	}
	return t
}
