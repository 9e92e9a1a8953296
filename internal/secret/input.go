package secret

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
)

// Take copies p into the arena and wipes p, which it does even where it fails.
// The errors are those of Alloc.
func (a *Arena) Take(p []byte) (Bytes, error) {
	defer Wipe(p)
	b, err := a.Alloc(len(p))
	if err != nil {
		return Bytes{}, err
	}
	return b, b.Use(func(q []byte) error {
		Copy(q, p)
		return nil
	})
}

// Random returns n bytes of the system's random source. The errors are those of
// Alloc.
func (a *Arena) Random(n int) (Bytes, error) {
	b, err := a.Alloc(n)
	if err != nil {
		return Bytes{}, err
	}
	return b, b.Use(func(p []byte) error {
		Do(func() { _, _ = rand.Read(p) }) // never fails, crypto/rand says
		return nil
	})
}

// Fill returns what read writes, of which it returns the length, at most limit bytes. The
// errors are those of Alloc and of read.
func (a *Arena) Fill(limit int, read func(to []byte) (n int, err error)) (Bytes, error) {
	b, err := a.Alloc(limit)
	if err != nil {
		return Bytes{}, err
	}
	n := 0
	err = b.Use(func(to []byte) (err error) {
		n, err = read(to)
		return err
	})
	if err == nil {
		err = b.Truncate(n)
	}
	if err != nil {
		b.Destroy()
		return Bytes{}, err
	}
	return b, nil
}

// Clone returns a copy of b with a life of its own. The errors are ErrDestroyed
// and those of Alloc.
func (a *Arena) Clone(b Bytes) (Bytes, error) {
	var c Bytes
	err := b.Use(func(p []byte) error {
		var err error
		if c, err = a.Alloc(len(p)); err != nil {
			return err
		}
		return c.Use(func(q []byte) error {
			Copy(q, p)
			return nil
		})
	})
	return c, err
}

// firstRead is what ReadAll reserves before it knows how much is coming.
const firstRead = 512

// maxEmptyReads is how often in a row a reader may answer (0, nil).
const maxEmptyReads = 100

// ReadAll reads r to its end straight into the arena, so that a reader without a
// buffer of its own, such as an *os.File, leaves no copy elsewhere. More than max
// bytes is ErrTooLong; r is then read at most one byte past max. The result may
// be empty. Other errors are r's and those of Alloc.
func (a *Arena) ReadAll(r io.Reader, max int) (Bytes, error) {
	if max < 0 {
		return Bytes{}, fmt.Errorf("%w: %d", ErrLength, max)
	}
	room := min(max, firstRead)
	b, err := a.Alloc(room + 1)
	if err != nil {
		return Bytes{}, err
	}
	n := 0
	for {
		m, err := readFrom(r, b, n)
		n += m
		switch {
		case n > max:
			b.Destroy()
			return Bytes{}, ErrTooLong
		case errors.Is(err, io.EOF):
			return b, b.Truncate(n)
		case err != nil:
			b.Destroy()
			return Bytes{}, fmt.Errorf("reading a secret: %w", err)
		}
		if n <= room {
			continue
		}
		room = min(max, 2*room)
		larger, err := a.grow(b, room+1)
		b.Destroy()
		if err != nil {
			return Bytes{}, err
		}
		b = larger
	}
}

// readFrom reads once into b from n on, trying again while r gives neither
// bytes nor an error.
func readFrom(r io.Reader, b Bytes, n int) (m int, err error) {
	use := b.Use(func(p []byte) error {
		for range maxEmptyReads {
			if m, err = r.Read(p[n:]); m != 0 || err != nil {
				return nil
			}
		}
		err = io.ErrNoProgress
		return nil
	})
	if use != nil {
		return 0, use
	}
	if m < 0 || m > b.Len()-n {
		return 0, errors.New("reader returned an impossible count")
	}
	return m, err
}

// grow returns n bytes that start with those of b.
func (a *Arena) grow(b Bytes, n int) (Bytes, error) {
	larger, err := a.Alloc(n)
	if err != nil {
		return Bytes{}, err
	}
	err = b.Use(func(p []byte) error {
		return larger.Use(func(q []byte) error {
			Copy(q, p)
			return nil
		})
	})
	return larger, err
}
