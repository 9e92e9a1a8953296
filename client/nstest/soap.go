package nstest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// soapVersions are the endpoints that NetSuite still serves in 2026.
var soapVersions = [...]string{
	"2020_1", "2020_2", "2021_1", "2021_2", "2022_1", "2022_2", "2023_1", "2023_2", "2024_1", "2024_2", "2025_1", "2025_2",
}

func (x *exchange) soapVersion() string {
	return strings.TrimPrefix(x.wire.path, "/services/NetSuitePort_")
}

// soap serves /services/NetSuitePort_<year>_<n> with the operations
// getServerTime and get.
func (x *exchange) soap() answer {
	version := x.soapVersion()
	if !versionForm().MatchString(version) || !slices.Contains(soapVersions[:], version) {
		x.note(refuse(ReasonBadRequest, "there is no endpoint "+clip(version, 16)))
		return x.fault("soapenv:Server.userException", "The version of the endpoint is not supported.", "invalidVersionFault", "INVALID_VERSION")
	}
	if x.wire.method != http.MethodPost {
		return x.deny(refuse(ReasonBadRequest, "SOAP is sent by POST"))
	}
	if !oneOf(mediaType(x.request.Header.Get("Content-Type")), "text/xml", "application/xml") {
		return x.deny(refuse(ReasonBadRequest, "SOAP 1.1 is sent as text/xml"))
	}
	who, call, refused := x.soapLogin(version)
	if refused != nil {
		return x.deny(refused)
	}
	x.accept(who)
	return x.limited(who.account, func() answer { return x.operate(who, call.operation, version) })
}

func (x *exchange) soapLogin(version string) (login, soapCall, *refusal) {
	if x.request.Header.Get("Authorization") != "" {
		return login{}, soapCall{}, refuse(ReasonAmbiguous, "SOAP takes the tokenPassport alone, no Authorization header")
	}
	call, refused := parsePassport(x.body, version, x.server.settings.PassportNamespace)
	x.show(call.claim)
	if refused != nil {
		return login{}, call, refused
	}
	if _, err := x.request.Cookie("JSESSIONID"); err == nil {
		return login{}, call, refuse(ReasonAmbiguous, "the request has a session cookie beside the tokenPassport")
	}
	a, _ := x.server.findByName(call.account)
	if x.account != nil && a != x.account {
		return login{}, call, mistaken(ReasonTokenRejected, "account-of-another-host", "the host is that of account "+x.account.ID+", the passport says "+clip(call.account, 64))
	}
	if a == nil {
		return login{}, call, mistaken(ReasonTokenRejected, "unknown-account", "there is no account "+clip(call.account, 64))
	}
	x.verdict.Account = a.ID
	who, refused := x.server.concatLogin(a, call.account, call.claim, ChannelSOAP, x.now)
	return who, call, refused
}

// concatLogin verifies the five values of SOAP and Connect.
func (s *Server) concatLogin(a *account, sent string, c claim, channel Channel, now time.Time) (login, *refusal) {
	if refused := checkForm(c, channel, now); refused != nil {
		return login{}, refused
	}
	integration, refused := findConsumer(a, c)
	if refused != nil {
		return login{}, refused
	}
	token, refused := findToken(a, c)
	if refused != nil {
		return login{}, refused
	}
	if refused := checkConcat(a, sent, c, integration, token); refused != nil {
		return login{}, refused
	}
	if refused := s.admit(a, token, c, now); refused != nil {
		return login{}, refused
	}
	return login{a, integration, token}, nil
}

// operate answers an operation.
func (x *exchange) operate(who login, operation *node, version string) answer {
	messages, core := messagesSpace(version), coreSpace(version)
	switch {
	case operation.is(messages, "getServerTime"):
		return x.envelope(fmt.Sprintf(
			`<getServerTimeResponse xmlns=%q><getServerTimeResult xmlns=%q><status isSuccess="true"/><serverTime>%s</serverTime></getServerTimeResult></getServerTimeResponse>`,
			messages, core, x.now.UTC().Format("2006-01-02T15:04:05.000Z")))
	case operation.is(messages, "get"):
		refs := operation.all(messages, "baseRef")
		if len(refs) != 1 || refs[0].attr("type") == "" {
			return x.fault("soapenv:Server.userException", "get needs one baseRef with a type.", "unexpectedErrorFault", "USER_ERROR")
		}
		id := refs[0].attr("internalId")
		if refs[0].attr("externalId") != "" {
			id = "eid:" + refs[0].attr("externalId")
		}
		row, _, found := who.account.records.find(id)
		if refs[0].attr("type") != "customer" || !found {
			return x.envelope(fmt.Sprintf(
				`<getResponse xmlns=%q><readResponse><status xmlns=%q isSuccess="false"><statusDetail type="ERROR"><code>RCRD_DSNT_EXIST</code><message>That record does not exist.</message></statusDetail></status></readResponse></getResponse>`,
				messages, core))
		}
		return x.envelope(fmt.Sprintf(
			`<getResponse xmlns=%q><readResponse><status xmlns=%q isSuccess="true"/><record xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:rel="urn:relationships_%s.lists.webservices.netsuite.com" xsi:type="rel:Customer" internalId="%s"><rel:entityId>%s</rel:entityId><rel:companyName>%s</rel:companyName><rel:email>%s</rel:email></record></readResponse></getResponse>`,
			messages, core, version, escapeXML(text(row["id"])), escapeXML(text(row["entityId"])), escapeXML(text(row["companyName"])), escapeXML(text(row["email"]))))
	}
	return x.fault("soapenv:Server.userException", "The mock knows getServerTime and get.", "unexpectedErrorFault", "UNEXPECTED_ERROR")
}

func (x *exchange) envelope(body string) answer {
	return textAnswer(http.StatusOK, "text/xml; charset=utf-8",
		`<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="`+soapEnvelope+`"><soapenv:Body>`+body+`</soapenv:Body></soapenv:Envelope>`)
}

// fault writes a SOAP fault; kind and code are its detail.
func (x *exchange) fault(faultCode, faultString, kind, code string) answer {
	version := x.soapVersion()
	if !versionForm().MatchString(version) {
		version = soapVersions[len(soapVersions)-1]
	}
	detail := ""
	if kind != "" {
		detail = fmt.Sprintf(
			`<detail><platformFaults:%s xmlns:platformFaults="urn:faults_%s.platform.webservices.netsuite.com"><platformFaults:code>%s</platformFaults:code><platformFaults:message>%s</platformFaults:message></platformFaults:%s></detail>`,
			kind, version, escapeXML(code), escapeXML(faultString), kind)
	}
	a := x.envelope(fmt.Sprintf(`<soapenv:Fault><faultcode>%s</faultcode><faultstring>%s</faultstring>%s</soapenv:Fault>`,
		escapeXML(faultCode), escapeXML(faultString), detail))
	a.status = http.StatusInternalServerError
	return a
}

// denySOAP is the general fault of SOAP.
//
// Source: NetSuite Help, "Token-Based Authentication Errors in SOAP Web
// Services" and "SOAP Fault Status Codes".
func (x *exchange) denySOAP(r *refusal) answer {
	const user = "soapenv:Server.userException"
	switch r.reason {
	case ReasonConcurrency:
		return x.fault(user, "SuiteTalk concurrent request limit exceeded. Request blocked.", "exceededConcurrentRequestLimitFault", "WS_REQUEST_BLOCKED")
	case ReasonAmbiguous:
		return x.fault(user, "Ambiguous authentication", "invalidCredentialsFault", "USER_ERROR")
	case ReasonBadRequest:
		return x.fault("soapenv:Client", "The request could not be understood.", "", "")
	case ReasonWrongHost:
		return x.fault(user, "The request was sent to an invalid domain.", "invalidAccountFault", "INVALID_ACCOUNT")
	}
	return x.fault(user, "Invalid login attempt.", "invalidCredentialsFault", "INVALID_LOGIN_CREDENTIALS")
}
