package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"strings"
	"time"
)

// Filter says which entries Query gives. A zero field lets all through; texts must be
// equal.
type Filter struct {
	// Since is the earliest time, Until the first that is too late.
	Since, Until time.Time
	// First and Last are the least and the greatest number.
	First, Last                                            uint64
	Event, Outcome, Reason, Profile, Account, Kind, Method string
	// In Host and Path an asterisk stands for any text. Exe may be the last element of the
	// path of the program alone.
	Host, Path, Exe string
	// Grant is the grant of the unlock token that was shown, or the start of its name.
	Grant string
	// Rule is the name of the rule of the policy that decided.
	Rule string
	// UID and PID let through only this user and this process; nil means every one.
	UID, PID *int
}

func (f *Filter) match(v *view) bool {
	return v.seq >= f.First && (f.Last == 0 || v.seq <= f.Last) &&
		(f.Since.IsZero() || !v.time.Before(f.Since)) &&
		(f.Until.IsZero() || v.time.Before(f.Until)) &&
		same(f.Event, v.event) && same(f.Outcome, v.outcome) && same(f.Reason, v.reason) &&
		same(f.Profile, v.profile) && same(f.Account, v.account) && same(f.Kind, v.kind) &&
		same(f.Method, v.method) && like(f.Host, v.host) && like(f.Path, v.path) && program(f.Exe, v.exe) && begins(f.Grant, v.grant) && same(f.Rule, v.rule) &&
		(f.UID == nil || *f.UID == v.uid) && (f.PID == nil || *f.PID == v.pid)
}

// like is same for a pattern in which an asterisk stands for any text.
func like(pattern string, raw []byte) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return same(pattern, raw)
	}
	text, ok := strings.CutPrefix(unescape(raw), parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		if _, text, ok = strings.Cut(text, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(text, parts[last])
}

// program reports whether raw is the path want, or ends in it as its last element.
func program(want string, raw []byte) bool {
	return want == "" || want == unescape(raw) || want == filepath.Base(unescape(raw))
}

func same(want string, raw []byte) bool {
	return want == "" || want == unescape(raw)
}

// begins is same for the start of a text.
func begins(want string, raw []byte) bool {
	return want == "" || strings.HasPrefix(unescape(raw), want)
}

// Query gives the entries of a log that match, in order. A malformed line gives a zero
// Entry and an error that wraps ErrLine and names the line by its place; the caller may
// go on. A failed read gives an error and ends. An incomplete last line is left out,
// since it may be being written. Query does not check the chain: CheckDir does.
func Query(r io.Reader, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for v, err := range views(r) {
			switch {
			case err != nil:
				if !yield(Entry{}, err) {
					return
				}
			case f.match(v):
				if !yield(v.entry(), nil) {
					return
				}
			}
		}
	}
}

// Past is what the log knows of each profile by name.
type Past struct {
	// Used is when it was last used with success.
	Used map[string]time.Time
	// Expiry is the detail of the last entry about its end.
	Expiry map[string]string
}

// Recall returns what the whole log of dir says of profiles; without a log it is empty.
// It reads about a million entries a second: ask once and keep the maps.
func Recall(dir string) (Past, error) {
	p := Past{Used: make(map[string]time.Time), Expiry: make(map[string]string)}
	f, err := OpenReader(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return Past{}, err
	}
	defer f.Close()
	for v, err := range views(f) {
		if errors.Is(err, ErrLine) {
			continue // finding damage is the task of CheckDir
		}
		if err != nil {
			return Past{}, err
		}
		if len(v.profile) > 0 && string(v.outcome) == OutcomeOK {
			p.note(v)
		}
	}
	return p, nil
}

// note takes over what an entry says of its profile.
func (p *Past) note(v *view) {
	name := unescape(v.profile)
	switch event := string(v.event); {
	case isUse(event):
		if v.time.After(p.Used[name]) {
			p.Used[name] = v.time
		}
	case event == EventExpiry:
		p.Expiry[name] = unescape(v.detail)
	case event == EventProfileRename:
		if to, renamed := strings.CutPrefix(string(v.detail), "to="); renamed {
			if t := p.Used[name]; !t.IsZero() {
				p.Used[to] = t
			}
			if told, ok := p.Expiry[name]; ok {
				p.Expiry[to] = told
			}
		}
	}
}

// views parses line after line; a view is good until the next.
func views(r io.Reader) iter.Seq2[*view, error] {
	return func(yield func(*view, error) bool) {
		lines := newLineReader(r)
		for n := 1; ; n++ {
			line, err := lines.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("audit: reading: %w", err))
				return
			}
			v, err := parse(line)
			if err != nil {
				err = fmt.Errorf("line %d: %w", n, err)
			}
			if !yield(&v, err) {
				return
			}
		}
	}
}
