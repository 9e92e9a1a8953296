package command

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// A summary has the most frequent uses first and so many at most, and shows what a program
// wanted as text, whatever it is.
func TestSummaryOfARun(t *testing.T) {
	r := run{grant: "g_a", first: 3, last: 90, uses: map[use]int{{"token", "ok"}: 1, {"GET /a|`<b>\x1b", "denied, NSA-HOST"}: 7}}
	for i := range 60 {
		r.uses[use{fmt.Sprintf("GET /%02d", i), "ok"}] = 2
	}
	now := time.Unix(1_800_000_000, 0)
	got := r.markdown(&pb.SocketOpened{}, &pb.AuditStatus{Path: "/log", Head: "00ff"}, now)
	const begin = "### nsagent\n\n| use | verdict | times |\n|---|---|---:|\n| `GET /a??<b>?` | `denied, NSA-HOST` | 7 |\n| `GET /00` | `ok` | 2 |\n"
	const end = "| `GET /48` | `ok` | 2 |\n\nand uses of 12 other kinds\n\nOn record as entries 3 to 90 of the log in `/log`, head `00ff`.\n\n"
	if !strings.HasPrefix(got, begin) || !strings.HasSuffix(got, end) {
		t.Errorf("got\n%s", got)
	}
	r.until = now.Add(49 * time.Hour)
	if got := r.markdown(&pb.SocketOpened{}, &pb.AuditStatus{}, now); !strings.Contains(got, "\nGrant `g_a` ends on 2027-01-17; days left: 2. On record") {
		t.Errorf("got\n%s", got)
	}
	r.until = now.Add(-time.Hour)
	if got := r.markdown(&pb.SocketOpened{}, &pb.AuditStatus{}, now); !strings.Contains(got, "ends on 2027-01-15; days left: 0.") {
		t.Errorf("got\n%s", got)
	}
}

// Each kind of use counts, with the code of a refusal, and nothing else does.
func TestWhatASummaryCounts(t *testing.T) {
	for event, want := range map[string]use{
		audit.EventSign: {"GET /x", "denied, NSA-HOST"}, audit.EventSend: {"GET /x", "denied, NSA-HOST"},
		audit.EventPassport: {"passport", "denied, NSA-HOST"}, audit.EventConnectPassword: {"connect-password", "denied, NSA-HOST"},
		audit.EventAssertion: {"assertion", "denied, NSA-HOST"}, audit.EventToken: {"token", "denied, NSA-HOST"},
		audit.EventSocketOpen: {}, audit.EventAgentStart: {}, "": {},
	} {
		if got := usedFor(audit.Entry{Event: event, Outcome: "denied", Reason: "NSA-HOST", Method: "GET", Path: "/x"}); got != want {
			t.Errorf("%s: got %v", event, got)
		}
	}
}
