package signer

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Namespaces that the children of a tokenPassport element may be in. By the XSD it is
// core; the XML that Oracle prints has messages.
const (
	ChildrenCore     = "core"
	ChildrenMessages = "messages"
)

// ConnectUser is the user name that goes with a Connect password.
const ConnectUser = "TBA"

// TokenPassport is the SOAP header element that stands for a signed request. It is good
// for one request, at once, and for any operation that the role may perform: action and
// body are not signed.
type TokenPassport struct {
	Account     string // account ID
	ConsumerKey string
	TokenID     string // the element named token
	Nonce       string
	Timestamp   int64  // Unix seconds
	Signature   string // base64, not percent-encoded
	Algorithm   string // always SignatureMethod
}

// Passport returns a TokenPassport for id, with key holding the signing key of id.
// nonce and timestamp are as for Sign.
//
// Errors wrap ErrIdentity, ErrNonce, ErrTimestamp, ErrKey or what key returned.
//
// Source: NetSuite Help, "The Signature for Web Services and RESTlets" and
// "TokenPassport Complex Type".
func Passport(id Identity, nonce string, timestamp int64, key MAC) (TokenPassport, error) {
	if err := checkConcat(id, nonce, timestamp); err != nil {
		return TokenPassport{}, err
	}
	if key == nil {
		return TokenPassport{}, fmt.Errorf("%w: none given", ErrKey)
	}
	var mac [32]byte
	if err := key.HMACSHA256(&mac, appendConcat(nil, id, nonce, timestamp)); err != nil {
		return TokenPassport{}, fmt.Errorf("signing a TokenPassport: %w", err)
	}
	return TokenPassport{
		Account:     id.Account.id,
		ConsumerKey: id.ConsumerKey,
		TokenID:     id.TokenID,
		Nonce:       nonce,
		Timestamp:   timestamp,
		Signature:   base64.StdEncoding.EncodeToString(mac[:]),
		Algorithm:   SignatureMethod,
	}, nil
}

// ConnectPassword returns the password with which the user ConnectUser opens one
// session of SuiteAnalytics Connect within five minutes: the signed fields of a
// TokenPassport, the signature and its algorithm, joined by "&". It is not
// percent-encoded and holds "=", perhaps "+" and "/".
//
// Errors are those of Passport, and ErrIdentity for an identifier that holds "&".
//
// Source: NetSuite Help, "Creating the Token Password".
func ConnectPassword(id Identity, nonce string, timestamp int64, key MAC) (string, error) {
	if strings.Contains(id.ConsumerKey, "&") || strings.Contains(id.TokenID, "&") {
		return "", fmt.Errorf("%w: consumer key or token ID holds \"&\", which separates the fields of a Connect password", ErrIdentity)
	}
	p, err := Passport(id, nonce, timestamp, key)
	if err != nil {
		return "", err
	}
	return strings.Join([]string{
		p.Account, p.ConsumerKey, p.TokenID, p.Nonce, strconv.FormatInt(p.Timestamp, 10), p.Signature, p.Algorithm,
	}, "&"), nil
}

// appendConcat appends the base string of TokenPassport and Connect password: account,
// consumer key, token ID, nonce and timestamp, each percent-encoded, joined by "&".
func appendConcat(dst []byte, id Identity, nonce string, timestamp int64) []byte {
	for _, s := range [...]string{id.Account.id, id.ConsumerKey, id.TokenID, nonce} {
		dst = AppendEncoded(dst, s)
		dst = append(dst, '&')
	}
	return strconv.AppendInt(dst, timestamp, 10)
}

// XML returns p as a SOAP 1.1 header block that declares every namespace it uses, for
// the endpoint of the given version, such as "2025_2". childNS is ChildrenCore (also if
// empty) or ChildrenMessages.
//
// Any other version or namespace, and a p that Passport did not make, is an error that
// wraps ErrPassport.
//
// Source: NetSuite Help, "The Authorization Headers"; core.xsd for the namespaces.
func (p TokenPassport) XML(version, childNS string) (string, error) {
	if err := checkSOAPVersion(version); err != nil {
		return "", err
	}
	if err := p.check(); err != nil {
		return "", err
	}
	var prefix string
	switch childNS {
	case ChildrenCore, "":
		prefix = "core"
	case ChildrenMessages:
		prefix = "messages"
	default:
		return "", fmt.Errorf("%w: namespace %q, take %q or %q", ErrPassport, childNS, ChildrenCore, ChildrenMessages)
	}
	var b strings.Builder
	b.WriteString(`<messages:tokenPassport`)
	b.WriteString(` xmlns:messages="urn:messages_` + version + `.platform.webservices.netsuite.com"`)
	if prefix == "core" {
		b.WriteString(` xmlns:core="urn:core_` + version + `.platform.webservices.netsuite.com"`)
	}
	b.WriteString(` xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"`)
	b.WriteString(` soapenv:actor="http://schemas.xmlsoap.org/soap/actor/next" soapenv:mustUnderstand="0">`)
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	element := func(name, attributes, value string) {
		b.WriteString("<" + prefix + ":" + name + attributes + ">" + escape.Replace(value) + "</" + prefix + ":" + name + ">")
	}
	element("account", "", p.Account)
	element("consumerKey", "", p.ConsumerKey)
	element("token", "", p.TokenID)
	element("nonce", "", p.Nonce)
	element("timestamp", "", strconv.FormatInt(p.Timestamp, 10))
	element("signature", ` algorithm="`+p.Algorithm+`"`, p.Signature)
	b.WriteString(`</messages:tokenPassport>`)
	return b.String(), nil
}

// check refuses a TokenPassport with fields that Passport never gives, which could be
// no text of an XML element.
func (p TokenPassport) check() error {
	for _, s := range [...]string{p.Account, p.ConsumerKey, p.TokenID, p.Nonce, p.Signature} {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return fmt.Errorf("%w: a field is empty or not printable ASCII", ErrPassport)
		}
	}
	if p.Algorithm != SignatureMethod {
		return fmt.Errorf("%w: algorithm %q", ErrPassport, p.Algorithm)
	}
	return nil
}

// checkSOAPVersion checks that version is a year and 1 or 2, as in "2025_2".
func checkSOAPVersion(version string) error {
	ok := len(version) == 6 && version[:2] == "20" && digits(version[2:4]) &&
		version[4] == '_' && (version[5] == '1' || version[5] == '2')
	if !ok {
		return fmt.Errorf("%w: version %q, take a year and 1 or 2, such as 2025_2", ErrPassport, version)
	}
	return nil
}
