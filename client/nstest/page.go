package nstest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
)

const pageStyle = `
:root { color-scheme: light dark; --back: #f3f4f6; --card: #fff; --text: #1f2430; --soft: #5a6172; --line: #d5d9e0; --act: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --back: #15181e; --card: #1f232b; --text: #e7eaf0; --soft: #a3abbb; --line: #3a404c; --act: #7db2ee; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 8vh 1rem 2rem; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 30rem; margin: 0 auto; padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
h1 { margin: .25rem 0 1rem; font-size: 1.35rem; line-height: 1.3; }
p, ul { margin: 0 0 1rem; } ul { padding-left: 1.25rem; }
.where, .small { color: var(--soft); font-size: .875rem; }
code { overflow-wrap: anywhere; font-size: .9em; }
label { display: block; margin-bottom: .25rem; font-weight: 600; }
select { width: 100%; margin-bottom: 1rem; padding: .5rem; font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 6px; }
.buttons { display: flex; gap: .75rem; justify-content: flex-end; margin-top: 1.5rem; }
button { padding: .55rem 1.4rem; font: inherit; font-weight: 600; color: var(--act); background: none; border: 1px solid var(--act); border-radius: 6px; cursor: pointer; }
#allow { color: var(--card); background: var(--act); }
`

// page is an HTML answer that loads nothing, runs nothing and stands in no frame.
// It has no form-action in its policy: browsers hold the redirect that follows a
// form to it too, and that one leads to the application.
func page(status int, title, body string) answer {
	sum := sha256.Sum256([]byte(pageStyle))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
	text := `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>` + html.EscapeString(title) + `</title><link rel="icon" href="data:,"><style>` + pageStyle + `</style></head>
<body><main>
` + body + `
</main></body>
</html>
`
	a := textAnswer(status, "text/html; charset=utf-8", text)
	a.header.Set("Content-Security-Policy", policy)
	a.header.Set("Cache-Control", "no-store")
	a.header.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: the browser would send the form with Origin: null.
	a.header.Set("Referrer-Policy", "same-origin")
	return a
}

// consentPage asks the user.
func consentPage(c consent, id string) answer {
	var b strings.Builder
	name := c.application
	if name == "" {
		name = "An application without a name"
	}
	fmt.Fprintf(&b, `<p class="where">NetSuite for tests &middot; account %s</p>
<h1>%s asks for access</h1>
<form method="post" action="%s">
<input type="hidden" name="consent" value="%s">
`, html.EscapeString(c.account.ID), html.EscapeString(name), c.path, id)
	if len(c.asks) > 0 {
		b.WriteString("<p>It will be able to:</p>\n<ul>\n")
		for _, one := range c.asks {
			fmt.Fprintf(&b, "<li>%s</li>\n", html.EscapeString(one))
		}
		b.WriteString("</ul>\n")
	}
	b.WriteString(`<label for="user">As which user and role</label>
<select id="user" name="user">
`)
	for n, u := range c.people {
		role := u.RoleName
		if role == "" {
			role = "role " + u.Role
		}
		fmt.Fprintf(&b, "<option value=\"%d\">%s</option>\n", n, html.EscapeString(u.Name+", "+role))
	}
	fmt.Fprintf(&b, `</select>
<p class="small">Afterwards the browser goes to <code>%s</code></p>
<div class="buttons"><button id="deny" name="decision" value="deny">Deny</button>
<button id="allow" name="decision" value="allow">Allow</button></div>
</form>`, html.EscapeString(c.target))
	return page(http.StatusOK, "Allow access?", b.String())
}

// denyPage is the general answer to a person. NetSuite's own page says no more
// than that; the verdict has the reason.
func (x *exchange) denyPage(r *refusal) answer {
	status := http.StatusBadRequest
	if r.reason == ReasonWrongHost {
		status = http.StatusForbidden
	}
	return page(status, "Login not possible", `<p class="where">NetSuite for tests</p>
<h1>This login cannot go on</h1>
<p>The application sent a request that cannot be carried out. Nothing was allowed.</p>
<p class="small">For the Login Audit Trail: <code id="detail">`+html.EscapeString(r.reason.detail(x.channel))+`</code></p>`)
}

// scopeWords says what a scope opens, for the page.
func scopeWords(scope string) string {
	switch scope {
	case "restlets":
		return "call RESTlets"
	case "rest_webservices":
		return "use REST web services and SuiteQL"
	case "suite_analytics":
		return "use SuiteAnalytics Connect"
	case scopeMCP:
		return "use the AI Connector Service"
	}
	return strconv.Quote(scope)
}

// withQuery appends parameters to a URL that may have some.
func withQuery(target string, pairs []pair) string {
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	return target + separator + join(encoded(pairs))
}
