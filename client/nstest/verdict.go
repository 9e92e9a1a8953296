package nstest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Verdict is what the server thought of one request or one Connect login: the
// view of an administrator who reads the Login Audit Trail, which the client
// never gets. It holds no secret.
type Verdict struct {
	// Seq counts from 1 in the order the verdicts were given.
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// Channel is how the request came in; empty if it never got that far.
	Channel Channel `json:"channel,omitempty"`
	Method  string  `json:"method,omitempty"`
	// URL is the request's URL as the server saw it, cut at 2048 characters.
	URL     string `json:"url,omitempty"`
	Account string `json:"account,omitempty"`
	// OK says that the credentials were accepted. What the operation itself
	// answered (a 404, for example) is in Status.
	OK bool `json:"ok"`
	// Status is the HTTP status of the answer; 0 for CheckConnect.
	Status int `json:"status,omitempty"`
	// Reason and Detail say why a request was refused: Reason in one spelling
	// for all channels, Detail in that of the Login Audit Trail.
	Reason Reason `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Mistake names the known mistake that explains the refusal, for example
	// query-left-out; empty if none fits.
	Mistake     string `json:"mistake,omitempty"`
	Explanation string `json:"explanation,omitempty"`
	// Fault is the kind of the Fault that befell the request, if one did.
	Fault string `json:"fault,omitempty"`
	// BaseString is what the server signed to compare, for InvalidSignature.
	BaseString  string `json:"base_string,omitempty"`
	ConsumerKey string `json:"consumer_key,omitempty"`
	TokenID     string `json:"token_id,omitempty"`
	Integration string `json:"integration,omitempty"`
	User        string `json:"user,omitempty"`
	Role        string `json:"role,omitempty"`
}

// String returns the verdict as one line of printable ASCII.
func (v Verdict) String() string {
	var b strings.Builder
	if v.OK {
		b.WriteString("accepted")
	} else {
		b.WriteString("refused ")
	}
	channel := v.Channel
	if channel == "" {
		channel = "-"
	}
	fmt.Fprintf(&b, " %-7s", channel)
	if v.Status != 0 {
		fmt.Fprintf(&b, " %d", v.Status)
	}
	if v.Method != "" {
		fmt.Fprintf(&b, " %s %s", printable(v.Method), printable(v.URL))
	}
	if v.Account != "" {
		fmt.Fprintf(&b, " account=%s", printable(v.Account))
	}
	if v.Fault != "" {
		fmt.Fprintf(&b, " fault=%s", printable(v.Fault))
	}
	if v.Detail != "" {
		fmt.Fprintf(&b, " %s", printable(v.Detail))
	}
	if v.Mistake != "" {
		fmt.Fprintf(&b, " [%s]", printable(v.Mistake))
	}
	if v.Explanation != "" {
		fmt.Fprintf(&b, ": %s", printable(v.Explanation))
	}
	return b.String()
}

// printable keeps a hostile request from writing lines or escape sequences of
// its own into a log.
func printable(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return quoted[1 : len(quoted)-1]
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// verdictLog keeps the newest verdicts.
type verdictLog struct {
	mu   sync.Mutex // guards all below
	seq  uint64
	max  int
	kept []Verdict
}

// add numbers v and keeps it.
func (l *verdictLog) add(v Verdict) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	v.Seq = l.seq
	if len(l.kept) == l.max {
		copy(l.kept, l.kept[1:])
		l.kept = l.kept[:l.max-1]
	}
	l.kept = append(l.kept, v)
	return v
}

// since returns a copy of the verdicts kept with a number above seq.
func (l *verdictLog) since(seq uint64) []Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []Verdict{}
	for _, v := range l.kept {
		if v.Seq > seq {
			out = append(out, v)
		}
	}
	return out
}
