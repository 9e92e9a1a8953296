package agent

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// sealing is a client of admin.sock that may misuse its seal keys.
type sealing struct {
	f     *fixture
	admin pb.AdminClient
}

func (f *fixture) sealing() sealing {
	return sealing{f, pb.NewAdminClient(rawGRPC(f.t, f.paths.Admin))}
}

// keys asks for n keys.
func (s sealing) keys(n uint32) *pb.SealKeyResponse {
	s.f.t.Helper()
	r, err := s.admin.SealKey(s.f.t.Context(), &pb.SealKeyRequest{Count: n})
	if err != nil {
		s.f.t.Fatalf("SealKey: %v", err)
	}
	return r
}

// seal seals text under key k of r, for a field of a call, after change.
func (s sealing) seal(r *pb.SealKeyResponse, k int, method, profile, field, text string, change ...func(*secret.SealContext)) *pb.Sealed {
	s.f.t.Helper()
	c := secret.SealContext{VaultID: r.GetVaultId(), Instance: r.GetInstance(), Method: method, Profile: profile, Field: field}
	for _, f := range change {
		f(&c)
	}
	plain := s.f.secret(text)
	defer plain.Destroy()
	box, err := secret.SealTo(r.GetKeys()[k].GetPublicKey(), c, plain)
	if err != nil {
		s.f.t.Fatal(err)
	}
	return &pb.Sealed{Field: field, KeyId: r.GetKeys()[k].GetId(), Box: box}
}

// passphrase seals the right passphrase for Unlock.
func (s sealing) passphrase(r *pb.SealKeyResponse, k int, change ...func(*secret.SealContext)) *pb.Sealed {
	s.f.t.Helper()
	return s.seal(r, k, pb.Admin_Unlock_FullMethodName, "", "passphrase", testPassphrase, change...)
}

func (s sealing) unlock(m *pb.Sealed) error {
	_, err := s.admin.Unlock(s.f.t.Context(), &pb.UnlockRequest{Passphrase: m})
	return err
}

// refusesUnlock checks that an unlock with m is refused as a malformed request and
// that the agent stays locked.
func (s sealing) refusesUnlock(name string, m *pb.Sealed) {
	s.f.t.Helper()
	if err := s.unlock(m); status.Code(err) != codes.InvalidArgument {
		s.f.t.Errorf("%s: got %v, want InvalidArgument", name, err)
	}
	if !s.f.locked() {
		s.f.t.Errorf("%s: unlocked", name)
	}
}

// TestSealKeyOnce guards M-12: a seal key is good for one call, on the connection
// that asked for it, for 60 seconds of the boot clock, and for what it was sealed
// for.
func TestSealKeyOnce(t *testing.T) {
	f := start(t)
	s := f.sealing()

	t.Run("once", func(t *testing.T) {
		r := s.keys(2)
		m := s.passphrase(r, 0)
		if err := s.unlock(m); err != nil {
			t.Fatal(err)
		}
		if err := f.admin.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.refusesUnlock("the same box again", m)
		s.refusesUnlock("another box under a used key", s.passphrase(r, 0))
		if err := s.unlock(s.passphrase(r, 1)); err != nil {
			t.Errorf("the other key: %v", err)
		}
		if err := f.admin.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a failed call uses it up", func(t *testing.T) {
		r := s.keys(1)
		bad := s.passphrase(r, 0)
		bad.Box[40] ^= 1
		s.refusesUnlock("a flipped bit", bad)
		s.refusesUnlock("the right box after it", s.passphrase(r, 0))
	})
	t.Run("another connection", func(t *testing.T) {
		other := f.sealing()
		r := s.keys(1)
		other.refusesUnlock("a key of another connection", s.passphrase(r, 0))
		if err := s.unlock(s.passphrase(r, 0)); err != nil { // which did not use it up
			t.Errorf("its own connection: %v", err)
		}
		if err := f.admin.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("in time", func(t *testing.T) {
		r := s.keys(2)
		f.clock.Add(int64(59 * time.Second))
		if err := s.unlock(s.passphrase(r, 0)); err != nil {
			t.Errorf("after 59 s: %v", err)
		}
		if err := f.admin.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.clock.Add(int64(2 * time.Second))
		s.refusesUnlock("after 61 s", s.passphrase(r, 1))
	})
	t.Run("its purpose", func(t *testing.T) {
		for name, change := range map[string]func(*secret.SealContext){
			"another method":   func(c *secret.SealContext) { c.Method = pb.Admin_AddProfile_FullMethodName },
			"a profile":        func(c *secret.SealContext) { c.Profile = "acme" },
			"another field":    func(c *secret.SealContext) { c.Field = "consumer_secret" },
			"another vault":    func(c *secret.SealContext) { c.VaultID = bytes.Repeat([]byte{1}, 16) },
			"another instance": func(c *secret.SealContext) { c.Instance = bytes.Repeat([]byte{1}, 16) },
			"shifted parts":    func(c *secret.SealContext) { c.Profile, c.Field = "pass", "phrase" },
			"no vault":         func(c *secret.SealContext) { c.VaultID = nil },
		} {
			m := s.passphrase(s.keys(1), 0, change)
			m.Field = "passphrase"
			s.refusesUnlock("sealed for "+name, m)
		}
		r := s.keys(1)
		m := s.passphrase(r, 0)
		m.Field = "consumer_secret"
		s.refusesUnlock("opened as another field", m)
	})
	t.Run("nonsense", func(t *testing.T) {
		r := s.keys(1)
		for name, change := range map[string]func(*pb.Sealed){
			"no key":        func(m *pb.Sealed) { m.KeyId = nil },
			"unknown key":   func(m *pb.Sealed) { m.KeyId = []byte("AAAAAAAAAAAAAAAAAAAAAAAAAA") },
			"a key id more": func(m *pb.Sealed) { m.KeyId = append(m.KeyId, 'A') },
		} {
			m := s.passphrase(r, 0)
			m.KeyId = slices.Clone(m.KeyId)
			change(m)
			s.refusesUnlock(name, m)
		}
		for name, change := range map[string]func(*pb.Sealed){
			"no box":        func(m *pb.Sealed) { m.Box = nil },
			"a short box":   func(m *pb.Sealed) { m.Box = m.Box[:31] },
			"no ciphertext": func(m *pb.Sealed) { m.Box = m.Box[:32] },
			"a tag short":   func(m *pb.Sealed) { m.Box = m.Box[:len(m.Box)-1] },
			"a byte more":   func(m *pb.Sealed) { m.Box = append(m.Box, 0) },
			"zeros":         func(m *pb.Sealed) { m.Box = make([]byte, len(m.Box)) },
			"no field":      func(m *pb.Sealed) { m.Field = "" },
		} {
			m := s.passphrase(s.keys(1), 0)
			change(m)
			s.refusesUnlock(name, m)
		}
	})
	t.Run("every flipped bit", func(t *testing.T) {
		for i := 0; i < 8*96; i += 37 {
			m := s.passphrase(s.keys(1), 0)
			if i/8 >= len(m.Box) {
				break
			}
			m.Box[i/8] ^= 1 << (i % 8)
			s.refusesUnlock("a flipped bit", m)
		}
	})
}

// TestSealKeysOutstanding: a connection may have 4 keys out, its oldest make room,
// and 64 may be out in all. The 65th takes the place of one of a connection with many, so
// that nobody keeps the owner from unlocking; where each connection has one it is refused.
// Locking and using go on, and the keys of a connection that closed are free at once.
func TestSealKeysOutstanding(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	empty := f.used()
	var conns []io.Closer
	for range maxSealKeys / maxPeerKeys {
		conn := rawGRPC(t, f.paths.Admin)
		conns = append(conns, conn)
		s := sealing{f, pb.NewAdminClient(conn)}
		s.keys(4)
		s.keys(4)
	}
	late := rawGRPC(t, f.paths.Admin)
	conns = append(conns, late)
	sealing{f, pb.NewAdminClient(late)}.keys(1)
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Errorf("Lock: %v", err)
	}
	f.unlock()
	for range maxSealKeys {
		conn := rawGRPC(t, f.paths.Admin)
		conns = append(conns, conn)
		_, _ = pb.NewAdminClient(conn).SealKey(t.Context(), &pb.SealKeyRequest{Count: 1})
	}
	s := f.sealing()
	_, err := s.admin.SealKey(t.Context(), &pb.SealKeyRequest{})
	if status.Code(err) != codes.ResourceExhausted || codeOf(err) != string(pb.CodeLimited) {
		t.Errorf("key 65: got %v, want %s", err, pb.CodeLimited)
	}
	if _, err := s.admin.SealKey(t.Context(), &pb.SealKeyRequest{Count: 5}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("5 keys at once: got %v, want InvalidArgument", err)
	}
	if _, err := s.admin.SealKey(t.Context(), &pb.SealKeyRequest{Count: 1<<32 - 1}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("4 G keys at once: got %v, want InvalidArgument", err)
	}
	f.sign("acme")
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Errorf("Lock: %v", err)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	eventually(t, inTime, func() string {
		f.agent.seals.mu.Lock()
		defer f.agent.seals.mu.Unlock()
		if len(f.agent.seals.keys) != 0 {
			return "keys of a connection that closed"
		}
		return ""
	})
	f.unlock()
	f.awaitUsed(empty)

	// Those of a connection that stays go by time.
	for range maxSealKeys / maxPeerKeys {
		f.sealing().keys(4)
	}
	f.clock.Add(int64(61 * time.Second))
	if _, err := s.admin.SealKey(t.Context(), &pb.SealKeyRequest{}); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// TestSealedFields: a profile takes exactly the secret fields of its kind, each once,
// each under a key of its own, and none that is too long.
func TestSealedFields(t *testing.T) {
	f := start(t)
	f.unlock()
	empty := f.used()
	s := f.sealing()
	box := func(r *pb.SealKeyResponse, k int, field, text string) *pb.Sealed {
		return s.seal(r, k, pb.Admin_AddProfile_FullMethodName, "acme", field, text)
	}
	long := string(bytes.Repeat([]byte("a"), maxSecret+1))
	for name, secrets := range map[string]func(*pb.SealKeyResponse) []*pb.Sealed{
		"none": func(*pb.SealKeyResponse) []*pb.Sealed { return nil },
		"one":  func(r *pb.SealKeyResponse) []*pb.Sealed { return []*pb.Sealed{box(r, 0, "consumer_secret", sample(2))} },
		"the same field twice": func(r *pb.SealKeyResponse) []*pb.Sealed {
			return []*pb.Sealed{box(r, 0, "consumer_secret", sample(2)), box(r, 1, "consumer_secret", sample(4))}
		},
		"a field of another kind": func(r *pb.SealKeyResponse) []*pb.Sealed {
			return []*pb.Sealed{box(r, 0, "consumer_secret", sample(2)), box(r, 1, "token_secret", sample(4)), box(r, 2, "private_key", "x")}
		},
		"an unknown field": func(r *pb.SealKeyResponse) []*pb.Sealed {
			return []*pb.Sealed{box(r, 0, "consumer_secret", sample(2)), box(r, 1, "token_secret", sample(4)), box(r, 2, "x", "x")}
		},
		"a case variant": func(r *pb.SealKeyResponse) []*pb.Sealed {
			return []*pb.Sealed{box(r, 0, "consumer_secret", sample(2)), box(r, 1, "Token_secret", sample(4))}
		},
		"one key for both": func(r *pb.SealKeyResponse) []*pb.Sealed {
			return []*pb.Sealed{box(r, 0, "consumer_secret", sample(2)), box(r, 0, "token_secret", sample(4))}
		},
		"exchanged": func(r *pb.SealKeyResponse) []*pb.Sealed {
			a, b := box(r, 0, "consumer_secret", sample(2)), box(r, 1, "token_secret", sample(4))
			a.Field, b.Field = b.Field, a.Field
			return []*pb.Sealed{a, b}
		},
		"a nil one": func(r *pb.SealKeyResponse) []*pb.Sealed {
			return []*pb.Sealed{box(r, 0, "consumer_secret", sample(2)), {}}
		},
		"too long": func(r *pb.SealKeyResponse) []*pb.Sealed {
			return []*pb.Sealed{box(r, 0, "consumer_secret", long), box(r, 1, "token_secret", sample(4))}
		},
		"far too long": func(r *pb.SealKeyResponse) []*pb.Sealed {
			return []*pb.Sealed{box(r, 0, "consumer_secret", long[:512]), {Field: "token_secret", KeyId: r.GetKeys()[1].GetId(), Box: make([]byte, 60000)}}
		},
		"empty": func(r *pb.SealKeyResponse) []*pb.Sealed {
			return []*pb.Sealed{box(r, 0, "consumer_secret", ""), box(r, 1, "token_secret", sample(4))}
		},
	} {
		_, err := s.admin.AddProfile(t.Context(), &pb.AddProfileRequest{Profile: tba("acme"), Secrets: secrets(s.keys(3))})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: got %v, want InvalidArgument", name, err)
		}
	}
	many := s.keys(2)
	boxes := slices.Repeat([]*pb.Sealed{box(many, 0, "consumer_secret", sample(2))}, 1000)
	if _, err := s.admin.AddProfile(t.Context(), &pb.AddProfileRequest{Profile: tba("acme"), Secrets: boxes}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("1,000 fields: got %v, want InvalidArgument", err)
	}
	if l, err := f.signer.Profiles(t.Context()); err != nil || len(l.GetProfiles()) != 0 {
		t.Errorf("afterwards: got %v, %v, want no profile", l, err)
	}
	f.clock.Add(int64(61 * time.Second)) // keys that no call named
	f.agent.seals.sweep()
	f.awaitUsed(empty)
}
