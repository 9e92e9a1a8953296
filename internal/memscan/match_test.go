package memscan

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	mrand "math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func random(t testing.TB, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	_, _ = rand.Read(p)
	return p
}

// count returns how often each form of needles is found in p.
func count(t *testing.T, needles []Needle, p []byte) map[string]int {
	t.Helper()
	rep, err := ScanReader(bytes.NewReader(p), "test", needles)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for form, c := range rep.Forms {
		got[form] = c.Unlocked
	}
	return got
}

// Each form in which a secret can lie about is found at every alignment, whole
// and in a piece of 16 bytes, and nothing is found in other data.
func TestNeedlesFindEveryForm(t *testing.T) {
	secret := random(t, 129)
	needles := Needles("s", secret)
	forms := map[string]func([]byte) []byte{
		"raw": func(p []byte) []byte { return p },
		"hex": func(p []byte) []byte { return []byte(hex.EncodeToString(p)) },
		"HEX": func(p []byte) []byte { return bytes.ToUpper([]byte(hex.EncodeToString(p))) },
		"percent": func(p []byte) []byte {
			return []byte(strings.ReplaceAll(url.QueryEscape(string(p)), "+", "%20"))
		},
		"base64": func(p []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(p)) },
	}
	for form, encode := range forms {
		for lead := range 3 {
			text := append(random(t, lead), secret...)
			if n := count(t, needles, encode(text))[form]; n < 20 {
				t.Errorf("%s after %d bytes: %d hits", form, lead, n)
			}
			part := append(random(t, lead), secret[40:58]...)
			if n := count(t, needles, encode(part))[form]; n < 1 {
				t.Errorf("%s of a part after %d bytes: %d hits", form, lead, n)
			}
		}
	}
	if n := count(t, needles, []byte(base64.URLEncoding.EncodeToString(secret)))["base64"]; n < 20 {
		t.Errorf("base64url: %d hits", n)
	}
	if got := count(t, needles, random(t, 4<<20)); len(got) != 0 {
		t.Errorf("hits in random data: %v", got)
	}
	if got := count(t, needles, make([]byte, 4<<20)); len(got) != 0 {
		t.Errorf("hits in zeros: %v", got)
	}
}

// The derived values of HMAC are those that RFC 2104 defines, for a short key
// and for one that is hashed first.
func TestNeedlesFindDerived(t *testing.T) {
	for _, size := range []int{20, 64, 129} {
		key := random(t, size)
		needles := Needles("s", key)
		padded := make([]byte, 64)
		if size > 64 {
			copy(padded, sum(key))
		} else {
			copy(padded, key)
		}
		for form, pad := range map[string]byte{"ipad": 0x36, "opad": 0x5c} {
			block := make([]byte, 64)
			for i := range block {
				block[i] = padded[i] ^ pad
			}
			if got := count(t, needles, block); got[form] < 9 {
				t.Errorf("%d-byte key, %s block: %v", size, form, got)
			}
			mid := chaining(block)
			lanes := bytes.Join([][]byte{mid[20:24], mid[16:20], mid[4:8], mid[:4], mid[28:], mid[24:28], mid[12:16], mid[8:12]}, nil)
			for name, p := range map[string][]byte{"big endian": mid, "little endian": swapWords(mid), "SHA-NI": swapWords(lanes)} {
				if got := count(t, needles, p); got["midstate"] < 4 {
					t.Errorf("%d-byte key, midstate %s: %v", size, name, got)
				}
			}
		}
		if got := count(t, needles, sum(key)); got["sha256"] != 21 {
			t.Errorf("%d-byte key, hash: %v", size, got)
		}
	}
}

func TestNumberNeedles(t *testing.T) {
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	v, _ := rand.Int(rand.Reader, n)
	needles := NumberNeedles("d", v, n, 32)
	little := v.FillBytes(make([]byte, 32))
	for i := range 16 {
		little[i], little[31-i] = little[31-i], little[i]
	}
	mont := new(big.Int).Lsh(v, 256)
	mont.Mod(mont, n)
	for form, p := range map[string][]byte{"raw": v.FillBytes(make([]byte, 32)), "number": little, "montgomery": mont.FillBytes(make([]byte, 32))} {
		if got := count(t, needles, p); got[form] != 21 {
			t.Errorf("%s: %v", form, got)
		}
	}
}

// The scanner agrees with a plain search for needles of many lengths, also
// across the ends of its pieces and among zeros.
func TestScannerAgreesWithPlainSearch(t *testing.T) {
	r := mrand.New(mrand.NewPCG(1, 2))
	for round := range 20 {
		data := make([]byte, 3*4096)
		for i := range data {
			if r.IntN(4) == 0 {
				data[i] = byte(r.IntN(3))
			}
		}
		var needles []Needle
		for range 40 {
			n := 8 + r.IntN(30)
			at := r.IntN(len(data) - n)
			needles = append(needles, Needle{Name: "n", Form: "raw", Bytes: data[at : at+n]})
		}
		s, err := New(needles)
		if err != nil {
			t.Fatal(err)
		}
		want := make(map[string]bool)
		for _, n := range s.needles {
			for at := range data {
				if bytes.HasPrefix(data[at:], n.Bytes) {
					want[fmt.Sprint(at, n.Bytes)] = true
				}
			}
		}
		got := make(map[string]bool)
		st := s.newStream(64 + r.IntN(1000))
		st.start(0)
		for rest := data; len(rest) > 0; {
			n := copy(st.room(), rest[:min(len(rest), 1+r.IntN(900))])
			rest = rest[n:]
			st.push(n, func(needle int, at uint64) {
				key := fmt.Sprint(at, s.needles[needle].Bytes)
				if got[key] {
					t.Errorf("round %d: hit %s twice", round, key)
				}
				got[key] = true
			})
		}
		if len(got) != len(want) {
			t.Errorf("round %d: got %d hits, want %d", round, len(got), len(want))
		}
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(nil); !errors.Is(err, ErrNoNeedles) {
		t.Errorf("no needles: %v", err)
	}
	if _, err := New([]Needle{{Bytes: []byte("1234567")}}); !errors.Is(err, ErrNeedle) {
		t.Errorf("short needle: %v", err)
	}
	if n := Needles("short", []byte("1234567")); n != nil {
		t.Errorf("needles of a short secret: %d", len(n))
	}
}

func TestScanFile(t *testing.T) {
	secret := random(t, 32)
	path := filepath.Join(t.TempDir(), "log")
	text := append(bytes.Repeat([]byte("x"), piece-5), secret...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	rep, err := ScanFile(path, Needles("s", secret))
	if err != nil || rep.Total.Unlocked != 21 || rep.Hits[0].At != piece-5 || rep.Scanned != uint64(len(text)) {
		t.Errorf("got %v, %v", rep, err)
	}
	if bytes.Contains([]byte(rep.String()), secret) {
		t.Error("the report shows the secret")
	}
	rep, err = ScanReader(iotest.OneByteReader(bytes.NewReader(text[piece-50:])), "one by one", Needles("s", secret))
	if err != nil || rep.Total.Unlocked != 21 {
		t.Errorf("one byte at a time: got %v, %v", rep, err)
	}
	if _, err := ScanFile(path+".none", Needles("s", secret)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func sum(p []byte) []byte {
	h := sha256.New()
	h.Write(p)
	return h.Sum(nil)
}

func BenchmarkScan(b *testing.B) {
	data := random(b, 16<<20)
	var needles []Needle
	for i := range 20 {
		needles = append(needles, Needles(fmt.Sprint(i), random(b, 129))...)
	}
	s, err := New(needles)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := s.Reader(bytes.NewReader(data), "bench"); err != nil {
			b.Fatal(err)
		}
	}
}
