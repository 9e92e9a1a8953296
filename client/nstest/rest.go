package nstest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

const loginTrail = "Invalid login attempt. For more details, see the Login Audit Trail in the NetSuite UI at Setup > Users/Roles > User Management > View Login Audit Trail."

// restError is an error body of REST web services.
//
// Source: NetSuite Help, "Error Handling in REST Web Services".
type restError struct {
	Type    string            `json:"type"`
	Title   string            `json:"title"`
	Status  int               `json:"status"`
	Code    string            `json:"o:errorCode,omitempty"`
	Details []restErrorDetail `json:"o:errorDetails"`
}

type restErrorDetail struct {
	Detail     string `json:"detail"`
	Code       string `json:"o:errorCode"`
	Path       string `json:"o:errorPath,omitempty"`
	URLPath    string `json:"o:urlPath,omitempty"`
	Header     string `json:"o:errorHeader,omitempty"`
	QueryParam string `json:"o:errorQueryParam,omitempty"`
}

func restAnswer(status int, title string, d restErrorDetail) answer {
	sections := map[int]string{400: "15.5.1", 401: "15.5.2", 403: "15.5.4", 404: "15.5.5", 405: "15.5.6", 413: "15.5.14", 415: "15.5.16", 429: "15.5.1"}
	e := restError{
		Type:    "https://www.rfc-editor.org/rfc/rfc9110.html#section-" + sections[status],
		Title:   title,
		Status:  status,
		Details: []restErrorDetail{d},
	}
	if status == http.StatusTooManyRequests {
		e.Code = "USER_ERROR"
	}
	a := jsonAnswer(status, e)
	a.header.Set("Content-Type", "application/vnd.oracle.resource+json; type=error; charset=UTF-8")
	return a
}

func badRequest(code, detail string) answer {
	return restAnswer(http.StatusBadRequest, "Bad Request", restErrorDetail{Detail: detail, Code: code})
}

func noRecord(path string) answer {
	return restAnswer(http.StatusNotFound, "Not Found", restErrorDetail{Detail: "The record instance does not exist. Provide a valid record instance ID.", Code: "NONEXISTENT_ID", URLPath: clip(path, 256)})
}

func notAllowed(allowed ...string) answer {
	a := restAnswer(http.StatusMethodNotAllowed, "Method Not Allowed", restErrorDetail{Detail: "Method not allowed.", Code: "METHOD_NOT_ALLOWED"})
	a.header.Set("Allow", strings.Join(allowed, ", "))
	return a
}

// denyREST is the general answer of REST web services and SuiteQL.
func (x *exchange) denyREST(r *refusal) answer {
	switch r.reason {
	case ReasonConcurrency:
		return restAnswer(http.StatusTooManyRequests, "Bad Request", restErrorDetail{Detail: "Concurrent request limit exceeded. Request blocked.", Code: "CONCURRENCY_LIMIT_EXCEEDED"})
	case ReasonBadRequest:
		return badRequest("INVALID_REQUEST", "The request could not be understood by the server due to malformed syntax.")
	case ReasonWrongHost:
		return restAnswer(http.StatusForbidden, "Forbidden", restErrorDetail{Detail: "The request was sent to an invalid domain.", Code: "INVALID_REQUEST"})
	}
	a := restAnswer(http.StatusUnauthorized, "Unauthorized", restErrorDetail{Detail: loginTrail, Code: "INVALID_LOGIN"})
	x.setChallenge(&a, r)
	return a
}

// setChallenge adds WWW-Authenticate in the form of the scheme that was used.
func (x *exchange) setChallenge(a *answer, r *refusal) {
	if scheme(x.request.Header.Get("Authorization")) == "bearer" || oneOf(string(x.channel), string(ChannelCertificates), string(ChannelMCP)) {
		a.header.Set("WWW-Authenticate", x.bearerChallenge(r))
		return
	}
	if challenge := x.challenge(r); challenge != "" {
		a.header.Set("WWW-Authenticate", challenge)
	}
}

// asUser runs f for a request whose credentials are good, within the limit of
// the account.
func (x *exchange) asUser(f func(login) answer) answer {
	who, refused := x.apiLogin()
	if refused != nil {
		return x.deny(refused)
	}
	x.accept(who)
	return x.limited(who.account, func() answer { return f(who) })
}

func (x *exchange) nothingHere() answer {
	return x.asUser(func(login) answer {
		if x.channel == ChannelRESTlet {
			return x.restletError(http.StatusNotFound, "UNEXPECTED_ERROR", "There is nothing at this URL.")
		}
		return noRecord(x.wire.path)
	})
}

// record serves /services/rest/record/v1: customers, and nothing of any other
// type.
func (x *exchange) record() answer {
	return x.asUser(func(who login) answer {
		rest := strings.TrimPrefix(x.wire.path, "/services/rest/record/v1/")
		if rest == "metadata-catalog" {
			return jsonAnswer(http.StatusOK, map[string]any{"items": []any{map[string]any{"name": "customer", "links": []any{}}}})
		}
		kind, rawID, one := strings.Cut(rest, "/")
		id, err := percentDecode(rawID, false)
		if kind != "customer" || err != nil || (one && id == "") || strings.Contains(rawID, "/") {
			return noRecord(x.wire.path)
		}
		if !one {
			return x.customers(who)
		}
		return x.customer(who, id)
	})
}

func (x *exchange) customers(who login) answer {
	self := x.wire.uri()
	switch x.wire.method {
	case http.MethodGet:
		rows := who.account.records.list()
		if field, value, ok := fieldIs(get(x.queryPairs(), "q")); ok {
			rows = matching(rows, field, value)
		} else if get(x.queryPairs(), "q") != "" {
			return badRequest("INVALID_PARAMETER", `The mock understands q=field IS "value" only.`)
		}
		items := []any{}
		for _, row := range rows {
			id := text(row["id"])
			items = append(items, map[string]any{"id": id, "links": []any{link("self", self+"/"+id)}})
		}
		return x.page(items, 1000)
	case http.MethodPost:
		object, err := decodeObject(x.body)
		if err != nil {
			return badRequest("INVALID_CONTENT", "Invalid content in the request body.")
		}
		id, ok := who.account.records.add(object)
		if !ok {
			return badRequest("USER_ERROR", "The record store of this account is full.")
		}
		return answer{http.StatusNoContent, http.Header{"Location": {self + "/" + id}}, nil}
	}
	return notAllowed(http.MethodGet, http.MethodPost)
}

func (x *exchange) customer(who login, id string) answer {
	row, key, found := who.account.records.find(id)
	if !found {
		return noRecord(x.wire.path)
	}
	switch x.wire.method {
	case http.MethodGet:
		out := map[string]any{"links": []any{link("self", x.wire.uri())}}
		for name, value := range row {
			out[name] = value
		}
		return jsonAnswer(http.StatusOK, out)
	case http.MethodPatch:
		object, err := decodeObject(x.body)
		if err != nil {
			return badRequest("INVALID_CONTENT", "Invalid content in the request body.")
		}
		if !who.account.records.change(key, object) {
			return badRequest("USER_ERROR", "The record store of this account is full.")
		}
		return answer{http.StatusNoContent, http.Header{"Location": {x.wire.uri()}}, nil}
	case http.MethodDelete:
		who.account.records.remove(key)
		return answer{status: http.StatusNoContent}
	}
	return notAllowed(http.MethodGet, http.MethodPatch, http.MethodDelete)
}

func (x *exchange) governance() answer {
	return x.asUser(func(who login) answer {
		limit := who.account.Concurrency
		return jsonAnswer(http.StatusOK, map[string]any{
			"accountConcurrencyLimit": limit, "accountUnallocatedConcurrencyLimit": limit, "integrationLimitType": "accountLimit",
		})
	})
}

// queryPairs are the parameters of the query; the signature check has seen that
// they can be read.
func (x *exchange) queryPairs() []pair {
	pairs, err := formPairs(x.wire.query)
	if err != nil {
		return nil
	}
	return pairs
}

func link(rel, href string) map[string]string { return map[string]string{"rel": rel, "href": href} }

func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// fieldIs understands the one form of the q parameter that the mock knows.
func fieldIs(q string) (field, value string, ok bool) {
	field, value, ok = strings.Cut(q, " IS ")
	unquoted, err := strconv.Unquote(value)
	return field, unquoted, ok && err == nil && field != ""
}

func matching(rows []row, field, value string) []row {
	var out []row
	for _, r := range rows {
		if text(r[field]) == value {
			out = append(out, r)
		}
	}
	return out
}
