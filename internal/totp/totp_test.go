package totp

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
)

// rfcKey is the secret of the examples of both RFCs.
const rfcKey = "12345678901234567890"

func newArena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func take(t testing.TB, a *secret.Arena, text string) secret.Bytes {
	t.Helper()
	b, err := a.Take([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Destroy)
	return b
}

// RFC 4226 appendix D: the first ten codes.
func TestHOTPVectors(t *testing.T) {
	for counter, want := range []uint32{755224, 287082, 359152, 969429, 338314, 254676, 287922, 162583, 399871, 520489} {
		if got := hotp(make([]byte, pads), []byte(rfcKey), uint64(counter)); got != want {
			t.Errorf("counter %d: got %06d, want %06d", counter, got, want)
		}
	}
}

// RFC 6238 appendix B, the rows of SHA1. The RFC shows eight digits, of which an app
// shows the last six.
func TestVectors(t *testing.T) {
	a := newArena(t)
	key := take(t, a, rfcKey)
	for seconds, eight := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		now := time.Unix(seconds, 0)
		got, err := Check(a, key, take(t, a, eight[2:]), now, 0)
		if err != nil || got != Step(now) {
			t.Errorf("at %d: got step %d, %v, want %d", seconds, got, err, Step(now))
		}
	}
}

// stdlib is the code by the standard library's HMAC.
func stdlib(key []byte, step uint64) string {
	m := hmac.New(sha1.New, key)
	m.Write(binary.BigEndian.AppendUint64(nil, step))
	sum := m.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1000000)
}

func TestAgreesWithStdlib(t *testing.T) {
	key := make([]byte, KeySize)
	for i := range uint64(500) {
		_, _ = rand.Read(key)
		if got, want := digits(hotp(make([]byte, pads), key, i*i)), stdlib(key, i*i); string(got[:]) != want {
			t.Fatalf("key %x, step %d: got %s, want %s", key, i*i, got, want)
		}
	}
}

// One step of drift either way and no more, and no step twice nor an earlier one.
func TestWindowAndReplay(t *testing.T) {
	a := newArena(t)
	key := take(t, a, rfcKey)
	now := time.Unix(2_000_000_010, 0)
	at := Step(now)
	for off := int64(-3); off <= 3; off++ {
		step := uint64(int64(at) + off)
		got, err := Check(a, key, take(t, a, stdlib([]byte(rfcKey), step)), now, 0)
		if inside := off >= -1 && off <= 1; inside != (err == nil) || inside && got != step || !inside && !errors.Is(err, ErrCode) {
			t.Errorf("%+d steps: got %d, %v", off, got, err)
		}
	}
	for _, c := range []struct {
		step, used uint64
		want       error
	}{
		{at, at - 1, nil}, {at, at, ErrUsed}, {at - 1, at - 1, ErrUsed}, {at - 1, at, ErrUsed}, {at + 1, at, nil}, {at, at + 1, ErrUsed}, {at, 1 << 63, ErrUsed},
	} {
		if _, err := Check(a, key, take(t, a, stdlib([]byte(rfcKey), c.step)), now, c.used); !errors.Is(err, c.want) {
			t.Errorf("step %d after %d: got %v, want %v", c.step, c.used, err, c.want)
		}
	}
	if got, err := Check(a, key, take(t, a, "755224"), time.Unix(3, 0), 0); !errors.Is(err, ErrUsed) {
		t.Errorf("step 0: got %d, %v", got, err) // 0 stands for none used, so that it is never given
	}
}

func TestRefuses(t *testing.T) {
	a := newArena(t)
	key := take(t, a, rfcKey)
	now := time.Unix(59, 0)
	for _, code := range []string{"28708", "2870822", "94287082", "287083", "28708x", "287 82", "      ", "\x00\x00\x00\x00\x00\x00", "２87082"} {
		if got, err := Check(a, key, take(t, a, code), now, 0); !errors.Is(err, ErrCode) || got != 0 {
			t.Errorf("%q: got %d, %v", code, got, err)
		}
	}
	for _, n := range []int{1, 19, 21, 32} {
		short := take(t, a, string(make([]byte, n)))
		if _, err := Check(a, short, take(t, a, "287082"), now, 0); !errors.Is(err, ErrKey) {
			t.Errorf("a secret of %d bytes: got %v", n, err)
		}
		if _, err := URI(a, short, "x"); !errors.Is(err, ErrKey) {
			t.Errorf("the URI of a secret of %d bytes: got %v", n, err)
		}
	}
	if Step(time.Unix(-5, 0)) != 0 {
		t.Error("a time before 1970")
	}
}

// Without room in locked memory there is no answer, and no part of one.
func TestWithoutRoom(t *testing.T) {
	a := newArena(t)
	key, code := take(t, a, rfcKey), take(t, a, "287082")
	for err := error(nil); !errors.Is(err, secret.ErrFull); {
		if _, err = a.Alloc(16); err != nil && !errors.Is(err, secret.ErrFull) {
			t.Fatal(err)
		}
	}
	if got, err := Check(a, key, code, time.Unix(59, 0), 0); !errors.Is(err, secret.ErrFull) || got != 0 {
		t.Errorf("got %d, %v", got, err)
	}
	if b, err := Text(a, key); !errors.Is(err, secret.ErrFull) || !b.IsZero() {
		t.Errorf("the text: got %v", err)
	}
}

func TestURI(t *testing.T) {
	a := newArena(t)
	key := take(t, a, rfcKey)
	uri, err := URI(a, key, "ann@build host/1")
	if err != nil {
		t.Fatal(err)
	}
	text, err := Text(a, key)
	if err != nil {
		t.Fatal(err)
	}
	err = uri.Use(func(p []byte) error {
		u, err := url.Parse(string(p))
		if err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/nsagent:ann@build host/1" {
			t.Fatalf("got %s, %v", p, err)
		}
		q := u.Query()
		got, err := base32.StdEncoding.DecodeString(q.Get("secret"))
		if err != nil || string(got) != rfcKey || q.Get("issuer") != "nsagent" || len(q) != 2 {
			t.Errorf("got %s, %v", p, err)
		}
		return text.Use(func(s []byte) error {
			if !bytes.Equal(s, []byte(q.Get("secret"))) {
				t.Errorf("got %s", s)
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
}
