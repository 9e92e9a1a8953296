package nstest

import (
	"crypto/sha1" // #nosec G505 -- only to recognise a signature made with it
	"slices"
	"strings"
)

// httpGuesses are the mistakes of a signature over an HTTP request, the usual
// ones first. The names up to query-after-oauth-unsorted are those of the
// common_mistakes of the NetSuite vectors.
func httpGuesses() []guess {
	all := []guess{
		{"realm-in-base-string", "realm must be left out of the base string", func(f facts) []string {
			return f.signed(f.with(append(f.all(), pair{"realm", f.realm})))
		}},
		{"query-left-out", "the parameters of the query are missing from the base string", func(f facts) []string {
			return f.signed(f.with(append(slices.Clone(f.oauth), f.form...)))
		}},
		{"query-left-in-uri", "the query string was signed as part of the URI", func(f facts) []string {
			uri := f.wire.uri() + "?" + f.wire.query
			return f.signed(baseString(f.wire.method, uri, normalize(append(slices.Clone(f.oauth), f.form...))), f.at(uri))
		}},
		{"hmac-sha1", "HMAC-SHA1 stopped being accepted at 2023.1", func(f facts) []string {
			return []string{sign(sha1.New, f.key(), f.labelled("HMAC-SHA1")), sign(sha1.New, f.key(), f.right)}
		}},
		{"sha256-over-sha1-label", "the base string says HMAC-SHA1 but the digest is SHA-256", func(f facts) []string {
			return f.signed(f.labelled("HMAC-SHA1"))
		}},
		{"wrong-method", "signed for another HTTP method", func(f facts) []string {
			var bases []string
			for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", strings.ToLower(f.wire.method)} {
				bases = append(bases, baseString(m, f.wire.uri(), normalize(f.all())))
			}
			return f.signed(bases...)
		}},
		{"underscore-host", "the host label has a hyphen, not an underscore", func(f facts) []string {
			under := strings.ReplaceAll(f.wire.label, "-", "_")
			return f.signed(f.at(f.relabelled(under)), f.at(f.relabelled(strings.ToUpper(under))))
		}},
		{"uppercase-host", "the host must be in lower case before signing", func(f facts) []string {
			return f.signed(f.at(f.relabelled(strings.ToUpper(f.wire.label))),
				f.at(f.wire.scheme+"://"+strings.ToUpper(f.wire.host)+f.wire.path),
				f.at(f.wire.scheme+"://"+f.wire.sent+f.wire.path))
		}},
		{"params-encoded-once", "the parameter string needs a percent-encoding pass of its own", func(f facts) []string {
			return f.signed(f.wire.method + "&" + percentEncode(f.wire.uri()) + "&" + normalize(f.all()))
		}},
		{"query-after-oauth-unsorted", "the parameters must be sorted together", func(f facts) []string {
			oauth, query := normalize(f.oauth), normalize(f.query)
			unsorted := join(encoded(f.query))
			return f.signed(
				f.params(oauth+"&"+query), f.params(query+"&"+oauth), f.params(oauth+"&"+unsorted),
				f.params(unsorted+"&"+oauth), f.params(join(encoded(f.all()))))
		}},
	}
	all = append(all, keyGuesses()...)
	all = append(all, digestGuesses()...)
	return append(all, encodingGuesses()...)
}

// encodingGuesses are mistakes of libraries in reading or writing a request.
func encodingGuesses() []guess {
	return []guess{
		{"repeated-parameter-dropped", "all values of a repeated parameter are signed, not only one", func(f facts) []string {
			first, last := oneValueEach(f.all())
			return f.signed(f.with(first), f.with(last))
		}},
		{"sub-delims-not-encoded", "! * ' ( ) must be percent-encoded", func(f facts) []string {
			keep := strings.NewReplacer("%21", "!", "%2A", "*", "%27", "'", "%28", "(", "%29", ")")
			once := keep.Replace(normalize(f.all()))
			return f.signed(f.params(once), f.wire.method+"&"+percentEncode(f.wire.uri())+"&"+keep.Replace(percentEncode(once)))
		}},
		{"space-as-plus", "a space is %20 in the base string, never +", func(f facts) []string {
			return f.signed(f.params(strings.ReplaceAll(normalize(f.all()), "%20", "+")))
		}},
		{"plus-not-decoded", "+ in a query means space", func(f facts) []string {
			kept, err := formPairs(strings.ReplaceAll(f.wire.query, "+", "%2B"))
			if err != nil {
				return nil
			}
			return f.signed(f.with(append(append(slices.Clone(f.oauth), kept...), f.form...)))
		}},
		{"query-not-decoded", "the query must be decoded before it is encoded for the base string", func(f facts) []string {
			return f.signed(f.with(append(append(slices.Clone(f.oauth), rawPairs(f.wire.query)...), f.form...)))
		}},
		{"lower-case-hex", "percent-encoding uses upper-case hex", func(f facts) []string {
			once := lowerHex(normalize(f.all()))
			return f.signed(f.params(once), f.wire.method+"&"+lowerHex(percentEncode(f.wire.uri()))+"&"+lowerHex(percentEncode(once)))
		}},
		{"empty-parameter-dropped", "a parameter without a value is signed as name=", func(f facts) []string {
			return f.signed(f.with(slices.DeleteFunc(f.all(), func(p pair) bool { return p.value == "" })))
		}},
		{"path-decoded", "the path is signed as sent, with its escapes", func(f facts) []string {
			path, err := percentDecode(f.wire.path, false)
			if err != nil {
				return nil
			}
			return f.signed(f.at(f.wire.origin() + path))
		}},
		{"wrong-scheme", "signed for http instead of https, or the reverse", func(f facts) []string {
			return f.signed(f.at("https://"+f.wire.host+f.wire.path), f.at("http://"+f.wire.host+f.wire.path))
		}},
		{"port", "a default port is left out of the base string, any other stays", func(f facts) []string {
			return f.signed(f.at(f.wire.scheme+"://"+f.wire.host+":443"+f.wire.path),
				f.at(f.wire.scheme+"://"+f.wire.host+":80"+f.wire.path),
				f.at(f.wire.scheme+"://"+hostName(f.wire.host)+f.wire.path))
		}},
		{"signed-for-netsuite-host", "signed for a NetSuite host, sent to another: sign the URL that is sent", func(f facts) []string {
			var bases []string
			for _, site := range []string{"suitetalk.api", "restlets.api", "app"} {
				bases = append(bases, f.at("https://"+hostLabel(f.realm)+"."+site+".netsuite.com"+f.wire.path))
			}
			return f.signed(append(bases, f.at("https://rest.netsuite.com"+f.wire.path))...)
		}},
		{"version-not-signed", "oauth_version is signed if it is sent, and only then", func(f facts) []string {
			return f.signed(f.with(without(f.all(), "oauth_version")), f.with(append(f.all(), pair{"oauth_version", "1.0"})))
		}},
		{"token-not-signed", "oauth_token is missing from the base string", func(f facts) []string {
			return f.signed(f.with(without(f.all(), "oauth_token")))
		}},
		{"body-signed", "a body that is not a form takes no part in the signature", func(f facts) []string {
			bases := []string{f.right + "&" + percentEncode(f.body)}
			if pairs, err := formPairs(f.body); err == nil && len(f.form) == 0 {
				bases = append(bases, f.with(append(f.all(), pairs...)))
			}
			return f.signed(bases...)
		}},
		{"form-left-out", "the parameters of a form body are missing from the base string", func(f facts) []string {
			return f.signed(f.with(append(slices.Clone(f.oauth), f.query...)))
		}},
	}
}

// params is the base string over a parameter string that is already joined.
func (f facts) params(joined string) string {
	return baseString(f.wire.method, f.wire.uri(), joined)
}

// relabelled is the URI with another host label.
func (f facts) relabelled(label string) string {
	if f.wire.label == "" {
		return f.wire.uri()
	}
	return f.wire.scheme + "://" + label + strings.TrimPrefix(f.wire.host, f.wire.label) + f.wire.path
}

func encoded(pairs []pair) []pair {
	out := make([]pair, len(pairs))
	for i, p := range pairs {
		out[i] = pair{percentEncode(p.name), percentEncode(p.value)}
	}
	return out
}

// rawPairs takes a query apart without decoding it.
func rawPairs(query string) []pair {
	var out []pair
	for _, piece := range strings.Split(query, "&") {
		if piece != "" {
			name, value, _ := strings.Cut(piece, "=")
			out = append(out, pair{name, value})
		}
	}
	return out
}

// oneValueEach keeps only the first, or only the last, value of each name.
func oneValueEach(pairs []pair) (first, last []pair) {
	seen := map[string]int{}
	for _, p := range pairs {
		if at, found := seen[p.name]; found {
			last[at] = p
			continue
		}
		seen[p.name] = len(first)
		first = append(first, p)
		last = append(last, p)
	}
	return first, last
}

// lowerHex writes the hex of each escape in lower case.
func lowerHex(s string) string {
	out := []byte(s)
	for i := 0; i+2 < len(out); i++ {
		if out[i] == '%' {
			copy(out[i+1:i+3], strings.ToLower(string(out[i+1:i+3])))
		}
	}
	return string(out)
}
