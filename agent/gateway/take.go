package gateway

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/nsagent/nsagent/internal/secret"
)

// maxKept is the longest member that is handed on as text.
const maxKept = 4096

// take fills in what of a body the job wants. A body that is not what was to be read is
// no error: the answer says that it was not readable. The error is a key that cannot be
// sealed to.
func (a *Answer) take(j Job, body []byte) error {
	switch j.Read {
	case ReadText:
		a.Text = clip(string(bytes.ToValidUTF8(body, []byte("?"))), MaxText)
		a.Readable = true
		return nil
	case ReadList:
		a.takeList(j, body)
		return nil
	case ReadForm:
		pairs, ok := formOf(body)
		return a.takeMembers(j, ok, func(name string) ([]byte, bool) { v, ok := pairs[name]; return v, ok })
	default:
		object, ok := objectOf(body)
		return a.takeMembers(j, ok, func(name string) ([]byte, bool) { return member(object, name) })
	}
}

// takeMembers keeps and seals what the job names.
func (a *Answer) takeMembers(j Job, readable bool, get func(name string) ([]byte, bool)) error {
	if !readable {
		return nil
	}
	a.Readable = true
	a.Kept = keep(j.Keep, get)
	for _, s := range j.Seal {
		v, ok := get(s.Member)
		if !ok || len(v) == 0 {
			continue
		}
		box, err := secret.SealSlice(s.Key, secret.SealContext{Instance: s.Instance, Method: SealMethod, Profile: s.Profile, Field: s.Member}, v)
		clear(v)
		if err != nil {
			return fmt.Errorf("sealing %s: %w", s.Member, err)
		}
		if a.Sealed == nil {
			a.Sealed = make(map[string][]byte)
		}
		a.Sealed[s.Member] = box
	}
	return nil
}

// takeList keeps members of each object of a list.
func (a *Answer) takeList(j Job, body []byte) {
	var list []jsontext.Value
	if json.Unmarshal(body, &list) != nil || list == nil || len(list) > MaxList {
		return
	}
	all := make([]map[string]string, 0, len(list))
	for _, v := range list {
		object, ok := objectOf(v)
		if !ok {
			return
		}
		all = append(all, keep(j.Keep, func(name string) ([]byte, bool) { return member(object, name) }))
	}
	a.Readable, a.List = true, all
}

// keep returns the members that are named as text; nil where there is none.
func keep(names []string, get func(name string) ([]byte, bool)) map[string]string {
	var kept map[string]string
	for _, name := range names {
		if v, ok := get(name); ok && len(v) <= maxKept && utf8.Valid(v) {
			if kept == nil {
				kept = make(map[string]string)
			}
			kept[name] = string(v)
		}
	}
	return kept
}

func objectOf(body []byte) (map[string]jsontext.Value, bool) {
	var object map[string]jsontext.Value
	err := json.Unmarshal(body, &object)
	return object, err == nil && object != nil
}

// member returns a text, number or truth value of an object, or of what is inside it.
func member(object map[string]jsontext.Value, name string) ([]byte, bool) {
	first, rest, nested := strings.Cut(name, ".")
	v, ok := object[first]
	for ok && nested {
		first, rest, nested = strings.Cut(rest, ".")
		v, ok = child(v, first)
	}
	if !ok {
		return nil, false
	}
	switch v.Kind() {
	case '"':
		text, err := jsontext.AppendUnquote(nil, v)
		return text, err == nil
	case '0', 't', 'f':
		return bytes.Clone(v), true
	}
	return nil, false
}

// child returns a member of an object, or the element of a list with that number.
func child(v jsontext.Value, name string) (jsontext.Value, bool) {
	switch v.Kind() {
	case '{':
		object, ok := objectOf(v)
		c, there := object[name]
		return c, ok && there
	case '[':
		var list []jsontext.Value
		i, err := strconv.ParseUint(name, 10, 16)
		if err != nil || json.Unmarshal(v, &list) != nil || i >= uint64(len(list)) {
			return nil, false
		}
		return list[i], true
	}
	return nil, false
}

// formOf returns the pairs of a form. A name that is there twice, or an escape that is
// none, makes it unreadable.
func formOf(body []byte) (map[string][]byte, bool) {
	pairs := make(map[string][]byte)
	for _, pair := range bytes.Split(bytes.TrimRight(body, "\r\n"), []byte("&")) {
		name, value, _ := bytes.Cut(pair, []byte("="))
		n, ok1 := unescape(name)
		v, ok2 := unescape(value)
		if _, again := pairs[string(n)]; again || !ok1 || !ok2 || len(n) == 0 {
			return nil, false
		}
		pairs[string(n)] = v
	}
	return pairs, true
}

// unescape decodes a name or value of a form.
func unescape(text []byte) ([]byte, bool) {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%':
			if i+2 >= len(text) {
				return nil, false
			}
			n, err := strconv.ParseUint(string(text[i+1:i+3]), 16, 8)
			if err != nil {
				return nil, false
			}
			c = byte(n)
			i += 2
		case c <= ' ' || c >= 0x7f:
			return nil, false
		}
		out = append(out, c)
	}
	return out, true
}

// clip cuts text to at most n bytes.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// Seconds reads a kept member that is a number of seconds, which Oracle's samples write
// as a number and as text. It is false for anything else, or more than a year.
func (a Answer) Seconds(member string) (int64, bool) {
	n, err := strconv.ParseInt(a.Kept[member], 10, 64)
	return n, err == nil && n > 0 && n <= 366*24*3600
}
