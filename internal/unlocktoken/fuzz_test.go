package unlocktoken

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
)

// FuzzParse: what is read as a token has that text and no other, and what is not gives
// nothing.
func FuzzParse(f *testing.F) {
	w := newWorld(f, Caveats{Uses: 3, Methods: []string{"GET"}})
	narrow, err := w.token.Narrow(Caveats{Paths: []string{"/a/**"}}, []ID{acme}, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(w.token.Text())
	f.Add(narrow.Text())
	f.Add([]byte("nst1_AA000000"))
	f.Fuzz(func(t *testing.T, text []byte) {
		token, err := Parse(text)
		if err != nil {
			if token != nil || !errors.Is(err, ErrToken) {
				t.Fatalf("got %v, %v", token, err)
			}
			return
		}
		if !bytes.Equal(token.Text(), text) {
			t.Fatal("another text")
		}
		_, _ = token.Chain.Read()
	})
}

// FuzzBytes is FuzzParse behind the checksum, which a fuzzer does not get right.
func FuzzBytes(f *testing.F) {
	w := newWorld(f, Caveats{})
	whole := append([]byte{version}, w.token.Issuer[:]...)
	f.Add(whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		token, err := fromBytes(b)
		if err != nil {
			if token != nil {
				t.Fatal("an error and a token")
			}
			return
		}
		if again, err := Parse(token.Text()); err != nil || !bytes.Equal(again.Text(), token.Text()) {
			t.Fatalf("got %v", err)
		}
	})
}

// FuzzDecodeChain: a chain has one encoding, and what holds it is never believed without
// its signatures.
func FuzzDecodeChain(f *testing.F) {
	w := newWorld(f, Caveats{Networks: []string{"192.0.2.0/24"}, Rate: &Rate{Count: 1, Seconds: 1}})
	f.Add(w.token.Chain.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeChain(b)
		if err != nil {
			if c != nil || !errors.Is(err, ErrFormat) {
				t.Fatalf("got %v, %v", c, err)
			}
			return
		}
		if !bytes.Equal(c.Encode(), b) {
			t.Fatal("another encoding")
		}
		if g, err := c.Verify(w.public, []byte("c"), make([]byte, 64)); err == nil || g != nil {
			t.Fatal("verified")
		}
		if g, err := c.Read(); err == nil {
			_ = g.Clear(Request{Time: now, Credential: acme, Kind: "sign", Method: "GET", Path: "/x"})
			_ = g.Counters()
		}
	})
}
