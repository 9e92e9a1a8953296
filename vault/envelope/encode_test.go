package envelope

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"
)

// TestEncoderIsCoreDeterministic compares the encoder with fxamacker/cbor's.
func TestEncoderIsCoreDeterministic(t *testing.T) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64().Draw(t, "n") >> rapid.IntRange(0, 63).Draw(t, "shift")
		p := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "p")
		s := rapid.String().Draw(t, "s")
		a := make([]uint64, rapid.IntRange(0, 300).Draw(t, "array"))
		want, err := mode.Marshal([]any{n, p, s, a})
		if err != nil {
			t.Fatal(err)
		}
		var e encoder
		e.array(4).uint(n).bytes(p).text(s).array(len(a))
		for _, v := range a {
			e.uint(v)
		}
		if !bytes.Equal(e.b, want) {
			t.Fatalf("got %x, want %x", e.b, want)
		}
	})
}

// TestContexts pins the associated data. docs/vault-format.md shows them.
func TestContexts(t *testing.T) {
	vault, record := ID{0xaa}, ID{0xbb}
	slot := &Slot{ID: ID{0xcc}, Kind: KindPassphrase, KDF: KDFLow, Salt: []byte{1, 2, 3}}
	const a, b, c = "50aa000000000000000000000000000000", "50bb000000000000000000000000000000", "50cc000000000000000000000000000000"
	for _, x := range []struct {
		name string
		got  []byte
		want string
	}{
		{"ck", ckContext(vault, record, PartRaw), "85" + text("nsagent/v1 ck") + "01" + a + b + text("raw")},
		{"metadata", metadataContext(vault, record), "84" + text("nsagent/v1 metadata") + "01" + a + b},
		{"dek", dekContext(vault, record, 7, PartSignOnly, [32]byte{9}), "87" + text("nsagent/v1 dek") + "01" + a + b + "07" + text("sign-only") +
			"582009" + hex.EncodeToString(make([]byte, 31))},
		{"content", contentContext(vault, record, 300, PartRaw), "86" + text("nsagent/v1 content") + "01" + a + b + "19012c" + text("raw")},
		{"slot", slotContext(vault, slot), "87" + text("nsagent/v1 slot") + "01" + a + c + text("passphrase") +
			"85" + text("argon2id") + "13" + "194c00" + "02" + "01" + "43010203"},
	} {
		if got := hex.EncodeToString(x.got); got != x.want {
			t.Errorf("%s:\ngot  %s\nwant %s", x.name, got, x.want)
		}
	}
}

func text(s string) string { return hex.EncodeToString(append([]byte{0x60 | byte(len(s))}, s...)) }
