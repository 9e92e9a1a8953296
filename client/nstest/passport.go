package nstest

import (
	"encoding/xml"

	"github.com/nsagent/nsagent/internal/pattern"
)

const soapEnvelope = "http://schemas.xmlsoap.org/soap/envelope/"

// versionForm is the version part of an endpoint: 2025_2.
var versionForm = pattern.New(`^20[0-9]{2}_[12]$`)

func messagesSpace(version string) string {
	return "urn:messages_" + version + ".platform.webservices.netsuite.com"
}

func coreSpace(version string) string {
	return "urn:core_" + version + ".platform.webservices.netsuite.com"
}

// soapCall is a SOAP request taken apart.
type soapCall struct {
	account   string
	claim     claim
	operation *node
}

// parsePassport reads a SOAP 1.1 envelope with exactly one tokenPassport and one
// operation. namespace is where the children of the passport may stand: core,
// messages or both.
//
// Source: NetSuite Help, "TokenPassport Complex Type".
func parsePassport(data []byte, version, namespace string) (soapCall, *refusal) {
	var out soapCall
	root, err := parseXML(data)
	if err != nil {
		return out, refuse(ReasonBadRequest, err.Error())
	}
	if !root.is(soapEnvelope, "Envelope") {
		return out, refuse(ReasonBadRequest, "the root element is not a SOAP 1.1 Envelope")
	}
	headers, bodies := root.all(soapEnvelope, "Header"), root.all(soapEnvelope, "Body")
	if len(headers) > 1 || len(bodies) != 1 || len(headers)+len(bodies) != len(root.children) {
		return out, refuse(ReasonBadRequest, "the Envelope does not hold one Header and one Body")
	}
	if len(bodies[0].children) != 1 {
		return out, refuse(ReasonBadRequest, "the Body does not hold one operation")
	}
	out.operation = bodies[0].children[0]
	if len(headers) == 0 {
		return out, refuse(ReasonMissingFields, "there is no Header, so no tokenPassport")
	}
	var passports []*node
	for _, h := range headers[0].children {
		switch h.name.Local {
		case "tokenPassport":
			if h.name.Space != messagesSpace(version) {
				return out, mistaken(ReasonMissingFields, "passport-namespace", "tokenPassport is not in "+messagesSpace(version))
			}
			passports = append(passports, h)
		case "passport":
			return out, refuse(ReasonAmbiguous, "the request has a passport beside the tokenPassport")
		case "applicationInfo":
			return out, refuse(ReasonAmbiguous, "the request has an application ID beside the tokenPassport")
		default:
			if headerMustBeUnderstood(h) {
				return out, refuse(ReasonBadRequest, "a header that must be understood is not known: "+clip(h.name.Local, 64))
			}
		}
	}
	switch len(passports) {
	case 0:
		return out, refuse(ReasonMissingFields, "there is no tokenPassport")
	case 1:
		refused := readPassport(passports[0], version, namespace, &out)
		return out, refused
	}
	return out, refuse(ReasonAmbiguous, "there is more than one tokenPassport")
}

func headerMustBeUnderstood(h *node) bool {
	for _, a := range h.attrs {
		if a.Name == (xml.Name{Space: soapEnvelope, Local: "mustUnderstand"}) && a.Value == "1" {
			return true
		}
	}
	return false
}

func readPassport(passport *node, version, namespace string, out *soapCall) *refusal {
	fields := map[string]*string{
		"account":     &out.account,
		"consumerKey": &out.claim.consumerKey,
		"token":       &out.claim.tokenID,
		"nonce":       &out.claim.nonce,
		"timestamp":   &out.claim.timestamp,
		"signature":   &out.claim.signature,
	}
	if passport.text() != "" {
		return refuse(ReasonParameterRejected, "tokenPassport holds text")
	}
	for _, child := range passport.children {
		inCore := child.name.Space == coreSpace(version) && namespace != "messages"
		inMessages := child.name.Space == messagesSpace(version) && namespace != "core"
		if !inCore && !inMessages {
			return mistaken(ReasonMissingFields, "passport-namespace", clip(child.name.Local, 64)+" is not in the namespace of this endpoint")
		}
		field := fields[child.name.Local]
		if field == nil {
			return refuse(ReasonParameterRejected, "tokenPassport holds "+clip(child.name.Local, 64)+", unknown or twice")
		}
		if len(child.children) > 0 || child.text() == "" {
			return refuse(ReasonParameterRejected, clip(child.name.Local, 64)+" is empty or holds elements")
		}
		*field = child.text()
		if child.name.Local == "signature" {
			out.claim.algorithm = child.attr("algorithm")
		}
		delete(fields, child.name.Local)
	}
	for _, name := range []string{"account", "consumerKey", "token", "nonce", "timestamp", "signature"} {
		if fields[name] != nil {
			return refuse(ReasonMissingFields, "tokenPassport lacks "+name)
		}
	}
	return nil
}
