package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"net/url"
	"os/user"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newRequests(e *env) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:   "requests",
		Short: "List what waits until somebody approves it",
		Long: `List what waits until somebody approves it: who asks, for what, in which
environment. A rule of the policy with effect "ask" has callers wait. All who
want the same are one request.`,
		Example: `  nsagent requests
  nsagent requests --watch
  nsagent approve k3v7qa --for 5m`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runRequests(c.Context(), e, watch) },
	}
	c.Flags().BoolVar(&watch, "watch", false, "go on, and print each request as it comes")
	return c
}

func runRequests(ctx context.Context, e *env, watch bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	return e.manage(ctx, func(a *client.Admin) error {
		if watch {
			return e.watchRequests(ctx, a)
		}
		r, err := a.Requests(ctx, 0)
		if err != nil {
			return err
		}
		if e.json() {
			return e.printJSON(requestsForm(r.GetRequests()))
		}
		if len(r.GetRequests()) == 0 {
			e.say("nothing waits for approval")
		}
		return e.printCards(r.GetRequests())
	})
}

// watchRequests prints each request once, as it comes, until it is interrupted.
func (e *env) watchRequests(ctx context.Context, a *client.Admin) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go untilUnread(ctx, cancel)
	seen := make(map[string]bool)
	for after := uint64(0); ; {
		r, err := a.Requests(ctx, after)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		var fresh []*pb.ApprovalRequest
		now := make(map[string]bool)
		for _, m := range r.GetRequests() {
			now[m.GetId()] = true
			if !seen[m.GetId()] {
				fresh = append(fresh, m)
			}
		}
		after, seen = r.GetRevision(), now
		switch {
		case len(fresh) == 0:
		case e.json():
			err = e.printJSON(requestsForm(fresh))
		default:
			err = e.printCards(fresh)
		}
		if err != nil {
			return err
		}
	}
}

// requestJSON is a request in the output for programs.
type requestJSON struct {
	ID          string       `json:"id"`
	UID         uint32       `json:"uid"`
	User        string       `json:"user,omitzero"`
	Grant       string       `json:"grant,omitzero"`
	Profile     string       `json:"profile"`
	Account     string       `json:"account"`
	Environment string       `json:"environment"`
	Kind        string       `json:"kind"`
	Method      string       `json:"method,omitzero"`
	URL         string       `json:"url,omitzero"`
	FormSHA256  string       `json:"form_sha256,omitzero"`
	FormBytes   int64        `json:"form_bytes,omitzero"`
	Scopes      []string     `json:"scopes,omitempty"`
	Socket      string       `json:"socket,omitzero"`
	Rule        string       `json:"rule"`
	TOTP        bool         `json:"totp"`
	Callers     []callerJSON `json:"callers"`
	Since       string       `json:"since"`
	EndsIn      int64        `json:"ends_in"`
}

type callerJSON struct {
	PID    int32  `json:"pid"`
	Exe    string `json:"exe"`
	Parent string `json:"parent,omitzero"`
}

type requestsJSON struct {
	Schema   string        `json:"schema"`
	Requests []requestJSON `json:"requests"`
}

func requestsForm(all []*pb.ApprovalRequest) requestsJSON {
	out := requestsJSON{Schema: "nsagent.requests/v1", Requests: []requestJSON{}}
	for _, r := range all {
		m := requestJSON{
			ID: r.GetId(), UID: r.GetUid(), User: userName(r.GetUid()), Grant: r.GetGrant(), Profile: r.GetProfile(), Account: r.GetAccount(), Environment: r.GetEnvironment(),
			Kind: r.GetKind(), Method: r.GetMethod(), URL: r.GetUrl(), FormSHA256: r.GetFormSha256(), FormBytes: r.GetFormBytes(), Scopes: r.GetScopes(), Socket: r.GetSocket(), Rule: r.GetRule(), TOTP: r.GetTotp(), Callers: []callerJSON{},
			Since: time.Unix(r.GetSince(), 0).UTC().Format(time.RFC3339), EndsIn: r.GetEndsIn(),
		}
		for _, c := range r.GetCallers() {
			m.Callers = append(m.Callers, callerJSON{c.GetPid(), c.GetExe(), c.GetParent()})
		}
		out.Requests = append(out.Requests, m)
	}
	return out
}

// userName returns the name of a user; empty where it is not known.
func userName(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return ""
	}
	return u.Username
}

func (e *env) printCards(all []*pb.ApprovalRequest) error {
	for _, r := range all {
		if err := writeCard(e.stdout, e.screen, r); err != nil {
			return err
		}
	}
	return nil
}

// writeCard shows a request to who is to approve it, all of it.
func writeCard(w io.Writer, s screen, r *pb.ApprovalRequest) error {
	_, err := io.WriteString(w, card(s, r, math.MaxInt))
	return err
}

// card returns what somebody is shown who is to approve a request. Nothing of it can write
// lines of its own, or look as if it had. Of what is longer than most bytes it has both
// ends, and says so.
func card(s screen, r *pb.ApprovalRequest, most int) string {
	short := func(text string) string {
		text = oneLine(text)
		if len(text) <= most {
			return text
		}
		head := most * 2 / 3
		return strings.ToValidUTF8(text[:head]+"… ("+strconv.Itoa(len(text))+" characters in all) …"+text[len(text)-(most-head):], "")
	}
	path := func(path string) string { return short(quoteOdd(path)) }
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-10s%s\n", name, value)
		}
	}
	fmt.Fprintf(&b, "request %s, for %d s more\n", s.paint(bold, oneLine(r.GetId())), r.GetEndsIn())
	for i, c := range r.GetCallers() {
		if i > 0 {
			line("and", fmt.Sprintf("%d more that want the same", len(r.GetCallers())-1))
			break
		}
		program := fmt.Sprintf("%s (pid %d)", cmp.Or(path(c.GetExe()), "not known"), c.GetPid())
		if c.GetParent() != "" {
			program += ", started by " + path(c.GetParent())
		}
		line("program", program)
	}
	line("user", strings.TrimSpace(fmt.Sprintf("%s (uid %d)", oneLine(userName(r.GetUid())), r.GetUid())))
	line("grant", oneLine(r.GetGrant()))
	line("socket", path(r.GetSocket()))
	where := strings.ToUpper(oneLine(r.GetEnvironment()))
	if where == "PRODUCTION" {
		where = s.paint(red, where)
	}
	line("account", oneLine(r.GetAccount())+"  "+where)
	line("profile", oneLine(r.GetProfile()))
	wants := oneLine(r.GetKind())
	if r.GetMethod() != "" {
		wants += " " + s.paint(bold, oneLine(r.GetMethod())) + " " + short(r.GetUrl())
	}
	line("wants", wants)
	line("restlet", short(restletOf(r.GetUrl())))
	if r.GetFormSha256() != "" {
		line("form", fmt.Sprintf("%d bytes, SHA-256 %.16s…", r.GetFormBytes(), oneLine(r.GetFormSha256())))
	}
	line("scopes", short(strings.Join(r.GetScopes(), " ")))
	line("rule", oneLine(r.GetRule()))
	if r.GetTotp() {
		line("needs", "a code of the authenticator app")
	}
	return b.String()
}

// restletOf returns which RESTlet a URL calls, as script/deploy; "" for none.
func restletOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return policy.Script(u.EscapedPath(), u.RawQuery)
}

// quoteOdd quotes a path that holds a blank or something that is not seen, which could be
// taken for the end of it.
func quoteOdd(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return r == ' ' || r == '"' || !unicode.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	return path
}
