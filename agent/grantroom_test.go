package agent

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// longPaths returns 32 patterns: all but the last, which has last bytes, as long as can be.
func longPaths(last int) (all []string) {
	for i := range 31 {
		all = append(all, fmt.Sprintf("/%0*d", unlocktoken.MaxString-1, i))
	}
	return append(all, "/"+strings.Repeat("a", last-1))
}

// Limits that a token has no room for are refused before a proof is looked at; those that
// fill it to the last byte make a token that is taken.
func TestLimitsThatFillAToken(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	tooLong := func(last int) bool {
		a := unlocktoken.Authority{Mode: unlocktoken.Attached, IssuedAt: time.Now().Unix()}
		a.Caveats = unlocktoken.Caveats{Paths: longPaths(last), NotAfter: a.IssuedAt + 3600, Credentials: []unlocktoken.ID{{}}}
		return a.Check() != nil
	}
	most := sort.Search(unlocktoken.MaxString, func(n int) bool { return n > 1 && tooLong(n) }) - 1
	s := f.spec("acme")
	s.Limits = &pb.GrantLimits{Paths: longPaths(most + 1)}
	_, err := f.admin.NewGrant(t.Context(), client.Proof{}, s.NewGrant)
	if e := (&client.Error{}); !errors.As(err, &e) || e.Code != pb.CodeRequest || !strings.Contains(e.Why, "and a token holds 32768") || e.Next == "" {
		t.Errorf("a byte too much: got %v", err)
	}
	s.Limits.Paths = longPaths(most)
	if _, err := f.admin.NewGrant(t.Context(), client.Proof{}, s.NewGrant); !errors.Is(err, client.ErrProof) {
		t.Errorf("no proof: got %v", err)
	}
	r, err := f.admin.NewGrant(t.Context(), f.passphrase(testPassphrase), s.NewGrant)
	if err != nil || len(r.GetChain()) != unlocktoken.MaxChain {
		t.Fatalf("got %d bytes, %v", len(r.GetChain()), err)
	}
	f.show(s.token(t, r))
}
