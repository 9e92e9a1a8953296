package command

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
)

// TestEntriesFitTheTerminal wants query and tail within the width, with number and time
// whole, and nothing cut where there is no terminal.
func TestEntriesFitTheTerminal(t *testing.T) {
	entries := []audit.Entry{
		{Seq: 7, Event: "sign", Outcome: "ok", Profile: "acme-sb1", Method: "GET", Host: "1234567-sb1.suitetalk.api.netsuite.com", Path: "/services/rest/record/v1/customer/1"},
		{Seq: 12345678, Event: "connect-password", Outcome: "denied", Reason: "NSA-READONLY", Profile: "a-profile-with-a-rather-long-name-in-it", Detail: "東京 " + strings.Repeat("long ", 30)},
	}
	for i := range entries {
		entries[i].Time = time.Date(2026, 11, 22, 20, 10, 42+i, 0, time.Local)
	}
	for _, tail := range []bool{false, true} {
		for _, width := range []int{0, 78, 100, 200, 400} {
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
				below := width > 0 && width <= 100
				if below && len(lines) == 5 {
					lines = []string{lines[0], lines[1] + "\n" + lines[2], lines[3] + "\n" + lines[4]}
				}
				if len(lines) != 3 {
					t.Fatalf("got %q", out.String())
				}
				for i, line := range lines {
					for _, l := range strings.Split(line, "\n") {
						if n := columnsOf(l); width > 0 && n > width {
							t.Errorf("a line takes %d columns: %q", n, l)
						}
					}
					if width == 0 && strings.Contains(line, "…") {
						t.Errorf("no terminal: %q is cut", line)
					}
					if i > 0 && !strings.Contains(line, fmt.Sprintf("2026-11-22 20:10:%d", 41+i)) {
						t.Errorf("the time is cut: %q", line)
					}
				}
				if whole := strings.Contains(lines[1], entries[0].Path); whole != (width != 78) {
					t.Errorf("path: %q", lines[1])
				}
				if whole := strings.Contains(lines[2], "NSA-READONLY"); whole != (width != 78) {
					t.Errorf("code: %q", lines[2])
				}
			})
		}
	}
}
