package command

import (
	"math"
	"strings"
	"testing"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// A card shows what is signed beside the URL, and by which socket it is asked for.
func TestCardShowsWhatIsSigned(t *testing.T) {
	got := card(screen{}, &pb.ApprovalRequest{
		Kind: "sign", Method: "POST", Url: "https://x.example/y", FormSha256: strings.Repeat("0123456789abcdef", 4), FormBytes: 8,
		Scopes: []string{"restlets", "suite_analytics"}, Socket: "exec-1",
	}, math.MaxInt)
	for _, want := range []string{"  form      8 bytes, SHA-256 0123456789abcdef…\n", "  scopes    restlets suite_analytics\n", "  socket    exec-1"} {
		if !strings.Contains(got, want) {
			t.Errorf("the card has no %q:\n%s", want, got)
		}
	}
	if plain := card(screen{}, &pb.ApprovalRequest{Kind: "passport"}, math.MaxInt); strings.Contains(plain, "form") || strings.Contains(plain, "scopes") || strings.Contains(plain, "socket") {
		t.Errorf("a card without any:\n%s", plain)
	}
}

// A program that hides itself is not shown as if there were none.
func TestCardOfAProgramThatIsNotKnown(t *testing.T) {
	got := card(screen{}, &pb.ApprovalRequest{Kind: "passport", Callers: []*pb.WaitingCaller{{Pid: 7, Parent: "/bin/sh"}}}, math.MaxInt)
	if want := "  program   not known (pid 7), started by /bin/sh\n"; !strings.Contains(got, want) {
		t.Errorf("the card has no %q:\n%s", want, got)
	}
}

// The path of a program is chosen by whoever asks. It guards against one that draws lines
// of a card, or turns the rest of its line around.
func TestCardIsNotDrawnByAPath(t *testing.T) {
	odd := "/home/ann/x\u2029  wants     sign GET https://harmless.example/\n  rule      \u202egnidaer"
	got := card(screen{}, &pb.ApprovalRequest{Kind: "sign", Method: "DELETE", Url: "https://x.example/y", Socket: odd, Callers: []*pb.WaitingCaller{{Exe: odd, Pid: 1, Parent: odd}}}, math.MaxInt)
	quoted := `"/home/ann/x\u2029  wants     sign GET https://harmless.example/\n  rule      \u202egnidaer"`
	for _, want := range []string{"  program   " + quoted + " (pid 1), started by " + quoted + "\n", "  socket    " + quoted + "\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the card has no %s:\n%s", want, got)
		}
	}
}

// What the card of a terminal leaves out, nobody has approved. A window has both ends, and
// which RESTlet it is wherever that stands.
func TestCardOfALongURL(t *testing.T) {
	r := &pb.ApprovalRequest{Kind: "sign", Method: "POST", Url: "https://x.example/app/site/hosting/restlet.nl?pad=" + strings.Repeat("A", 8000) + "&script=customscript_wipe&deploy=1&pad=" + strings.Repeat("B", 8000) + "&end=1"}
	if whole := card(screen{}, r, math.MaxInt); !strings.Contains(whole, "  wants     sign POST "+r.GetUrl()+"\n") {
		t.Errorf("a terminal does not show all of it:\n%s", whole)
	}
	got := card(screen{}, r, 90)
	for _, want := range []string{"https://x.example/app/site/hosting/restlet.nl?pad=AAA", "… (16095 characters in all) …", "BBB&end=1\n", "  restlet   customscript_wipe/1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the card has no %s:\n%s", want, got)
		}
	}
	for name, url := range map[string]string{"another path": "https://x.example/y?script=1&deploy=1", "one that is read in two ways": "https://x.example/app/site/hosting/restlet.nl?script=1&deploy=1&%73cript=2"} {
		if got := card(screen{}, &pb.ApprovalRequest{Kind: "sign", Method: "GET", Url: url}, math.MaxInt); strings.Contains(got, "restlet  ") {
			t.Errorf("%s: the card names a RESTlet:\n%s", name, got)
		}
	}
}
