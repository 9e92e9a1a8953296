package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Files returns the paths of the files whose bytes are part of the policy and are not in
// its text yet, each once.
func (p *Policy) Files() []string {
	var out []string
	for _, i := range p.Issuers {
		if i.JWKSFile != "" && i.JWKS == "" {
			out = appendNew(out, i.JWKSFile)
		}
		if i.CAFile != "" && i.CA == "" {
			out = appendNew(out, i.CAFile)
		}
	}
	return out
}

// WithFile returns text, that of p, with the bytes of one of its Files behind it, in the
// table copied. The error wraps ErrSyntax, and names the line of a CA that is at fault.
func (p *Policy) WithFile(text, path, content string) (string, error) {
	if slices.ContainsFunc(p.Issuers, func(i Issuer) bool { return i.CAFile == path }) {
		if err := checkCA(content); err != nil {
			return "", fmt.Errorf("%w: %.100q: %w", ErrSyntax, path, err)
		}
	}
	const quote = "'''"
	if strings.Contains(content, quote) || strings.ContainsAny(path, `"\`) {
		return "", fmt.Errorf("%w: %.100q cannot be copied in", ErrSyntax, path)
	}
	if !strings.Contains(text, copiedTable) {
		text += copiedTable
	}
	return text + fmt.Sprintf("\"%s\" = %s\n%s%s\n", path, quote, content, quote), nil
}

// FileFault returns what is wrong with one of the Files of a policy, text, as a fault of the
// first key that names it.
func FileFault(text, path, why string) error {
	top, err := decode(text)
	if err != nil {
		return err
	}
	for _, t := range top.subs("issuer", maxList) {
		t.title = "issuer"
		for _, key := range []string{"jwks_file", "ca_file"} {
			if t.values[key] == path {
				t.fail(key, "%s", why)
			}
		}
	}
	return *top.err
}

const copiedTable = "\n\n# The files as they were when the policy was adopted.\n[copied]\n"

// readCopied gives issuers the keys and the CAs that were copied in from their files.
func (p *Policy) readCopied(top *table) {
	t := top.sub("copied")
	if t == nil {
		return
	}
	for n := range p.Issuers {
		i := &p.Issuers[n]
		if v, ok := t.copied(i.JWKSFile); ok {
			if i.JWKS, _ = v.(string); i.JWKS == "" {
				t.fail(i.JWKSFile, "it is the content of that file")
			}
		}
		if v, ok := t.copied(i.CAFile); ok {
			i.CA = t.certificates(i.CAFile, v)
		}
	}
	t.end()
}

// copied returns the content of a file; no file has none.
func (t *table) copied(path string) (any, bool) {
	if path == "" {
		return nil, false
	}
	return t.get(path)
}
