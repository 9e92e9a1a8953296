package bundle

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
)

// A sealed record that its issuer signed, changed by a bit, opens in no part.
func TestChangedRecordsOpenNothing(t *testing.T) {
	w := newWorld(t)
	key := w.key(t, acme, w.token.Shares[0].Key)
	whole := w.parse(t).records[acme].Encode()
	if err := (&body{Magic: magic, Format: format, Entries: make([]entry, 1)}).check(make([]byte, MaxText/2)); err != nil {
		t.Error("the largest bundle:", err)
	}
	if err := (&body{Magic: magic, Format: format, Entries: make([]entry, 1)}).check(make([]byte, MaxText/2+1)); !errors.Is(err, ErrFormat) {
		t.Errorf("one that is larger: got %v", err)
	}
	read := 0
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		r, err := envelope.DecodeRecord(changed)
		if err != nil {
			continue
		}
		read++
		b := &Bundle{Head: w.head(), records: map[[16]byte]*envelope.Record{acme: r}}
		if o, err := b.Open(w.arena, acme, key); err == nil || o != nil {
			t.Fatalf("byte %d changed, and it opens", i)
		}
	}
	if read < len(acmeSecret) {
		t.Errorf("only %d changes were read", read)
	}
}

// Without room in locked memory nothing is sealed and nothing is opened, in part either.
func TestWithoutRoom(t *testing.T) {
	w := newWorld(t)
	b, sources := w.parse(t), w.sources(t)
	var last secret.Bytes
	var err error
	for size := 4096; size > 0; size /= 2 {
		for err = nil; err == nil; {
			if got, failed := w.arena.Alloc(size); failed == nil {
				last = got
			} else {
				err = failed
			}
		}
	}
	for range 2 { // the second time there is room for the key alone
		if o, err := b.Open(w.arena, acme, sources[1].Key); !errors.Is(err, secret.ErrFull) || o != nil {
			t.Errorf("opening: got %v", err)
		}
		if text, err := Seal(w.arena, rand.Reader, w.head(), 1, sources, w.sign); !errors.Is(err, secret.ErrFull) || text != nil {
			t.Errorf("sealing: got %v", err)
		}
		last.Destroy()
	}
}
