package nstest

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	maxConsents = 1000
	consentLife = 15 * time.Minute
)

// consent is a page that waits for a user to agree or not.
type consent struct {
	account     *account
	application string
	asks        []string // what the application may do then, in words
	people      []User   // who can agree
	target      string   // where the user is sent afterwards
	// decide answers for the user who agreed, or for nobody.
	decide func(x *exchange, who *User) answer

	path  string // of the page; the decision is sent there
	asked time.Time
}

// consents are the pages that are open.
type consents struct {
	mu   sync.Mutex // guards all below
	open map[string]consent
}

// add keeps a page, having dropped those too old, and returns its ID.
func (c *consents) add(one consent) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, old := range c.open {
		if one.asked.Sub(old.asked) >= consentLife {
			delete(c.open, id)
		}
	}
	if len(c.open) >= maxConsents {
		return "", false
	}
	id := rand.Text()
	c.open[id] = one
	return id, true
}

// take removes a page: one decision a page.
func (c *consents) take(id, path string, now time.Time) (consent, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, found := c.open[id]
	if !found || one.path != path || now.Sub(one.asked) >= consentLife {
		return consent{}, false
	}
	delete(c.open, id)
	return one, true
}

// ask shows the page. For programs, &nstest_allow=1 in the query agrees at once as
// the first user, and &nstest_deny=1 refuses.
func (x *exchange) ask(c consent) answer {
	c.path, c.asked = x.wire.path, x.now
	x.verdict.Account = c.account.ID
	pairs := x.queryPairs()
	switch {
	case get(pairs, "nstest_deny") == "1":
		return c.decide(x, nil)
	case len(c.people) == 0:
		return x.deny(refuse(ReasonEntityOrRole, "nobody has the role that was asked for"))
	case get(pairs, "nstest_allow") == "1":
		return c.decide(x, &c.people[0])
	}
	id, ok := x.server.consents.add(c)
	if !ok {
		return x.deny(refuse(ReasonBusy, "too many pages are open"))
	}
	x.verdict.OK = true
	return consentPage(c, id)
}

// decided serves the form of a page: what the user decided.
func (x *exchange) decided() answer {
	form, refused := x.oauthForm()
	if refused != nil {
		return x.deny(refused)
	}
	c, found := x.server.consents.take(get(form, "consent"), x.wire.path, x.now)
	if !found {
		return x.deny(mistaken(ReasonInvalidRequest, "page-decided-twice", "this page is not open, or was decided before"))
	}
	x.verdict.Account = c.account.ID
	switch get(form, "decision") {
	case "deny":
		return c.decide(x, nil)
	case "allow":
		n, err := strconv.Atoi(get(form, "user"))
		if err != nil || n < 0 || n >= len(c.people) {
			return x.deny(refuse(ReasonInvalidRequest, "there is no such user on the page"))
		}
		return c.decide(x, &c.people[n])
	}
	return x.deny(refuse(ReasonInvalidRequest, "the decision is neither allow nor deny"))
}

// isConsentForm says whether a request with this Origin is the form of one of
// the server's own pages.
func (x *exchange) isConsentForm(origin string) bool {
	return x.wire.method == http.MethodPost && origin == x.wire.origin() && oneOf(x.wire.path, authorizePath, authorizeTokenPath)
}

// sendBack redirects the browser to the application. A refusal is noted.
func (x *exchange) sendBack(target string, pairs []pair, refused *refusal) answer {
	if refused != nil {
		x.note(refused)
	}
	return answer{http.StatusFound, http.Header{"Location": {withQuery(target, pairs)}, "Cache-Control": {"no-store"}}, nil}
}
