package nstest

import (
	"crypto/sha1" // #nosec G505 -- only to recognise a signature made with it
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"
)

// facts is all that a wrong signature may have been made from.
type facts struct {
	wire   wire
	oauth  []pair // of the header, in its order, without realm and signature
	query  []pair
	form   []pair
	body   string
	realm  string
	right  string // the right base string
	tokens []string
	secret struct{ consumer, token string }
}

// guess is one known mistake: the signatures that it would have given.
type guess struct {
	name       string
	explain    string
	signatures func(facts) []string
}

// name puts the mistake that gives exactly this signature into r.
func (r *refusal) name(f facts, given string, guesses []guess) {
	for _, g := range guesses {
		if oneOf(given, g.signatures(f)...) {
			r.mistake, r.explain = g.name, g.explain
			return
		}
	}
}

func (f facts) key() string { return signingKey(f.secret.consumer, f.secret.token) }

func (f facts) all() []pair {
	return append(append(append([]pair{}, f.oauth...), f.query...), f.form...)
}

// signed is the signature over the given base strings with the right key.
func (f facts) signed(bases ...string) []string {
	var out []string
	for _, base := range bases {
		out = append(out, sign(sha256.New, f.key(), base))
	}
	return out
}

// keyed is the signature over the right base string with the given keys.
func (f facts) keyed(keys ...string) []string {
	var out []string
	for _, key := range keys {
		out = append(out, sign(sha256.New, key, f.right))
	}
	return out
}

// at is the base string with another URI, method or parameters.
func (f facts) at(uri string) string { return baseString(f.wire.method, uri, normalize(f.all())) }

func (f facts) with(pairs []pair) string {
	return baseString(f.wire.method, f.wire.uri(), normalize(pairs))
}

// labelled is the right base string with another oauth_signature_method.
func (f facts) labelled(method string) string {
	pairs := f.all()
	for i, p := range pairs {
		if p.name == "oauth_signature_method" {
			pairs[i].value = method
		}
	}
	return f.with(pairs)
}

// keyGuesses and digestGuesses hold for every channel.
func keyGuesses() []guess {
	return []guess{
		{"key-without-ampersand", "the two secrets must be joined by &", func(f facts) []string {
			return f.keyed(f.secret.consumer + f.secret.token)
		}},
		{"key-order-swapped", "the consumer secret comes before the token secret", func(f facts) []string {
			return f.keyed(signingKey(f.secret.token, f.secret.consumer))
		}},
		{"key-consumer-only", "the token secret is missing from the key", func(f facts) []string {
			return f.keyed(signingKey(f.secret.consumer, ""), f.secret.consumer)
		}},
		{"key-token-only", "the consumer secret is missing from the key", func(f facts) []string {
			return f.keyed(signingKey("", f.secret.token), f.secret.token)
		}},
		{"token-id-as-secret", "a token ID or consumer key stands where its secret belongs", func(f facts) []string {
			var out []string
			for _, id := range f.tokens {
				out = append(out, signingKey(f.secret.consumer, id), signingKey(id, f.secret.token))
			}
			return f.keyed(append(out, signingKey(f.tokens[0], f.tokens[len(f.tokens)-1]))...)
		}},
		{"secret-with-line-break", "a secret was read with the line break or blank that ends its line", func(f facts) []string {
			var keys []string
			for _, end := range []string{"\n", "\r\n", " "} {
				c, t := f.secret.consumer, f.secret.token
				keys = append(keys, signingKey(c+end, t), signingKey(c, t+end), signingKey(c+end, t+end),
					c+end+"&"+t, c+"&"+t+end, c+end+"&"+t+end)
			}
			return f.keyed(keys...)
		}},
	}
}

func digestGuesses() []guess {
	return []guess{
		{"hex-digest-base64", "base64 of the hex text of the digest, not of its bytes", func(f facts) []string {
			text := hex.EncodeToString(digest(sha256.New, f.key(), f.right))
			return []string{base64.StdEncoding.EncodeToString([]byte(text))}
		}},
		{"hex-digest", "the digest is written in hex, not in base64", func(f facts) []string {
			text := hex.EncodeToString(digest(sha256.New, f.key(), f.right))
			return []string{text, strings.ToUpper(text)}
		}},
		{"base64url", "the digest is written in base64url, or without its padding", func(f facts) []string {
			sum := digest(sha256.New, f.key(), f.right)
			return []string{base64.URLEncoding.EncodeToString(sum), base64.RawURLEncoding.EncodeToString(sum), base64.RawStdEncoding.EncodeToString(sum)}
		}},
		{"signature-encoded", "the signature is percent-encoded once more than it should be", func(f facts) []string {
			return []string{percentEncode(sign(sha256.New, f.key(), f.right))}
		}},
		{"plus-lost", "a + of the signature was lost on the way: it has to travel as %2B in a header", func(f facts) []string {
			right := sign(sha256.New, f.key(), f.right)
			return []string{strings.ReplaceAll(right, "+", " "), strings.ReplaceAll(right, "+", ""), strings.TrimPrefix(right, "+")}
		}},
	}
}

// concatGuesses are the mistakes of SOAP and Connect.
func concatGuesses() []guess {
	all := append(keyGuesses(), digestGuesses()...)
	return append(all,
		guess{"hmac-sha1", "the digest is SHA-1", func(f facts) []string {
			return []string{sign(sha1.New, f.key(), f.right)}
		}},
		guess{"values-encoded", "the joined values were percent-encoded once more", func(f facts) []string {
			return f.signed(percentEncode(f.right))
		}},
	)
}

func concatFacts(base string, c claim, consumerSecret string, token Token) facts {
	f := facts{right: base, tokens: []string{c.consumerKey, c.tokenID}}
	f.secret.consumer, f.secret.token = consumerSecret, token.TokenSecret
	return f
}

// nameLabel says whether a request that names another method than HMAC-SHA256
// was at least signed as it says, or with SHA-256 under that name.
func (r *refusal) nameLabel(f facts, label, given string) {
	for _, g := range []struct {
		name, explain string
		hash          func() hash.Hash
	}{
		{"hmac-sha1", "HMAC-SHA1 stopped being accepted at 2023.1", sha1.New},
		{"sha256-over-sha1-label", "the digest is SHA-256 but oauth_signature_method says otherwise", sha256.New},
	} {
		if sign(g.hash, f.key(), f.labelled(label)) == given {
			r.mistake, r.explain = g.name, g.explain
		}
	}
}
