package command

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
)

// TestEntriesFitTheTerminal wants query and tail within the width, with nothing cut but
// a target that stands beside the rest.
func TestEntriesFitTheTerminal(t *testing.T) {
	entries := []audit.Entry{
		{Seq: 7, Event: "sign", Outcome: "ok", Profile: "acme-sb1", Method: "GET", Host: "1234567-sb1.suitetalk.api.netsuite.com", Path: "/services/rest/record/v1/customer/1"},
		{Seq: 12345678, Event: "connect-password", Outcome: "denied", Reason: "NSA-READONLY", Profile: "a-profile-with-a-rather-long-name-in-it", Detail: "東京 " + strings.Repeat("long ", 30)},
	}
	for i := range entries {
		entries[i].Time = time.Date(2026, 11, 22, 20, 10, 42+i, 0, time.Local)
	}
	for _, tail := range []bool{false, true} {
		for _, width := range []int{0, 40, 60, 80, 100, 200, 400} {
			t.Run(fmt.Sprintf("tail=%v/%d", tail, width), func(t *testing.T) {
				var out bytes.Buffer
				e := testEnv(&out)
				e.screen.columns = width
				p := newEntryPrinter(e)
				if tail {
					p.stream()
				}
				for i, x := range entries {
					if !tail || i == 0 { // the second comes unforeseen
						p.fit(x)
					}
				}
				for _, x := range entries {
					if err := p.print(x); err != nil {
						t.Fatal(err)
					}
				}
				lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
				for i, x := range entries {
					shown := map[bool]string{true: "2026-11-22 20:10:42", false: "2026-11-22 20:10:43"}[i == 0]
					for _, whole := range []string{fmt.Sprint(x.Seq), shown, x.Outcome, x.Event, x.Profile, x.Method, x.Reason} {
						if !strings.Contains(strings.ReplaceAll(out.String(), "\n  ", ""), whole) {
							t.Errorf("%q is cut in\n%s", whole, out.String())
						}
					}
				}
				for _, line := range lines {
					if n := columnsOf(line); width > 0 && n > width {
						t.Errorf("a line takes %d columns: %q", n, line)
					}
					if width <= 100 && strings.Contains(line, "…") {
						t.Errorf("%q is cut, though there is room below", line)
					}
				}
				if width > 0 && width <= 100 {
					return
				}
				if len(lines) != 3 {
					t.Fatalf("got %q", out.String())
				}
				if !strings.Contains(lines[1], entries[0].Path) {
					t.Errorf("path: %q", lines[1])
				}
			})
		}
	}
}
