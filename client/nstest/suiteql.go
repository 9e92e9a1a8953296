package nstest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/nsagent/nsagent/internal/pattern"
)

// statement is all the SuiteQL that the mock understands.
var statement = pattern.New(`(?i)^\s*select\s+([a-z0-9_,.* \t\r\n]+?)\s+from\s+customer(?:\s+where\s+id\s*=\s*([0-9]{1,9}))?(?:\s+order\s+by\s+id)?\s*;?\s*$`)

// suiteQL serves POST /services/rest/query/v1/suiteql.
func (x *exchange) suiteQL() answer {
	return x.asUser(func(who login) answer {
		if x.wire.method != http.MethodPost {
			return notAllowed(http.MethodPost)
		}
		if !oneOf("transient", preferences(x.request.Header)...) {
			return restAnswer(http.StatusBadRequest, "Bad Request", restErrorDetail{Detail: "The Prefer header must be transient.", Code: "INVALID_HEADER", Header: "Prefer"})
		}
		object, err := decodeObject(x.body)
		if err != nil {
			return badRequest("INVALID_CONTENT", "Invalid content in the request body.")
		}
		var q string
		if err := json.Unmarshal(object["q"], &q); err != nil || len(object) != 1 {
			return badRequest("INVALID_CONTENT", `The request body is {"q": "…"}.`)
		}
		m := statement().FindStringSubmatch(q)
		if m == nil {
			return badRequest("INVALID_PARAMETER", "Invalid search query. The mock understands SELECT columns FROM customer [WHERE id = n] [ORDER BY id].")
		}
		rows := who.account.records.list()
		if m[2] != "" {
			rows = matching(rows, "id", m[2])
		}
		items := []any{}
		for _, r := range rows {
			item, ok := pick(r, m[1])
			if !ok {
				return badRequest("INVALID_PARAMETER", "Invalid search query. Unknown column.")
			}
			items = append(items, item)
		}
		return x.page(items, 1000)
	})
}

func preferences(h http.Header) []string {
	var out []string
	for _, value := range h.Values("Prefer") {
		for _, one := range strings.Split(value, ",") {
			out = append(out, strings.ToLower(strings.TrimSpace(one)))
		}
	}
	return out
}

// pick is the row of a SuiteQL answer: column names in lower case, no nulls.
func pick(r row, columns string) (map[string]any, bool) {
	lower := row{}
	for name, value := range r {
		lower[strings.ToLower(name)] = value
	}
	out := map[string]any{"links": []any{}}
	if strings.TrimSpace(columns) == "*" {
		for name, value := range lower {
			out[name] = value
		}
		return out, true
	}
	for _, column := range strings.Split(columns, ",") {
		name := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(column)), "customer.")
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return nil, false
		}
		if value, found := lower[name]; found {
			out[name] = value
		}
	}
	return out, true
}

// page cuts a collection as limit and offset of the query say, with links to the
// other pages on the origin that the client used.
func (x *exchange) page(items []any, most int) answer {
	limit, offset := most, 0
	for _, p := range x.queryPairs() {
		n, err := strconv.Atoi(p.value)
		switch p.name {
		case "limit":
			if err != nil || n < 1 || n > most {
				return restAnswer(http.StatusBadRequest, "Bad Request", restErrorDetail{Detail: "limit is a number from 1 to " + strconv.Itoa(most) + ".", Code: "INVALID_PARAMETER", QueryParam: "limit"})
			}
			limit = n
		case "offset":
			if err != nil || n < 0 {
				return restAnswer(http.StatusBadRequest, "Bad Request", restErrorDetail{Detail: "offset is a number from 0.", Code: "INVALID_PARAMETER", QueryParam: "offset"})
			}
			offset = n
		}
	}
	total := len(items)
	from := min(offset, total)
	to := min(from+limit, total)
	at := func(rel string, offset int) map[string]string {
		return link(rel, x.wire.uri()+"?limit="+strconv.Itoa(limit)+"&offset="+strconv.Itoa(offset))
	}
	links := []any{}
	if offset > 0 {
		links = append(links, at("previous", max(0, offset-limit)), at("first", 0))
	}
	if to < total {
		links = append(links, at("next", offset+limit), at("last", (total-1)/limit*limit))
	}
	links = append(links, at("self", offset))
	return jsonAnswer(http.StatusOK, map[string]any{
		"links": links, "count": to - from, "hasMore": to < total, "items": items[from:to], "offset": offset, "totalResults": total,
	})
}
