package command

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// shownTable returns a table as a terminal of so many columns has it.
func shownTable(t *testing.T, width int, rows [][]string) []string {
	t.Helper()
	var out bytes.Buffer
	e := testEnv(&out)
	e.screen.columns = width
	if err := e.table(rows); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// profileRows is a table as that of profile ls.
func profileRows(names ...string) [][]string {
	rows := [][]string{{"NAME", "ACCOUNT", "ENVIRONMENT", "AUTH", "ACCESS", "STATE", "EXPIRES", "LAST USED"}}
	for _, n := range names {
		rows = append(rows, []string{n, "1234567_SB1", "production", "tba", "read", "ok", "2026-12-05 12:00", "2026-11-30 20:15"})
	}
	return rows
}

// TestTableNeverCutsWhatNamesARow guards against rows that look alike: at no width is a
// name cut, or a line wider than the terminal, unlike when the widest columns were cut.
func TestTableNeverCutsWhatNamesARow(t *testing.T) {
	certificate := "gATrlWmFEjpFrzPbZ7Qk3JwzHVJYV6JZ9vS9DtAzN1o"
	for name, rows := range map[string][][]string{
		"long names":  profileRows("acme-production-orders-nightly", "acme-production-orders-hourly", "acme-production-invoices"),
		"short names": profileRows("acme-prod", "acme-m2m", "acme-sb1"),
		"wide names":  profileRows("東京の注文の夜間", "東京の注文の昼間"),
		"certificates": {
			{"CERTIFICATE", "STATE", "KEY", "FROM", "UNTIL", "ENTITY", "ROLE"},
			{certificate, "active, revoked", "ES256", "2024-12-05 12:00", "2026-12-05 12:00", "17 (Integrations of the whole company)", "3 (Administrator)"},
		},
		"heads alone":     profileRows(),
		"very long names": profileRows(strings.Repeat("a", 63)+"1", strings.Repeat("a", 63)+"2"),
	} {
		for _, width := range []int{30, 40, 60, 80, 120, 200} {
			t.Run(fmt.Sprintf("%s/%d", name, width), func(t *testing.T) {
				lines := shownTable(t, width, rows)
				for _, line := range lines {
					if n := columnsOf(line); n > width {
						t.Errorf("a line takes %d columns: %q", n, line)
					}
				}
				for _, row := range rows[1:] {
					if !strings.Contains(strings.Join(lines, ""), row[0]) {
						t.Errorf("%q is missing from\n%s", row[0], strings.Join(lines, "\n"))
					}
					if columnsOf(row[0]) <= width && !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, row[0]) }) {
						t.Errorf("%q is broken up in\n%s", row[0], strings.Join(lines, "\n"))
					}
				}
			})
		}
	}
}

// TestTableTakesThreeForms shows what is done as a terminal gets narrower.
func TestTableTakesThreeForms(t *testing.T) {
	rows := [][]string{{"NAME", "ENVIRONMENT", "NOTE"}, {"acme-orders-nightly", "production", "a note of some length"}, {"acme-orders-hourly", "sandbox", ""}}
	for width, want := range map[int]string{
		0:  "NAME                 ENVIRONMENT  NOTE\nacme-orders-nightly  production   a note of some length\nacme-orders-hourly   sandbox",
		49: "NAME                 ENVIRONME…  NOTE\nacme-orders-nightly  production  a note of some…\nacme-orders-hourly   sandbox",
		30: "NAME\n  ENVIRONME…  NOTE\nacme-orders-nightly\n  production  a note of some…\nacme-orders-hourly\n  sandbox",
		27: "acme-orders-nightly\n  environment  production\n  note         a note of\n               some length\nacme-orders-hourly\n  environment  sandbox",
	} {
		if got := strings.Join(shownTable(t, width, rows), "\n"); got != want {
			t.Errorf("%d columns: got\n%s\nwant\n%s", width, got, want)
		}
	}
}

func TestBreakUp(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"one two three", 8, []string{"one two", "three"}},
		{"a 0123456789abcdef b", 8, []string{"a", "01234567", "89abcdef", "b"}},
		{"東京都庁舎の", 9, []string{"東京都庁", "舎の"}},
		{"123456789", 1, []string{"12345678", "9"}},
	} {
		if got := breakUp(test.text, test.width); !slices.Equal(got, test.want) {
			t.Errorf("%q: got %q, want %q", test.text, got, test.want)
		}
	}
}
