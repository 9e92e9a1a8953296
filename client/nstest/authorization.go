package nstest

import "strings"

// parseAuthorization takes apart the value of an Authorization header of scheme
// OAuth: name="value" pairs separated by commas, each percent-encoded.
//
// Unless lenient, a value has to be encoded in the canonical way: unreserved
// characters as they are, all others as %XX with upper-case hex.
func parseAuthorization(header string, lenient bool) ([]pair, *refusal) {
	const name = "OAuth"
	if len(header) <= len(name) || !strings.EqualFold(header[:len(name)], name) || (header[len(name)] != ' ' && header[len(name)] != '\t') {
		return nil, refuse(ReasonMissingFields, "the Authorization header is not of the scheme OAuth")
	}
	rest := strings.Trim(header[len(name):], " \t")
	var out []pair
	seen := map[string]bool{}
	for {
		rawName, after, ok := strings.Cut(rest, "=")
		if !ok || rawName == "" || strings.Trim(rawName, unreserved+"%") != "" {
			return nil, refuse(ReasonParameterRejected, `the Authorization header is not a list of name="value"`)
		}
		if !strings.HasPrefix(after, `"`) {
			return nil, mistaken(ReasonParameterRejected, "value-not-quoted", "values in the Authorization header stand in double quotes")
		}
		rawValue, tail, ok := strings.Cut(after[1:], `"`)
		if !ok {
			return nil, refuse(ReasonParameterRejected, "a double quote is not closed")
		}
		name, err := percentDecode(rawName, false)
		if err != nil {
			return nil, refuse(ReasonParameterRejected, "the name of a parameter is not percent-encoded properly")
		}
		value, err := percentDecode(rawValue, false)
		if err != nil {
			return nil, refuse(ReasonParameterRejected, "the value of "+clip(name, 64)+" is not percent-encoded properly")
		}
		if !lenient && (percentEncode(value) != rawValue || percentEncode(name) != rawName) {
			return nil, mistaken(ReasonParameterRejected, "value-not-encoded",
				"the value of "+clip(name, 64)+" is not percent-encoded: unreserved characters stay, all others are %XX with upper-case hex")
		}
		if seen[name] {
			return nil, refuse(ReasonParameterRejected, clip(name, 64)+" is there twice")
		}
		seen[name] = true
		if value == "" {
			return nil, refuse(ReasonParameterRejected, clip(name, 64)+" is empty")
		}
		out = append(out, pair{name, value})

		tail = strings.TrimLeft(tail, " \t")
		if tail == "" {
			return out, nil
		}
		if !strings.HasPrefix(tail, ",") {
			return nil, refuse(ReasonParameterRejected, "parameters of the Authorization header are separated by commas")
		}
		rest = strings.TrimLeft(tail[1:], " \t")
	}
}

// scheme is that of an Authorization header, in lower case.
func scheme(header string) string {
	name, _, _ := strings.Cut(header, " ")
	return strings.ToLower(name)
}

// get returns the value of a parameter, or "".
func get(pairs []pair, name string) string {
	for _, p := range pairs {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// without returns the pairs whose names are not among names.
func without(pairs []pair, names ...string) []pair {
	var out []pair
	for _, p := range pairs {
		if !oneOf(p.name, names...) {
			out = append(out, p)
		}
	}
	return out
}
