package agent

import (
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// A grant has an end, within a year.
func TestLifeOfAGrant(t *testing.T) {
	const most = int64(maxGrantLife / time.Second)
	for seconds, ok := range map[int64]bool{-1: false, 0: false, 1: true, most: true, most + 1: false} {
		if got, err := lifeOf(seconds); (err == nil) != ok || ok && got != time.Duration(seconds)*time.Second || !ok && refusedWith(err) != pb.CodeRequest {
			t.Errorf("%d s: got %v, %v", seconds, got, err)
		}
	}
}

// Limits that make no sense are refused in the words of their check, and those that do are
// not.
func TestLimitsOfAGrant(t *testing.T) {
	if err := badCaveats(unlocktoken.Caveats{}.Check()); err != nil {
		t.Errorf("of none: %v", err)
	}
	err := badCaveats(unlocktoken.Caveats{Methods: []string{"get"}}.Check())
	if refusedWith(err) != pb.CodeRequest || refusalOf(err).Why == "" {
		t.Errorf("got %v", err)
	}
}
