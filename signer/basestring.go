package signer

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Request is what a signature is made for.
type Request struct {
	// Method is an HTTP method in any case; it is signed in upper case.
	Method string
	// Target is the URL as it will be sent.
	Target Target
	// ContentType is the value of the header of that name, empty if there is none.
	ContentType string
	// Form is the body. It counts only if ContentType is that of a form; RESTlets and
	// REST web services take none.
	Form []byte
}

// BaseString returns the signature base string of r: method, base string URI and
// normalized parameters, each percent-encoded, joined by "&". It is ASCII.
//
// Repeated parameters all count, ordered by name and then by value. A parameter of
// query or form that is named oauth_signature is left out. oauth holds what the
// Authorization header will hold, decoded, in any order, without oauth_signature and
// realm (an error), with oauth_version only if it is sent, and with any further signed
// pair such as role.
//
// The error wraps ErrRequest, or ErrURL for the zero Target.
//
// Source: RFC 5849 section 3.4.1; NetSuite Help, "The RESTlet Base String".
func BaseString(r Request, oauth Params) (string, error) {
	method, err := checkMethod(r.Method)
	if err != nil {
		return "", err
	}
	if err := checkParams(oauth); err != nil {
		return "", err
	}
	s := newScratch()
	defer s.done()
	if err := s.build(method, r, oauth, false); err != nil {
		return "", err
	}
	return string(s.out), nil
}

// checkMethod returns the method in upper case, or an error if it is not a token of
// RFC 9110 section 5.6.2.
func checkMethod(method string) (string, error) {
	if method == "" || len(method) > 32 {
		return "", fmt.Errorf("%w: method: %d characters, take 1 to 32", ErrRequest, len(method))
	}
	for i := range len(method) {
		if c := method[i]; !alphanumeric(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return "", fmt.Errorf("%w: method: %s is not allowed", ErrRequest, describe(c))
		}
	}
	return strings.ToUpper(method), nil
}

// checkParams refuses what would make a header that no server can read back.
func checkParams(params Params) error {
	for _, p := range params {
		switch {
		case p.Name == "":
			return fmt.Errorf("%w: header parameter without a name", ErrRequest)
		case p.Name == "realm" || p.Name == "oauth_signature":
			return fmt.Errorf("%w: header parameter %s is never signed", ErrRequest, p.Name)
		case len(p.Name) > maxParam || len(p.Value) > maxParam:
			return fmt.Errorf("%w: header parameter of more than %d octets", ErrRequest, maxParam)
		}
	}
	return nil
}

// scratch is the working memory of one signature, one allocation for requests of the
// usual size. Nothing in it is secret: it holds the request, public identifiers, and
// the MAC that goes into the header.
type scratch struct {
	mac   [32]byte
	enc   []byte // all names and values, encoded once
	pairs []pair // in order of the base string
	oauth []pair // those of the header, as given
	out   []byte // the base string, then the header

	pairSpace  [20]pair
	oauthSpace [8]pair
	encSpace   [600]byte
	outSpace   [976]byte
}

// pair is an encoded parameter: its name is enc[start:equals], its value
// enc[equals:end].
type pair struct {
	start, equals, end int32
	// first is the first eight octets of the name, padded with zeros: it orders most
	// pairs without a look at the texts.
	first uint64
}

// scratches keeps the working memory of signatures for the next one: it is most of
// what a signature would allocate. Nothing in it is secret, and it is cleared.
var scratches = sync.Pool{New: func() any { return new(scratch) }}

// newScratch returns working memory, which the caller gives back with done.
func newScratch() *scratch {
	s := scratches.Get().(*scratch)
	s.enc, s.pairs, s.oauth, s.out = s.encSpace[:0], s.pairSpace[:0], s.oauthSpace[:0], s.outSpace[:0]
	return s
}

// done gives s back. What was made in it must have been copied.
func (s *scratch) done() {
	*s = scratch{}
	scratches.Put(s)
}

// SignedForm returns what of the body is signed: all of it, or nothing.
func (r Request) SignedForm() []byte {
	if !isForm(r.ContentType) {
		return nil
	}
	return r.Form
}

// build leaves the base string in s.out. If strict is set, parameters of query and
// form whose names begin with oauth_ are an error.
func (s *scratch) build(method string, r Request, oauth Params, strict bool) error {
	if r.Target.IsZero() {
		return fault("scheme", "no URL")
	}
	if err := s.collect("query", r.Target.query, strict); err != nil {
		return err
	}
	if form := r.SignedForm(); len(form) > 0 {
		if err := checkForm(form); err != nil {
			return err
		}
		if err := s.collect("form body", string(form), strict); err != nil {
			return err
		}
	}
	before := len(s.pairs)
	for _, p := range oauth {
		start := len(s.enc)
		s.enc = AppendEncoded(s.enc, p.Name)
		equals := len(s.enc)
		s.enc = AppendEncoded(s.enc, p.Value)
		s.add(start, equals)
	}
	if len(s.pairs) > maxPairs {
		return fmt.Errorf("%w: %d parameters, at most %d", ErrRequest, len(s.pairs), maxPairs)
	}
	s.oauth = append(s.oauth, s.pairs[before:]...)
	slices.SortFunc(s.pairs, s.compare)
	s.write(method, r.Target)
	return nil
}

// collect takes the pairs of a query or form, which part names for errors.
func (s *scratch) collect(part, list string, strict bool) error {
	for list != "" {
		var name, value string
		name, value, list = nextPair(list)
		if name == "" && value == "" {
			continue
		}
		start := len(s.enc)
		var bad1, bad2 int
		s.enc, bad1 = appendReencoded(s.enc, name)
		equals := len(s.enc)
		s.enc, bad2 = appendReencoded(s.enc, strings.TrimPrefix(value, "="))
		if bad1 >= 0 || bad2 >= 0 {
			return fmt.Errorf("%w: %s: malformed percent-encoding", ErrRequest, part)
		}
		encodedName := s.enc[start:equals]
		if strict && bytes.HasPrefix(encodedName, []byte("oauth_")) {
			return fmt.Errorf("%w: %s: a name that begins with oauth_, which belongs in the header only", ErrRequest, part)
		}
		if string(encodedName) == "oauth_signature" {
			s.enc = s.enc[:start]
			continue
		}
		s.add(start, equals)
	}
	return nil
}

// add records that s.enc ends in an encoded pair. The limits on URLs, forms and header
// parameters keep all offsets far below 1<<31.
func (s *scratch) add(start, equals int) {
	var first [8]byte
	copy(first[:], s.enc[start:equals])
	s.pairs = append(s.pairs, pair{int32(start), int32(equals), int32(len(s.enc)), binary.BigEndian.Uint64(first[:])})
}

// compare orders by encoded name, then by encoded value (RFC 5849 section 3.4.1.3.2).
func (s *scratch) compare(a, b pair) int {
	if a.first != b.first {
		return cmp.Compare(a.first, b.first)
	}
	if c := bytes.Compare(s.enc[a.start:a.equals], s.enc[b.start:b.equals]); c != 0 {
		return c
	}
	return bytes.Compare(s.enc[a.equals:a.end], s.enc[b.equals:b.end])
}

// write appends the three parts of the base string to s.out.
func (s *scratch) write(method string, t Target) {
	out := AppendEncoded(s.out, method)
	out = append(out, '&')
	out = appendBaseURI(out, t)
	out = append(out, '&')
	for i, p := range s.pairs {
		if i > 0 {
			out = append(out, "%26"...)
		}
		out = appendEncodedTwice(out, s.enc[p.start:p.equals])
		out = append(out, "%3D"...)
		out = appendEncodedTwice(out, s.enc[p.equals:p.end])
	}
	s.out = out
}

// appendBaseURI appends the encoded base string URI: scheme and host in lower case,
// the port unless it is the scheme's own, the path as it goes on the wire.
//
// Source: RFC 5849 section 3.4.1.2.
func appendBaseURI(dst []byte, t Target) []byte {
	dst = append(dst, t.scheme...)
	dst = append(dst, "%3A%2F%2F"...)
	dst = AppendEncoded(dst, t.host)
	if !t.portOmitted() {
		dst = append(dst, "%3A"...)
		dst = append(dst, t.port...)
	}
	return AppendEncoded(dst, t.Path())
}
