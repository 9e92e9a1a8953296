package nstest

import (
	"net/http"
	"strings"
	"testing"
)

// TestVectorsOverHTTP sends every OAuth 1.0 vector over a real connection, with
// the server's clock at the time of the vector, and its wrong published
// signature too where it has one.
func TestVectorsOverHTTP(t *testing.T) {
	sentOnes := 0
	for _, v := range readVectors(t).Vectors {
		if v.Kind != "oauth1" {
			continue
		}
		sentOnes++
		t.Run(v.ID, func(t *testing.T) {
			n := start(t, v.config())
			n.clock.seconds.Store(v.seconds(t))
			header := http.Header{"Authorization": {v.Authorization}, "Content-Type": {"application/json"}}
			if v.FormBody != "" {
				header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
			}
			if v.ChecksOut != nil && !*v.ChecksOut {
				bad := strings.Replace(v.Authorization, percentEncode(v.Signature), percentEncode(v.Published), 1)
				s := n.send(v.Method, v.URL, v.FormBody, http.Header{"Authorization": {bad}})
				s.expect(t, "the published signature", 401, ReasonInvalidSignature, "plus-lost")
			}
			s := n.send(v.Method, v.URL, v.FormBody, header)
			if !s.verdict.OK {
				t.Fatalf("refused: %s\n got base string %s\nwant base string %s", s.verdict, s.verdict.BaseString, v.Base)
			}
			if s.verdict.ConsumerKey != v.ConsumerKey || s.verdict.Account != v.Realm {
				t.Errorf("the verdict says %s of account %s", s.verdict.ConsumerKey, s.verdict.Account)
			}
			again := n.send(v.Method, v.URL, v.FormBody, header)
			want := ReasonNonceUsed
			if v.Extra["oauth_verifier"] != "" {
				want = ReasonTokenRejected // the request token is gone as well
			}
			if again.verdict.OK || again.verdict.Reason != want {
				t.Errorf("sent twice: %s; want %s", again.verdict, want)
			}
		})
	}
	if sentOnes < 18 {
		t.Errorf("sent %d vectors", sentOnes)
	}
}

// TestHeaderPageVector shows what Oracle's header page prints: a signature for
// another host than the one beside it.
func TestHeaderPageVector(t *testing.T) {
	for _, v := range readVectors(t).Vectors {
		if v.ID != "tba-restlet-header-page" {
			continue
		}
		c := v.config()
		c.Settings.RetiredHosts = false
		n := start(t, c)
		n.clock.seconds.Store(v.seconds(t))
		own := strings.Replace(v.URL, "rest.netsuite.com", "123456.restlets.api.netsuite.com", 1)
		header := http.Header{"Authorization": {v.Authorization}}
		n.send(v.Method, own, "", header).expect(t, "the account's own host", 401, ReasonInvalidSignature, "signed-for-netsuite-host")
		n.send(v.Method, v.URL, "", header).expect(t, "the retired host", 403, ReasonWrongHost, "retired-host")
	}
}

// TestVectorsSOAP sends the TokenPassport vectors in both namespaces and with
// both spellings of the algorithm.
func TestVectorsSOAP(t *testing.T) {
	for _, v := range readVectors(t).Vectors {
		if v.Kind != "soap" {
			continue
		}
		for _, form := range []struct{ space, algorithm string }{{"core", "HMAC-SHA256"}, {"messages", "HMAC_SHA256"}} {
			t.Run(v.ID+"/"+form.space, func(t *testing.T) {
				n := start(t, v.config())
				n.clock.seconds.Store(v.seconds(t))
				url := "https://" + hostLabel(v.Account) + ".suitetalk.api.netsuite.com/services/NetSuitePort_2025_2"
				p := passportOf(v)
				p.space, p.algorithm = form.space, form.algorithm
				if v.ChecksOut != nil && !*v.ChecksOut {
					bad := p
					bad.signature = v.Published
					n.send("POST", url, bad.envelope(serverTime), soapHeader()).expect(t, "the published signature", 500, ReasonInvalidSignature, "")
				}
				s := n.send("POST", url, p.envelope(serverTime), soapHeader())
				s.expect(t, v.ID, 200, "", "")
				if !strings.Contains(s.body, "<serverTime>") {
					t.Errorf("the answer is %s", s.body)
				}
				s = n.send("POST", url, p.envelope(serverTime), soapHeader())
				s.expect(t, "sent twice", 500, ReasonNonceUsed, "header-sent-twice")
				if s.verdict.Detail != "NonceUsed" {
					t.Errorf("the detail is %s", s.verdict.Detail)
				}
			})
		}
	}
}

func TestVectorsConnect(t *testing.T) {
	for _, v := range readVectors(t).Vectors {
		if v.Kind != "connect" {
			continue
		}
		c := v.config()
		c.Now = clockAt(v.seconds(t)).now
		s := New(c)
		if got := s.CheckConnect(v.User, v.Password); !got.OK || got.TokenID != v.Token {
			t.Errorf("%s: %s", v.ID, got)
		}
		if got := s.CheckConnect(v.User, v.Password); got.OK || got.Reason != ReasonNonceUsed {
			t.Errorf("%s, a second session: %s", v.ID, got)
		}
	}
}

// TestCommonMistakes sends the wrong signature of each known mistake and wants
// its name back.
func TestCommonMistakes(t *testing.T) {
	file := readVectors(t)
	var v vector
	for _, v = range file.Vectors {
		if v.ID == "suiteql-post-paged" {
			break
		}
	}
	if v.Signature != file.Mistakes.Correct {
		t.Fatal("the mistakes are not of this vector")
	}
	n := start(t, v.config())
	n.clock.seconds.Store(v.seconds(t))
	for _, m := range file.Mistakes.Mistakes {
		header := strings.Replace(v.Authorization, percentEncode(v.Signature), percentEncode(m.Signature), 1)
		s := n.send(v.Method, v.URL, `{"q":"SELECT id FROM customer"}`, http.Header{"Authorization": {header}})
		s.expect(t, m.Mistake, 401, ReasonInvalidSignature, m.Mistake)
		if s.verdict.BaseString != v.Base {
			t.Errorf("%s: the verdict's base string is %s", m.Mistake, s.verdict.BaseString)
		}
		if m.Mistake == "hmac-sha1" || m.Mistake == "sha256-over-sha1-label" {
			header = strings.Replace(header, "HMAC-SHA256", "HMAC-SHA1", 1)
			s = n.send(v.Method, v.URL, "", http.Header{"Authorization": {header}})
			s.expect(t, m.Mistake+", said so", 401, ReasonUnknownAlgorithm, m.Mistake)
		}
	}
	// None of them has used the nonce up.
	s := n.send(v.Method, v.URL, `{"q":"SELECT id FROM customer"}`, http.Header{"Authorization": {v.Authorization}, "Prefer": {"transient"}})
	s.expect(t, "the right signature", 200, "", "")
}

func TestCertificateID(t *testing.T) {
	for _, v := range readVectors(t).Certificates {
		if got := newCertificate(Certificate{PEM: v.PEM}, false); got.id != v.ID || got.fault != nil {
			t.Errorf("certificate ID %s, fault %v; want %s", got.id, got.fault, v.ID)
		}
	}
}
