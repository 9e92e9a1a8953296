package agent

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nsagent/nsagent/internal/grantlimits"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// maxGrantLife is the longest that a grant lasts.
const maxGrantLife = 366 * 24 * time.Hour

// caveatsOf returns the limits of a new grant as caveats, without its end and its
// credentials.
func caveatsOf(m *pb.GrantLimits) (unlocktoken.Caveats, error) {
	c := grantlimits.Caveats(m)
	return c, badCaveats(c.Check())
}

// badCaveats is the refusal of limits that make no sense; nil of nil.
func badCaveats(err error) error {
	if err == nil {
		return nil
	}
	why := err.Error()
	if errors.Is(err, unlocktoken.ErrCaveats) {
		_, why, _ = strings.Cut(why, unlocktoken.ErrCaveats.Error()+": ")
	}
	return refuse(errors.Join(ErrRequest, err), pb.CodeRequest, "the limits of the grant cannot be used", why, "see:  nsagent grant new --help")
}

// lifeOf returns how long a new grant lasts.
func lifeOf(seconds int64) (time.Duration, error) {
	const most = int64(maxGrantLife / time.Second)
	switch {
	case seconds <= 0:
		return 0, refuse(ErrRequest, pb.CodeRequest, "it is not said how long the grant lasts", "a grant without an end is not made", "say it:  --ttl 8h")
	case seconds > most:
		return 0, refuse(ErrRequest, pb.CodeRequest, "the grant would last too long", fmt.Sprintf("at most %d days", most/(24*3600)), "make it shorter, and another one later:  --ttl 90d")
	}
	return time.Duration(seconds) * time.Second, nil
}
