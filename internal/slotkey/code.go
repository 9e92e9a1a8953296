package slotkey

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"sort"
	"strings"

	"github.com/nsagent/nsagent/internal/secret"
)

// Prefix stands before the words of a recovery code; it may be left out when one is
// typed.
const Prefix = "NSR1"

// Words is how many words a recovery code has: 11 bits each, 128 of them random and
// 15 to check the rest. A mistake that gives other words of the list passes the check
// once in 32,768 times.
const Words = 13

const (
	wordBits  = 11
	longest   = 8 // letters of a word
	codeLabel = "nsagent/v1 recovery code"
)

// wordText is the English list of BIP 39 (MIT license): 2,048 words, sorted, of which
// no two begin with the same four letters.
//
//go:embed words.txt
var wordText string

var wordList = strings.Fields(wordText)

// EncodeCode returns the words of a key of CodeSize bytes, joined by hyphens, as it is
// shown to people.
func EncodeCode(a *secret.Arena, key secret.Bytes) (secret.Bytes, error) {
	if key.Len() != CodeSize {
		return secret.Bytes{}, fmt.Errorf("%w: a key of %d bytes", ErrCode, key.Len())
	}
	text, err := a.Alloc(len(Prefix) + Words*(1+longest))
	if err != nil {
		return secret.Bytes{}, err
	}
	n := 0
	err = key.Use(func(k []byte) error {
		return text.Use(func(p []byte) error {
			secret.Do(func() {
				bits := checked(k)
				n = copy(p, Prefix)
				for i := range Words {
					n += copy(p[n:], "-")
					n += copy(p[n:], wordList[word(&bits, i)])
				}
				secret.Wipe(bits[:])
			})
			return nil
		})
	})
	if err == nil {
		err = text.Truncate(n)
	}
	if err != nil {
		text.Destroy()
		return secret.Bytes{}, err
	}
	return text, nil
}

// DecodeCode returns the key of a recovery code, which the caller owns. Case does not
// count, nor what stands between the words: blanks, hyphens, line ends. The error wraps
// ErrCode, says which word is at fault and repeats none, or is one of Alloc's.
func DecodeCode(a *secret.Arena, text secret.Bytes) (secret.Bytes, error) {
	key, err := a.Alloc(CodeSize)
	if err != nil {
		return secret.Bytes{}, err
	}
	err = text.Use(func(p []byte) error {
		return key.Use(func(k []byte) error {
			var err error
			secret.Do(func() { err = decodeCode(k, p) })
			return err
		})
	})
	if err != nil {
		key.Destroy()
		return secret.Bytes{}, err
	}
	return key, nil
}

func decodeCode(key, text []byte) error {
	var bits [18]byte
	defer secret.Wipe(bits[:])
	n := 0
	for len(text) > 0 {
		length := bytes.IndexFunc(text, between)
		if length < 0 {
			length = len(text)
		}
		token := text[:length]
		text = text[min(length+1, len(text)):]
		if length == 0 || n == 0 && sameWord(token, Prefix) {
			continue
		}
		i, ok := find(token)
		switch {
		case !ok:
			return fmt.Errorf("%w: word %d is none of its list; look how it is spelled", ErrCode, n+1)
		case n < Words:
			setWord(&bits, n, i)
		}
		n++
	}
	if n != Words {
		return fmt.Errorf("%w: it has %d words instead of %d", ErrCode, n, Words)
	}
	again := checked(bits[:CodeSize])
	defer secret.Wipe(again[:])
	if again != bits {
		return fmt.Errorf("%w: one of the words is another one, or two are in the wrong order", ErrCode)
	}
	copy(key, bits[:CodeSize])
	return nil
}

// between reports whether r stands between words.
func between(r rune) bool {
	return r == ' ' || r == '-' || r == '\t' || r == '\n' || r == '\r' || r == ',' || r == '.'
}

// checked returns key followed by its check: 143 bits, and a zero to fill the byte.
func checked(key []byte) (bits [18]byte) {
	h := sha256.New()
	h.Write([]byte(codeLabel))
	h.Write(key)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	copy(bits[:], key)
	bits[16], bits[17] = sum[0], sum[1]&^1
	secret.Wipe(sum[:])
	return bits
}

// word returns the bits of word i as its index in the list.
func word(bits *[18]byte, i int) int {
	index := 0
	for b := i * wordBits; b < (i+1)*wordBits; b++ {
		index = index<<1 | int(bits[b/8]>>(7-b%8)&1)
	}
	return index
}

func setWord(bits *[18]byte, i, index int) {
	for b := range wordBits {
		at := i*wordBits + b
		bits[at/8] |= byte(index>>(wordBits-1-b)&1) << (7 - at%8)
	}
}

// find returns the index of a word, in whatever case it is typed.
func find(token []byte) (int, bool) {
	if len(token) > longest {
		return 0, false
	}
	i := sort.Search(len(wordList), func(i int) bool { return compare(wordList[i], token) >= 0 })
	return i, i < len(wordList) && compare(wordList[i], token) == 0
}

// compare orders a word of the list and what was typed, without a copy of it.
func compare(listed string, typed []byte) int {
	for i := range min(len(listed), len(typed)) {
		if d := int(listed[i]) - int(lower(typed[i])); d != 0 {
			return d
		}
	}
	return len(listed) - len(typed)
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func sameWord(a []byte, b string) bool {
	same := len(a) == len(b)
	for i := 0; same && i < len(b); i++ {
		same = lower(a[i]) == lower(b[i])
	}
	return same
}

// HasWord reports whether typed is word n, counted from 1, of a code as EncodeCode
// returns it. Blanks around it and its case do not count.
func HasWord(code secret.Bytes, n int, typed secret.Bytes) bool {
	same := false
	_ = code.Use(func(p []byte) error {
		for range n {
			_, p, _ = bytes.Cut(p, []byte("-"))
		}
		p, _, _ = bytes.Cut(p, []byte("-"))
		return typed.Use(func(q []byte) error {
			q = bytes.Trim(q, " \t")
			same = len(p) > 0 && len(p) == len(q)
			for i := 0; same && i < len(p); i++ {
				same = p[i] == lower(q[i])
			}
			return nil
		})
	})
	return same
}
