package command

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// printJSON writes v as a document of its own; jsonl puts it on one line.
func (e *env) printJSON(v any) error {
	opts := []json.Options{jsontext.EscapeForHTML(false), json.Deterministic(true)}
	if e.output == "json" {
		opts = append(opts, jsontext.WithIndent("  "))
	}
	b, err := json.Marshal(v, opts...)
	if err != nil {
		return fmt.Errorf("formatting the output: %w", err)
	}
	return e.print(string(b))
}

// print writes a line of data.
func (e *env) print(line string) error {
	if _, err := io.WriteString(e.stdout, line+"\n"); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}

// table writes rows in columns.
func (e *env) table(rows [][]string) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if _, err := fmt.Fprintln(w, strings.Join(r, "\t")); err != nil {
			return fmt.Errorf("writing the output: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}

// day shows an instant that may be missing.
func day(unix int64, missing string) string {
	if unix == 0 {
		return missing
	}
	return time.Unix(unix, 0).Local().Format("2006-01-02 15:04")
}

// echo says on stderr which account a use was for.
func (e *env) echo(profile, account, environment string) {
	e.say("nsagent: %s · %s · %s", profile, account, strings.ToUpper(environment))
}
