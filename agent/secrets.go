package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// secrets are the secrets of a credential as they came in, by field.
type secrets map[string]secret.Bytes

func (s secrets) destroy() {
	for _, b := range s {
		b.Destroy()
	}
}

// secretFields returns the fields of a kind of credential, and how long each may be.
func secretFields(auth string) (names []string, limit int) {
	if auth == authM2M {
		return []string{"private_key"}, maxKeyText
	}
	return []string{"consumer_secret", "token_secret"}, maxSecret
}

// openSecrets opens the secrets that came in sealed for a profile.
func (a *Agent) openSecrets(ctx context.Context, boxes []*pb.Sealed, p *profile, method string) (secrets, error) {
	want, limit := secretFields(p.Auth)
	got := make(secrets, len(want))
	for _, m := range boxes {
		name := m.GetField()
		if _, twice := got[name]; twice || !slices.Contains(want, name) {
			return got, credential(fmt.Sprintf("%.40s does not belong to a profile with auth %q, or is given twice", name, p.Auth), "")
		}
		b, err := a.open(ctx, m, method, p.Name, limit)
		if err != nil {
			return got, err
		}
		got[name] = b
	}
	return got, nil
}

// newMaterial makes the stored forms of a whole credential, and completes p from it.
func (a *Agent) newMaterial(p *profile, got secrets, now time.Time) (material, error) {
	want, _ := secretFields(p.Auth)
	for _, name := range want {
		if _, ok := got[name]; !ok {
			return material{}, credential(name+" is missing", "")
		}
	}
	if p.Auth == authM2M {
		return newM2M(a.arena, p, got["private_key"], now)
	}
	return newTBA(a.arena, got["consumer_secret"], got["token_secret"])
}
