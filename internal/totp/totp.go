package totp

import (
	"crypto/sha1" // #nosec G505 -- the construction of RFC 6238; see the package comment
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
)

const (
	// KeySize is how long a secret is, in bytes: what RFC 4226 section 4 recommends.
	KeySize = 20
	// Digits is how many a code has.
	Digits = 6
	// Period is how long a code is shown.
	Period = 30 * time.Second

	drift    = 1 // steps that a clock may be off, either way
	modulus  = 1_000_000
	encoded  = KeySize * 8 / 5 // base32 digits of a secret; no padding is left over
	pads     = 2 * sha1.BlockSize
	innerPad = 0x36
	outerPad = 0x5c
)

var (
	// ErrCode means that the code is not one of now.
	ErrCode = errors.New("totp: wrong code")
	// ErrUsed means that the code is right and was used before, or one after it was.
	ErrUsed = errors.New("totp: code used before")
	// ErrKey means a secret that is not of KeySize.
	ErrKey = errors.New("totp: bad secret")
)

// Step returns the number of the step at t: the periods since 1970.
func Step(t time.Time) uint64 {
	return uint64(max(t.Unix(), 0)) / uint64(Period/time.Second) // #nosec G115 -- not negative
}

// Check returns the step whose code was typed: that of now, or a neighbour of it, and
// later than used. code is six ASCII digits, and stays the caller's, as key does. Errors:
// ErrCode, ErrUsed, ErrKey, those of the arena.
func Check(arena *secret.Arena, key, code secret.Bytes, now time.Time, used uint64) (uint64, error) {
	if key.Len() != KeySize {
		return 0, fmt.Errorf("%w: %d bytes", ErrKey, key.Len())
	}
	if code.Len() != Digits {
		return 0, ErrCode
	}
	scratch, err := arena.Alloc(pads)
	if err != nil {
		return 0, err
	}
	defer scratch.Destroy()
	var step uint64
	found := false
	err = key.Use(func(k []byte) error {
		return code.Use(func(c []byte) error {
			return scratch.Use(func(p []byte) error {
				secret.Do(func() { step, found = find(p, k, c, Step(now)) })
				return nil
			})
		})
	})
	switch {
	case err != nil:
		return 0, err
	case !found:
		return 0, ErrCode
	case step <= used:
		return 0, ErrUsed
	}
	return step, nil
}

// find returns the newest step near now that has this code. It looks at all of them,
// whichever it is.
func find(scratch, key, code []byte, now uint64) (step uint64, found bool) {
	first := max(now, drift) - drift
	for s := first; s <= now+drift; s++ {
		want := digits(hotp(scratch, key, s))
		if subtle.ConstantTimeCompare(want[:], code) == 1 {
			step, found = s, true
		}
	}
	return step, found
}

// hotp returns the truncated HMAC-SHA1 of a counter, modulo 10^Digits. scratch takes the
// two padded keys, so that no copy of the key is made outside of locked memory.
//
// Source: RFC 4226 section 5.3; RFC 2104 section 2.
func hotp(scratch, key []byte, counter uint64) uint32 {
	inner, outer := scratch[:sha1.BlockSize], scratch[sha1.BlockSize:pads]
	for i := range inner {
		inner[i], outer[i] = innerPad, outerPad
	}
	for i, b := range key {
		inner[i] ^= b
		outer[i] ^= b
	}
	h := sha1.New() // #nosec G401 -- as above
	var sum [sha1.Size]byte
	h.Write(inner)
	h.Write(binary.BigEndian.AppendUint64(make([]byte, 0, 8), counter))
	h.Sum(sum[:0])
	h.Reset()
	h.Write(outer)
	h.Write(sum[:])
	h.Sum(sum[:0])
	offset := sum[len(sum)-1] & 0x0f
	return (binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff) % modulus
}

// digits returns n as Digits decimal digits.
func digits(n uint32) (out [Digits]byte) {
	for i := Digits - 1; i >= 0; i-- {
		out[i] = '0' + byte(n%10)
		n /= 10
	}
	return out
}

// URI returns what an authenticator app reads from a QR code: otpauth://totp/ with the
// secret and, for people, whose it is. What the URI does not say is what Check does:
// SHA-1, six digits, 30 seconds. label is public. The caller destroys the result.
//
// Source: Google Authenticator, "Key Uri Format".
func URI(arena *secret.Arena, key secret.Bytes, label string) (secret.Bytes, error) {
	return spell(arena, key, "otpauth://totp/nsagent:"+url.PathEscape(label)+"?secret=", "&issuer=nsagent")
}

// Text returns the secret as it is typed into an app, in base32. The caller destroys the
// result.
func Text(arena *secret.Arena, key secret.Bytes) (secret.Bytes, error) {
	return spell(arena, key, "", "")
}

// spell returns the secret in base32 between two texts.
func spell(arena *secret.Arena, key secret.Bytes, before, behind string) (secret.Bytes, error) {
	if key.Len() != KeySize {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes", ErrKey, key.Len())
	}
	out, err := arena.Alloc(len(before) + encoded + len(behind))
	if err != nil {
		return secret.Bytes{}, err
	}
	err = key.Use(func(k []byte) error {
		return out.Use(func(p []byte) error {
			n := copy(p, before)
			secret.Do(func() { base32.StdEncoding.Encode(p[n:n+encoded], k) })
			copy(p[n+encoded:], behind)
			return nil
		})
	})
	if err != nil {
		out.Destroy()
		return secret.Bytes{}, err
	}
	return out, nil
}
