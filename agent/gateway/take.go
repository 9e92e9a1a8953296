package gateway

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/nsagent/nsagent/internal/secret"
)

// maxKept is the longest member that is handed on as text.
const maxKept = 4096

// take fills in what of a body the job wants. A body that is no object is no error: the
// answer says that it was not readable. The error is a key that cannot be sealed to.
func (a *Answer) take(j Job, body []byte) error {
	members, ok := membersOf(body)
	if !ok {
		return nil
	}
	a.Readable = true
	for _, name := range j.Keep {
		if v, ok := members[name]; ok && len(v) <= maxKept && utf8.Valid(v) {
			if a.Kept == nil {
				a.Kept = make(map[string]string)
			}
			a.Kept[name] = string(v)
		}
	}
	for _, s := range j.Seal {
		v, ok := members[s.Member]
		if !ok || len(v) == 0 {
			continue
		}
		box, err := secret.SealSlice(s.Key, secret.SealContext{Instance: s.Instance, Method: SealMethod, Profile: s.Profile, Field: s.Member}, v)
		if err != nil {
			return fmt.Errorf("sealing %s: %w", s.Member, err)
		}
		if a.Sealed == nil {
			a.Sealed = make(map[string][]byte)
		}
		a.Sealed[s.Member] = box
	}
	for _, v := range members {
		clear(v)
	}
	return nil
}

// membersOf returns the texts, numbers and truth values of an object.
func membersOf(body []byte) (map[string][]byte, bool) {
	out := make(map[string][]byte)
	var object map[string]jsontext.Value
	if err := json.Unmarshal(body, &object); err != nil || object == nil {
		return nil, false
	}
	for name, v := range object {
		switch v.Kind() {
		case '"':
			text, err := jsontext.AppendUnquote(nil, v)
			if err != nil {
				return nil, false
			}
			out[name] = text
		case '0', 't', 'f':
			out[name] = []byte(v)
		}
	}
	return out, true
}

// Seconds reads a kept member that is a number of seconds, which Oracle's samples write
// as a number and as text. It is false for anything else, or more than a year.
func (a Answer) Seconds(member string) (int64, bool) {
	n, err := strconv.ParseInt(a.Kept[member], 10, 64)
	return n, err == nil && n > 0 && n <= 366*24*3600
}
