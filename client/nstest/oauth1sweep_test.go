//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package nstest

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// TestAnyChangeIsRefused changes one character of a good request at a time, in
// the method, the URL, a header value or the signature.
func TestAnyChangeIsRefused(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1(), {ID: "123456_SB2"}}})
	random := rand.New(rand.NewPCG(7, 11))
	const letters = alphanumeric + "-._~"
	const url = "https://123456-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=6&deploy=1&tag=z&tag=a&x=1%20b"
	change := func(s string) string {
		for {
			at, with := random.IntN(len(s)), letters[random.IntN(len(letters))]
			// Hex digits in either case, and the host name in either case, are the same.
			if !strings.EqualFold(string(with), string(s[at])) && s[at] != '%' && !(at > 0 && s[at-1] == '%') && !(at > 1 && s[at-2] == '%') {
				return s[:at] + string(with) + s[at+1:]
			}
		}
	}
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	arrived := 0
	for range rounds {
		o := orderFor(url).fresh()
		signature := o.signature()
		method, target, header := o.method, o.url, o.authorization(signature)
		what := "the method"
		switch random.IntN(4) {
		case 0:
			method = change(method)
		case 1:
			what = "the URL"
			// Keep what makes it a URL that can be sent at all.
			prefix := "https://"
			target = prefix + change(strings.TrimPrefix(target, prefix))
		case 2:
			what = "a parameter"
			params := o.params()
			i := random.IntN(len(params))
			header = strings.Replace(header, `="`+percentEncode(params[i].value)+`"`, `="`+change(params[i].value)+`"`, 1)
		case 3:
			what = "the signature"
			header = o.authorization(change(signature))
		}
		r, err := http.NewRequest(method, target, nil)
		if err != nil {
			continue // not something that can be sent
		}
		r.Header.Set("Authorization", header)
		resp, err := n.client.Do(r)
		if err != nil {
			continue // the certificate is for the hosts of NetSuite only
		}
		_ = resp.Body.Close()
		arrived++
		all := n.Verdicts()
		if v := all[len(all)-1]; v.OK || resp.StatusCode < 400 {
			t.Fatalf("%s was changed and still: %s\n%s %s\n%s", what, v, method, target, header)
		}
	}
	if arrived < rounds*3/4 {
		t.Errorf("only %d of %d changed requests arrived", arrived, rounds)
	}
	n.do(orderFor(url).fresh()).expect(t, "unchanged", 200, "", "")
}
