package agent

import (
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/nsagent/nsagent/internal/peercred"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	sealKeyLife = 60 * time.Second
	maxSealKeys = 64
	// maxTokenKeys is how many there may be on agent.sock, where many jobs may show their
	// tokens at once. They are counted apart, so that nobody there keeps the owner from
	// unlocking.
	maxTokenKeys = 512
	// maxPeerKeys is how many one connection may have; its oldest make room.
	maxPeerKeys = 4
)

// sealKeys holds the one-time HPKE keys to which secrets are sealed on their way
// in. A key is good for one call, on the connection that asked for it, for 60
// seconds: buffered ciphertext is worth nothing once its key is gone.
type sealKeys struct {
	arena    *secret.Arena
	boottime func() time.Duration
	most     int

	mu   sync.Mutex // guards keys
	keys map[string]*sealKey
}

type sealKey struct {
	receiver *secret.Receiver
	peer     *peercred.Peer
	born     time.Duration
}

// newSealKeys makes room for so many keys.
func newSealKeys(arena *secret.Arena, boottime func() time.Duration, most int) *sealKeys {
	return &sealKeys{arena: arena, boottime: boottime, most: most, keys: make(map[string]*sealKey)}
}

// issue makes a key for peer and returns its id and public key.
func (s *sealKeys) issue(peer *peercred.Peer) (id, public []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
	s.makeRoomLocked(peer)
	if len(s.keys) >= s.most {
		return nil, nil, fmt.Errorf("making a seal key: %w", ErrBusy)
	}
	r, err := s.arena.NewReceiver()
	if err != nil {
		return nil, nil, fmt.Errorf("making a seal key: %w", err)
	}
	id = []byte(rand.Text())
	s.keys[string(id)] = &sealKey{receiver: r, peer: peer, born: s.boottime()}
	return id, r.PublicKey(), nil
}

// makeRoomLocked drops the oldest key of a connection that has as many as it may. Where
// there are as many as there may be in all, it drops one of the connection that has the
// most, if peer has fewer even so: who hoards keys keeps nobody else from having one.
func (s *sealKeys) makeRoomLocked(peer *peercred.Peer) {
	held := make(map[*peercred.Peer]int)
	for _, k := range s.keys {
		held[k.peer]++
	}
	if held[peer] >= maxPeerKeys {
		s.dropOldestLocked(peer)
		return
	}
	if len(s.keys) < s.most {
		return
	}
	most := peer
	for p, n := range held {
		if n > held[most] {
			most = p
		}
	}
	if held[most] > held[peer]+1 {
		s.dropOldestLocked(most)
	}
}

func (s *sealKeys) dropOldestLocked(peer *peercred.Peer) {
	oldest := ""
	for id, k := range s.keys {
		if k.peer == peer && (oldest == "" || k.born < s.keys[oldest].born) {
			oldest = id
		}
	}
	s.keys[oldest].receiver.Destroy()
	delete(s.keys, oldest)
}

// take returns the receiver of a key and forgets the key. Whatever goes wrong
// afterwards, it cannot be used again.
func (s *sealKeys) take(id []byte, peer *peercred.Peer) (*secret.Receiver, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
	k, ok := s.keys[string(id)]
	if !ok || k.peer != peer {
		return nil, refuse(ErrSealKey, pb.CodeRequest, "the seal key is not known", "it is good for one call on the same connection, for 60 seconds", "")
	}
	delete(s.keys, string(id))
	return k.receiver, nil
}

// drop drops the keys that a call named: its answer uses them up, whatever became of
// it before they were looked at.
func (s *sealKeys) drop(peer *peercred.Peer, boxes ...*pb.Sealed) {
	for _, m := range boxes {
		if r, err := s.take(m.GetKeyId(), peer); err == nil {
			r.Destroy()
		}
	}
}

// sweep drops the keys whose time is over.
func (s *sealKeys) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
}

func (s *sealKeys) sweepLocked() {
	now := s.boottime()
	for id, k := range s.keys {
		if now-k.born > sealKeyLife {
			k.receiver.Destroy()
			delete(s.keys, id)
		}
	}
}

// forget drops the keys of a connection that closed.
func (s *sealKeys) forget(peer *peercred.Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range s.keys {
		if k.peer == peer {
			k.receiver.Destroy()
			delete(s.keys, id)
		}
	}
}
