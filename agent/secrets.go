package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// secrets are the secrets of a credential as they came in.
type secrets struct {
	fields map[string]secret.Bytes
	long   *upload // a value that came in pieces; nil: none did
}

// given reports how many there are.
func (s *secrets) given() int {
	if s.long != nil {
		return len(s.fields) + 1
	}
	return len(s.fields)
}

func (s *secrets) destroy() {
	for _, b := range s.fields {
		b.Destroy()
	}
	if s.long != nil {
		s.long.value.Destroy()
	}
}

// secretFields returns the fields of a kind of credential, and how many bytes each
// may have.
func secretFields(auth string) (names []string, limit int) {
	switch auth {
	case authM2M:
		return []string{"private_key"}, maxKeyText
	case authCode:
		return []string{"client_secret"}, maxSecret
	case authSecret:
		return []string{"value"}, vault.MaxRaw
	default:
		return []string{"consumer_secret", "token_secret"}, maxSecret
	}
}

// openSecrets opens the secrets that came in sealed for a profile. The caller
// destroys what comes back, also with an error.
func (a *Agent) openSecrets(ctx context.Context, boxes []*pb.Sealed, p *profile, method string) (*secrets, error) {
	want, limit := secretFields(p.Auth)
	got := &secrets{fields: make(map[string]secret.Bytes, len(want))}
	for _, m := range boxes {
		name := m.GetField()
		if _, twice := got.fields[name]; twice || got.long != nil || !slices.Contains(want, name) {
			return got, credential(fmt.Sprintf("%.40s does not belong to a profile with auth %q, or is given twice", name, p.Auth), "")
		}
		if p.Auth == authSecret && len(m.GetBox()) == 0 {
			u, err := a.uploads.take(m.GetKeyId(), callerOf(ctx).peer, uploadFor{method, p.Name, name})
			if err != nil {
				return got, err
			}
			got.long = u
			continue
		}
		b, err := a.open(ctx, m, method, p.Name, limit)
		if err != nil {
			return got, err
		}
		got.fields[name] = b
	}
	return got, nil
}

// newMaterial makes the stored forms of a whole credential, and completes p from it.
func (a *Agent) newMaterial(p *profile, got *secrets, now time.Time) (material, error) {
	if p.Auth == authCode {
		_, p.Confidential = got.fields["client_secret"]
		return newCode(a.arena, got.fields["client_secret"], secret.Bytes{})
	}
	want, _ := secretFields(p.Auth)
	for _, name := range want {
		if _, ok := got.fields[name]; !ok && got.long == nil {
			return material{}, credential(name+" is missing", "")
		}
	}
	switch p.Auth {
	case authM2M:
		return newM2M(a.arena, p, got.fields["private_key"], now)
	case authSecret:
		return a.newSecret(p, got)
	default:
		return newTBA(a.arena, got.fields["consumer_secret"], got.fields["token_secret"])
	}
}

// fillTBA adds the secrets that are missing from the raw form of a TBA credential.
func (s *secrets) fillTBA(arena *secret.Arena, raw secret.Bytes) error {
	return s.split(arena, raw, "consumer_secret", "token_secret")
}

// split adds the secrets of a raw form that are missing, under these names; see
// joinSecrets. One of no length is not there.
func (s *secrets) split(arena *secret.Arena, raw secret.Bytes, names ...string) error {
	return raw.Use(func(p []byte) error {
		for _, name := range names {
			if len(p) < 2 || len(p)-2 < int(p[0])<<8|int(p[1]) {
				return fmt.Errorf("reading the stored secrets: %w", vault.ErrDamaged)
			}
			n := int(p[0])<<8 | int(p[1])
			if _, given := s.fields[name]; !given && n > 0 {
				b, err := arena.Alloc(n)
				if err != nil {
					return err
				}
				s.fields[name] = b
				if err := b.Use(func(q []byte) error { secret.Copy(q, p[2:2+n]); return nil }); err != nil {
					return err
				}
			}
			p = p[2+n:]
		}
		return nil
	})
}
