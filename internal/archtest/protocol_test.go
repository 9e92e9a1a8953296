package archtest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestErrorTableIsThatOfTheCode compares the table of docs/protocol.md with the
// one in proto/nsagent/v1.
func TestErrorTableIsThatOfTheCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, m := range pb.Meanings() {
		fmt.Fprintf(&want, "| `%s` | %s | %d | %d | %s |\n", m.Code, m.GRPC, m.HTTP, m.Exit, m.Text)
	}
	const head = "| code | gRPC | HTTP | exit | meaning |\n|---|---|---|---|---|\n"
	_, table, found := strings.Cut(string(page), head)
	if !found {
		t.Fatal("docs/protocol.md has no table of errors")
	}
	if table != want.String() {
		t.Errorf("docs/protocol.md ends with another table than\n%s%s", head, want.String())
	}
}
