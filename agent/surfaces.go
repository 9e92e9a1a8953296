package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/agent/policy"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// errorMembers are where the errors of REST web services and SuiteQL have their codes.
//
// Source: NetSuite Help, "Error Handling in REST Web Services".
func errorMembers() []string {
	return []string{"o:errorDetails.0.o:errorCode", "o:errorCode", "count"}
}

// suitetalk returns a URL of the account's SuiteTalk host, or of the endpoint.
func (l *live) suitetalk(path string) string { return l.service("suitetalk", path) }

// service returns a URL of one of the account's hosts, or of the endpoint.
func (l *live) service(name, path string) string {
	if l.endpoint != nil {
		return l.endpoint.Origin() + path
	}
	return "https://" + l.identity.Account.HostLabel() + "." + name + ".api.netsuite.com" + path
}

// rest asks for one customer. The query makes sure that parameters are signed.
func (t *probes) rest(l *live) probe {
	return probe{surface: surfaceREST, kind: policy.KindSend, scope: "rest_webservices", job: gateway.Job{
		Method: http.MethodGet, URL: l.suitetalk("/services/rest/record/v1/customer?limit=1"), Read: gateway.ReadObject, Keep: errorMembers(),
	}}
}

// suiteQL asks for one row.
//
// Source: NetSuite Help, "Executing SuiteQL Queries Through REST Web Services".
func (t *probes) suiteQL(l *live) probe {
	return probe{surface: surfaceSuiteQL, kind: policy.KindSend, scope: "rest_webservices", body: []byte(`{"q":"SELECT id FROM customer"}`), job: gateway.Job{
		Method: http.MethodPost, URL: l.suitetalk(policy.SuiteQLPath + "?limit=1"), ContentType: "application/json",
		Header: map[string]string{"Prefer": "transient"}, Read: gateway.ReadObject, Keep: errorMembers(),
	}}
}

// callRESTlet calls the script that was named.
func (t *probes) callRESTlet(l *live) probe {
	script, deployment, _ := strings.Cut(t.restlet, "/")
	return probe{surface: surfaceRESTlet, kind: policy.KindSend, scope: "restlets", job: gateway.Job{
		Method: http.MethodGet, URL: l.service("restlets", "/app/site/hosting/restlet.nl?script="+script+"&deploy="+deployment),
		ContentType: "application/json", Read: gateway.ReadText, // an error comes in the format of the Content-Type
	}}
}

// soap asks for the time of the server.
//
// Source: NetSuite Help, "getServerTime".
func (t *probes) soap(ctx context.Context, l *live) {
	t.try(ctx, l, probe{surface: surfaceSOAP, kind: policy.KindPassport, job: gateway.Job{
		Method: http.MethodPost, URL: l.suitetalk("/services/NetSuitePort_" + soapVersion), ContentType: "text/xml; charset=utf-8",
		Header: map[string]string{"SOAPAction": "getServerTime", "Accept": "text/xml"}, Read: gateway.ReadText,
	}})
}

// serverTime returns the SOAP envelope that asks for the time, with a passport of p.
func (a *Agent) serverTime(s *session, p *live) (string, error) {
	var passport string
	err := a.useProfile(s, p, func(p *live) error {
		t, err := signer.Passport(p.identity, rand.Text(), a.timeFor(p).Unix(), p.mac)
		if err == nil {
			passport, err = t.XML(soapVersion, signer.ChildrenCore)
		}
		return err
	})
	return `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Header>` + passport +
		`</soapenv:Header><soapenv:Body><getServerTime xmlns="urn:messages_` + soapVersion + `.platform.webservices.netsuite.com"/></soapenv:Body></soapenv:Envelope>`, err
}

// maxConnectPassword is about as long as a Connect password may be.
//
// Source: NetSuite Help, "Required Parameters for Creating the Token Password".
const maxConnectPassword = 500

// connectPassword makes a password. It opens no session: five that fail lock the user.
func (t *probes) connectPassword(ctx context.Context) {
	r, err := t.agent.connectPassword(ctx, t.caller, &pb.ConnectPasswordRequest{Profile: t.name})
	if err != nil {
		t.refused(surfaceConnect, err)
		return
	}
	parts := strings.Split(r.GetPassword(), "&")
	well := len(parts) == 7 && !slices.Contains(parts, "") && parts[6] == "HMAC-SHA256" && parts[0] == r.GetAccount()
	s := &pb.Surface{Name: surfaceConnect, State: stateWorks, Detail: "a password was made and has the right form; no session was opened, since five that fail lock the user"}
	switch {
	case !well:
		s.State, s.Detail = stateRefused, "the password does not have the form that NetSuite takes"
	case len(r.GetPassword()) > maxConnectPassword:
		s.State, s.Detail = stateRefused, fmt.Sprintf("the password has %d characters, and NetSuite takes about %d", len(r.GetPassword()), maxConnectPassword)
	}
	t.add(s)
}

// connectToken says whether the access token is one for Connect.
func (t *probes) connectToken(l *live) {
	const scope = "suite_analytics"
	if !slices.Contains(l.Scopes, scope) {
		t.skip(surfaceConnect, "the scope "+scope+" is not among the profile's", "")
		return
	}
	t.add(&pb.Surface{Name: surfaceConnect, State: stateWorks, Detail: "the access token is for " + scope + ", too; no session was opened"})
}
