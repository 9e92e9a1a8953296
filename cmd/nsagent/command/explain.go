package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/nearest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newExplain(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [CODE]",
		Short: "Explain an error code: what it means and what to do",
		Long: `Explain an error code, which stands in brackets at the end of each error: what
it means, what the likely causes are, and what to do. Without a code it lists
them all. Case and the NSA- in front do not matter.`,
		Example: `  nsagent explain NSA-LOCKED
  nsagent explain locked -o json
  nsagent explain`,
		Args: takes("[CODE]"),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return e.listCodes()
			}
			return e.explainCode(args[0])
		},
	}
}

// explanation is what explain prints for programs.
type explanation struct {
	Schema string   `json:"schema"`
	Code   pb.Code  `json:"code"`
	Text   string   `json:"text"`
	Means  string   `json:"means"`
	Causes []string `json:"causes"`
	Do     []string `json:"do"`
	Exit   int      `json:"exit"`
	HTTP   int      `json:"http"`
	GRPC   string   `json:"grpc"`
}

func explanationOf(page codePage) explanation {
	m := pb.Lookup(page.code)
	return explanation{"nsagent.explain/v1", m.Code, m.Text, page.means, page.causes, page.do, m.Exit, m.HTTP, m.GRPC.String()}
}

// listCodes prints every code with its sentence.
func (e *env) listCodes() error {
	pages := codePages()
	if e.output == "json" {
		all := make([]explanation, 0, len(pages))
		for _, page := range pages {
			all = append(all, explanationOf(page))
		}
		return e.printJSON(struct {
			Schema string        `json:"schema"`
			Codes  []explanation `json:"codes"`
		}{"nsagent.explain-list/v1", all})
	}
	rows := [][]string{{"CODE", "EXIT", "MEANING"}}
	for _, page := range pages {
		if e.json() {
			if err := e.printJSON(explanationOf(page)); err != nil {
				return err
			}
			continue
		}
		m := pb.Lookup(page.code)
		rows = append(rows, []string{string(m.Code), fmt.Sprint(m.Exit), m.Text})
	}
	if e.json() {
		return nil
	}
	return e.table(rows)
}

func (e *env) explainCode(word string) error {
	page, known := findPage(word)
	if !known {
		why := didYouMean(nearest.Name(codeOf(word), codeNames()))
		if why == "" {
			why = "codes look like NSA-LOCKED"
		}
		return &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("no code %.40q", word), Why: why, Next: "list them:  nsagent explain"}
	}
	x := explanationOf(page)
	if e.json() {
		return e.printJSON(x)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n%s\n", x.Code, x.Text, paragraph("", x.Means))
	b.WriteString("\nLikely causes\n")
	for _, cause := range x.Causes {
		b.WriteString(paragraph("  - ", cause) + "\n")
	}
	b.WriteString("\nWhat to do\n")
	for _, do := range x.Do {
		b.WriteString(paragraph("  - ", do) + "\n")
	}
	fmt.Fprintf(&b, "\nExit code %d; HTTP status %d; gRPC %s", x.Exit, x.HTTP, x.GRPC)
	return e.print(b.String())
}

// paragraph breaks text into lines of the help's width, behind a mark on the first.
func paragraph(mark, text string) string {
	lines := wrap(text, helpWidth-len(mark))
	return mark + strings.Join(lines, "\n"+strings.Repeat(" ", len(mark)))
}

// codeOf returns the code that word names, whether or not there is one.
func codeOf(word string) string {
	code := strings.ToUpper(strings.Trim(word, "[] "))
	if !strings.HasPrefix(code, "NSA-") {
		code = "NSA-" + code
	}
	return code
}

func findPage(word string) (codePage, bool) {
	for _, page := range codePages() {
		if string(page.code) == codeOf(word) {
			return page, true
		}
	}
	return codePage{}, false
}

func codeNames() []string {
	var names []string
	for _, m := range pb.Meanings() {
		names = append(names, string(m.Code))
	}
	return names
}
