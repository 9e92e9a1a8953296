package signer

import (
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/nsagent/nsagent/internal/needs"
)

// generator makes requests on which oauthlib and we must agree: no kind of input that
// is named among the accepted differences.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator {
	return generator{rand.New(rand.NewPCG(seed, seed))}
}

// generated is how many requests a differential test makes.
func generated(short int) int {
	if needs.Long() {
		return 20 * short
	}
	return short
}

func (g generator) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g generator) next() differentialCase {
	c := differentialCase{
		method: g.pick("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "get", "Post", "m-search"),
		url:    g.pick("https", "https", "http", "HTTPS") + "://" + g.host() + g.path(),
	}
	if g.IntN(4) > 0 {
		c.url += "?" + g.pairs()
	}
	if g.IntN(3) == 0 {
		c.contentType = g.pick("application/x-www-form-urlencoded", "application/x-www-form-urlencoded;charset=utf-8", "Application/X-WWW-Form-Urlencoded")
		c.form = g.pairs()
	}
	return c
}

func (g generator) host() string {
	host := g.pick("h.example", "H.Example", "123456-sb1.suitetalk.api.netsuite.com", "a_b", "127.0.0.1", "[::1]", "[2001:DB8::1]", "xn--h-xga.example")
	switch g.IntN(4) {
	case 0:
		host += g.pick(":443", ":80")
	case 1:
		host += ":" + strconv.Itoa(1+g.IntN(65535))
	}
	return host
}

func (g generator) path() string {
	var b strings.Builder
	for range g.IntN(5) {
		b.WriteByte('/')
		for range g.IntN(4) {
			b.WriteString(g.pick("a", "Z9", "-._~", "!$&'()*+,=:@", ";x=1", "%20", "%2F", "%2f", "%C3%A9", "%c3%a9", "%25", "%5C"))
		}
	}
	path := b.String()
	for segment := range strings.SplitSeq(path, "/") {
		if dotSegment(segment) {
			return "/dots"
		}
	}
	return path
}

func (g generator) pairs() string {
	var b strings.Builder
	for i := range g.IntN(7) {
		if i > 0 {
			b.WriteString(g.pick("&", "&", "&", "&&"))
		}
		b.WriteString(g.pick("a", "b", "script", "deploy", "A", "a1", "a-", "%C3%A9", "x%5B%5D", "p+q", "~", "oauth", "OAUTH_X", "realm", ""))
		if g.IntN(5) > 0 {
			b.WriteByte('=')
			b.WriteString(g.value())
		}
	}
	return b.String()
}

func (g generator) value() string {
	var b strings.Builder
	for range g.IntN(5) {
		b.WriteString(g.pick("a", "0", "Zz", "-._~", "!*'()", "+", "%20", "%2B", "%2b", "=", ";", ":", "@", "/", "?", "$", ",",
			"%26", "%3D", "%25", "%00", "%0A", "%7E", "%C5%81%C3%B3d%C5%BA", "%f0%9f%98%80"))
	}
	return b.String()
}
