package command

import (
	"strings"
	"testing"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// A card shows what is signed beside the URL, and by which socket it is asked for.
func TestCardShowsWhatIsSigned(t *testing.T) {
	got := card(screen{}, &pb.ApprovalRequest{
		Kind: "sign", Method: "POST", Url: "https://x.example/y", FormSha256: strings.Repeat("0123456789abcdef", 4), FormBytes: 8,
		Scopes: []string{"restlets", "suite_analytics"}, Socket: "exec-1\nrule  mine",
	}, maxURL)
	for _, want := range []string{"  form      8 bytes, SHA-256 0123456789abcdef…\n", "  scopes    restlets suite_analytics\n", "  socket    exec-1"} {
		if !strings.Contains(got, want) {
			t.Errorf("the card has no %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "\nrule  mine") {
		t.Errorf("the name of a socket writes a line of its own:\n%s", got)
	}
	if plain := card(screen{}, &pb.ApprovalRequest{Kind: "passport"}, maxURL); strings.Contains(plain, "form") || strings.Contains(plain, "scopes") || strings.Contains(plain, "socket") {
		t.Errorf("a card without any:\n%s", plain)
	}
}
