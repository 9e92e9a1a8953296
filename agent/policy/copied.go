package policy

import (
	"fmt"
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
	}
	return out
}

// WithFile returns the text of a policy with the bytes of one of its Files behind it, in
// the table copied.
func WithFile(text, path, content string) (string, error) {
	const quote = "'''"
	if strings.Contains(content, quote) || strings.ContainsAny(path, `"\`) {
		return "", fmt.Errorf("%w: %.100q cannot be copied in", ErrSyntax, path)
	}
	if !strings.Contains(text, copiedTable) {
		text += copiedTable
	}
	return text + fmt.Sprintf("\"%s\" = %s\n%s%s\n", path, quote, content, quote), nil
}

const copiedTable = "\n\n# The files as they were when the policy was adopted.\n[copied]\n"

// readCopied gives issuers the keys that were copied in from their files.
func (p *Policy) readCopied(top *table) {
	t := top.sub("copied")
	if t == nil {
		return
	}
	for n := range p.Issuers {
		i := &p.Issuers[n]
		if i.JWKSFile == "" {
			continue
		}
		if v, ok := t.get(i.JWKSFile); ok {
			if i.JWKS, _ = v.(string); i.JWKS == "" {
				t.fail(i.JWKSFile, "it is the content of that file")
			}
		}
	}
	t.end()
}
