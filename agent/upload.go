package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/nsagent/nsagent/internal/peercred"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

const (
	// uploadLife is how long an upload may take, and then wait for the call that
	// stores it.
	uploadLife = 60 * time.Second
	// maxUploads is how many there may be at once, on all connections together, under
	// way or waiting. Each holds its ciphertext, 4.3 MB at most.
	maxUploads = 4
	// maxPiece is the most bytes of a sealed piece.
	maxPiece = 32 << 10
)

// uploads holds long secrets that have come in, sealed for the vault already, until
// the call that stores them. Locking drops them.
type uploads struct {
	boottime func() time.Duration

	mu   sync.Mutex // guards what follows
	all  map[string]*upload
	busy map[int]context.CancelFunc // under way
	last int                        // the newest key of busy
}

// uploadFor is what a secret was sealed for.
type uploadFor struct{ method, profile, field string }

// upload is one long secret.
type upload struct {
	uploadFor
	peer  *peercred.Peer
	born  time.Duration
	value vault.Value
	form  valueForm
}

func newUploads(boottime func() time.Duration) *uploads {
	return &uploads{boottime: boottime, all: make(map[string]*upload), busy: make(map[int]context.CancelFunc)}
}

// begin makes room for one more. Its context ends when its time is over, and at a
// lock. The caller calls end with the number.
func (u *uploads) begin(ctx context.Context) (context.Context, int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweepLocked()
	if len(u.all)+len(u.busy) >= maxUploads {
		return nil, 0, fmt.Errorf("taking a long secret: %w", ErrBusy)
	}
	ctx, cancel := context.WithTimeout(ctx, uploadLife)
	u.last++
	u.busy[u.last] = cancel
	return ctx, u.last, nil
}

// end ends one that was begun. What came of it, unless nil, is kept under the id
// that comes back.
func (u *uploads) end(n int, done *upload) (id []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.busy[n]()
	delete(u.busy, n)
	if done == nil {
		return nil
	}
	done.born = u.boottime()
	id = []byte(rand.Text())
	u.all[string(id)] = done
	return id
}

// take returns an upload to the connection that made it, for what it was made for,
// once.
func (u *uploads) take(id []byte, peer *peercred.Peer, want uploadFor) (*upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweepLocked()
	one, ok := u.all[string(id)]
	if !ok || one.peer != peer || one.uploadFor != want {
		return nil, refuse(ErrSealKey, pb.CodeRequest, "the upload is not known", "it is good for one call on the same connection, for 60 seconds, until the vault is locked", "")
	}
	delete(u.all, string(id))
	return one, nil
}

// sweep drops what has waited too long, forget what a closed connection left, clear
// everything.
func (u *uploads) sweep() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweepLocked()
}

func (u *uploads) sweepLocked() {
	now := u.boottime()
	u.dropLocked(func(one *upload) bool { return now-one.born > uploadLife })
}

func (u *uploads) forget(peer *peercred.Peer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropLocked(func(one *upload) bool { return one.peer == peer })
}

func (u *uploads) clear() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropLocked(func(*upload) bool { return true })
	for _, cancel := range u.busy {
		cancel()
	}
}

func (u *uploads) dropLocked(over func(*upload) bool) {
	maps.DeleteFunc(u.all, func(_ string, one *upload) bool {
		if over(one) {
			one.value.Destroy()
			return true
		}
		return false
	})
}

// Upload takes a long secret in pieces.
func (s adminService) Upload(stream pb.Admin_UploadServer) error {
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	s.received(stream.Context())
	if err := s.admitOwner(callerOf(stream.Context())); err != nil {
		return s.reply(err)
	}
	ctx, n, err := s.uploads.begin(stream.Context())
	if err != nil {
		return s.reply(err)
	}
	// Recv knows no deadline of its own: the stream ends with this call, and Recv then.
	pieces, ended := make(chan *pb.UploadRequest), make(chan error, 1)
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case pieces <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	one, err := s.receive(ctx, m, pieces, ended)
	id := s.uploads.end(n, one)
	s.arena.ReleaseMemory()
	if err != nil {
		return s.reply(err)
	}
	return stream.SendAndClose(&pb.UploadResponse{Id: id})
}

// receive opens the pieces that follow the first message and seals them for the
// vault, one after the other.
func (a *Agent) receive(ctx context.Context, first *pb.UploadRequest, pieces <-chan *pb.UploadRequest, ended <-chan error) (*upload, error) {
	start := first.GetStart()
	bad := func(why string) error {
		return refuse(ErrRequest, pb.CodeRequest, "the upload is not well-formed", why, "")
	}
	if start == nil {
		return nil, bad("it does not say what it is for")
	}
	opening, err := a.beginOpening(ctx, start, first.GetPiece())
	if err != nil {
		return nil, err
	}
	session, err := a.unlocked()
	if err != nil {
		return nil, err
	}
	if n := start.GetLength(); n < 1 || n > vault.MaxValue {
		return nil, credential("value is empty or too long", fmt.Sprintf("at most %d characters", maxValueChars))
	}
	w, err := session.vault.NewValue(int(start.GetLength()))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	one := &upload{uploadFor: uploadFor{start.GetMethod(), start.GetProfile(), start.GetField()}, peer: callerOf(ctx).peer}
	for {
		select {
		case <-ctx.Done():
			return nil, bad("it took too long, or the vault was locked meanwhile")
		case err := <-ended:
			if err != io.EOF {
				return nil, bad("it broke off")
			}
			if one.value, err = w.Finish(); err != nil {
				return nil, err
			}
			if now, err := a.unlocked(); err != nil || now != session {
				one.value.Destroy()
				return nil, vault.ErrLocked
			}
			return one, nil
		case m := <-pieces:
			if m.GetStart() != nil || len(m.GetPiece()) > maxPiece {
				return nil, bad("a piece is too long, or begins anew")
			}
			if err := one.add(w, opening, m.GetPiece()); err != nil {
				return nil, err
			}
		}
	}
}

// add opens one piece and seals it for the vault.
func (u *upload) add(w *vault.ValueWriter, opening *secret.Opening, piece []byte) error {
	b, err := opening.Next(piece)
	if errors.Is(err, secret.ErrFull) {
		return fmt.Errorf("opening a piece: %w", err)
	}
	if err != nil {
		return refuse(ErrRequest, pb.CodeRequest, "a piece of the upload cannot be opened", "it was sealed for another call, or changed on its way", "")
	}
	defer b.Destroy()
	return b.Use(func(p []byte) error {
		u.form.add(p)
		return w.Write(p)
	})
}

// beginOpening uses up the seal key of an upload.
func (a *Agent) beginOpening(ctx context.Context, m *pb.UploadStart, enc []byte) (*secret.Opening, error) {
	r, err := a.seals.take(m.GetKeyId(), callerOf(ctx).peer)
	if err != nil {
		return nil, err
	}
	defer r.Destroy()
	id, err := a.vaultID(ctx)
	if err != nil {
		return nil, err
	}
	o, err := r.Begin(enc, secret.SealContext{VaultID: id, Instance: a.instance[:], Method: m.GetMethod(), Profile: m.GetProfile(), Field: m.GetField()})
	if err != nil {
		return nil, refuse(ErrRequest, pb.CodeRequest, "the upload cannot be opened", "it was sealed for another call, or changed on its way", "")
	}
	return o, nil
}
