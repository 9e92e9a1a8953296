package audit

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// Entry is one line of the log, as read back.
type Entry struct {
	// Seq is the number of the entry, from 1.
	Seq  uint64
	Time time.Time
	// The texts are as Event describes them. Event may be one that this release does
	// not know.
	Event, Outcome, Reason, Profile, Account, Kind, Method, Host, Path, RESTlet string
	UID, PID                                                                    int
	Exe, Grant, Rule, Detail                                                    string
	// Prev is the hash of the entry before.
	Prev Hash
}

// AppendLine appends the entry as it stands in the log, with its newline.
func (e Entry) AppendLine(dst []byte) []byte {
	body := appendBody(nil, &Event{
		Time: e.Time, Event: e.Event, Outcome: e.Outcome, Reason: e.Reason, Profile: e.Profile,
		Account: e.Account, Kind: e.Kind, Method: e.Method, Host: e.Host, Path: e.Path, RESTlet: e.RESTlet,
		UID: e.UID, PID: e.PID, Exe: e.Exe, Grant: e.Grant, Rule: e.Rule, Detail: e.Detail,
	})
	return appendLine(dst, e.Seq, body, &e.Prev)
}

// MarshalJSON returns the entry with the keys of the log.
func (e Entry) MarshalJSON() ([]byte, error) {
	return bytes.TrimSuffix(e.AppendLine(nil), []byte("\n")), nil
}

// ParseLine parses one line, which ends in its newline. It takes the one form that an
// entry has and nothing else: for whatever it takes, AppendLine gives the same bytes.
// The error wraps ErrLine and names the field at fault.
func ParseLine(line []byte) (Entry, error) {
	v, err := parse(line)
	if err != nil {
		return Entry{}, err
	}
	return v.entry(), nil
}

// view is a parsed line whose texts still lie in the line, escaped.
type view struct {
	seq                                                                         uint64
	time                                                                        time.Time
	event, outcome, reason, profile, account, kind, method, host, path, restlet []byte
	uid, pid                                                                    int
	exe, grant, rule, detail                                                    []byte
	prev                                                                        Hash
}

func (v *view) entry() Entry {
	return Entry{
		Seq: v.seq, Time: v.time, Event: string(v.event), Outcome: string(v.outcome),
		Reason: unescape(v.reason), Profile: unescape(v.profile), Account: unescape(v.account),
		Kind: unescape(v.kind), Method: unescape(v.method), Host: unescape(v.host),
		Path: unescape(v.path), RESTlet: string(v.restlet), UID: v.uid, PID: v.pid, Exe: unescape(v.exe), Grant: unescape(v.grant), Rule: unescape(v.rule),
		Detail: unescape(v.detail), Prev: v.prev,
	}
}

func parse(line []byte) (v view, err error) {
	c := cursor{rest: line}
	if len(line) > MaxLine {
		return view{}, fmt.Errorf("%w: longer than %d bytes", ErrLine, MaxLine)
	}
	c.literal("seq", `{"seq":`)
	v.seq = c.seq()
	c.literal("time", `,"time":"`)
	v.time = c.time()
	c.literal("event", `","event":"`)
	v.event = c.until("event")
	c.literal("outcome", `,"outcome":"`)
	v.outcome = c.until("outcome")
	if c.bad == "" && !validName(v.event) {
		c.bad = "event"
	}
	if c.bad == "" && !knownOutcome(string(v.outcome)) {
		c.bad = "outcome"
	}
	v.reason = c.text("reason", `,"reason":"`, maxReason)
	v.profile = c.text("profile", `,"profile":"`, maxProfile)
	v.account = c.text("account", `,"account":"`, maxAccount)
	v.kind = c.text("kind", `,"kind":"`, maxKind)
	v.method = c.text("method", `,"method":"`, maxMethod)
	v.host = c.text("host", `,"host":"`, maxHost)
	v.path = c.text("path", `,"path":"`, maxPath)
	if bytes.ContainsAny(v.path, "?#") {
		c.fail("path")
	}
	v.restlet = c.text("restlet", `,"restlet":"`, maxRESTlet)
	if v.restlet != nil && restletOnly(string(v.restlet)) == "" {
		c.fail("restlet")
	}
	c.literal("uid", `,"uid":`)
	v.uid = c.id("uid")
	c.literal("pid", `,"pid":`)
	v.pid = c.id("pid")
	v.exe = c.text("exe", `,"exe":"`, maxExe)
	v.grant = c.text("grant", `,"grant":"`, maxGrant)
	v.rule = c.text("rule", `,"rule":"`, maxRule)
	v.detail = c.text("detail", `,"detail":"`, maxDetail)
	c.literal("prev", `,"prev":"`)
	v.prev = c.hash()
	c.literal("end of line", "\"}\n")
	if len(c.rest) != 0 {
		c.fail("end of line")
	}
	if c.bad != "" {
		return view{}, fmt.Errorf("%w: %s", ErrLine, c.bad)
	}
	return v, nil
}

// cursor walks through a line. After the first fault it does nothing more.
type cursor struct {
	rest []byte
	bad  string // the field at fault
}

func (c *cursor) fail(field string) {
	if c.bad == "" {
		c.bad = field
	}
}

// skip passes over s if it stands next.
func (c *cursor) skip(s string) bool {
	if c.bad != "" || len(c.rest) < len(s) || string(c.rest[:len(s)]) != s {
		return false
	}
	c.rest = c.rest[len(s):]
	return true
}

func (c *cursor) literal(field, s string) {
	if !c.skip(s) {
		c.fail(field)
	}
}

// take returns the next n bytes, or nil if there are fewer.
func (c *cursor) take(field string, n int) []byte {
	if c.bad != "" || len(c.rest) < n {
		c.fail(field)
		return nil
	}
	p := c.rest[:n]
	c.rest = c.rest[n:]
	return p
}

// digits returns the decimal number that stands next, in its one right form.
func (c *cursor) digits(field string) []byte {
	n := 0
	for n < len(c.rest) && c.rest[n] >= '0' && c.rest[n] <= '9' {
		n++
	}
	if n == 0 || n > 1 && c.rest[0] == '0' {
		c.fail(field)
		return nil
	}
	return c.take(field, n)
}

func (c *cursor) seq() uint64 {
	n, err := strconv.ParseUint(string(c.digits("seq")), 10, 64)
	if err != nil || n == 0 {
		c.fail("seq")
	}
	return n
}

func (c *cursor) id(field string) int {
	if c.skip("-1") {
		return -1
	}
	n, err := strconv.Atoi(string(c.digits(field)))
	if err != nil {
		c.fail(field)
	}
	return n
}

func (c *cursor) time() time.Time {
	p := c.take("time", len("2006-01-02T15:04:05.000000Z"))
	if p == nil {
		return time.Time{}
	}
	// Whatever stands in the places of digits, only a real time in its one right form
	// comes out as it went in.
	n := func(from, to int) (n int) {
		for _, d := range p[from:to] {
			n = n*10 + int(d-'0')
		}
		return n
	}
	t := time.Date(n(0, 4), time.Month(n(5, 7)), n(8, 10), n(11, 13), n(14, 16), n(17, 19), n(20, 26)*1000, time.UTC)
	var again [32]byte
	if !bytes.Equal(appendTime(again[:0], t), p) {
		c.fail("time")
		return time.Time{}
	}
	return t
}

// until returns what stands before the next quotation mark and passes over both.
func (c *cursor) until(field string) []byte {
	i := bytes.IndexByte(c.rest, '"')
	if i < 0 {
		c.fail(field)
		return nil
	}
	p := c.take(field, i)
	c.skip(`"`)
	return p
}

// text returns the text of an optional field, as it is escaped in the line.
func (c *cursor) text(field, key string, limit int) []byte {
	if !c.skip(key) {
		return nil
	}
	i := 0
	for i < len(c.rest) && c.rest[i] != '"' {
		if c.rest[i] == '\\' {
			i++
		}
		i++
	}
	if i >= len(c.rest) || !validText(c.rest[:i], limit) {
		c.fail(field)
		return nil
	}
	p := c.take(field, i)
	c.skip(`"`)
	return p
}

func (c *cursor) hash() (h Hash) {
	p := c.take("prev", 2*len(h))
	if p == nil {
		return h
	}
	var again [2 * len(h)]byte
	if _, err := hex.Decode(h[:], p); err != nil || !bytes.Equal(hex.AppendEncode(again[:0], h[:]), p) {
		c.fail("prev")
	}
	return h
}
