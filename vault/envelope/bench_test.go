package envelope

import (
	"crypto/rand"
	"testing"
)

// BenchmarkOpenKey is one opening of a sealed key; unlocking takes five a record.
func BenchmarkOpenKey(b *testing.B) {
	key, dst := make([]byte, keySize), make([]byte, keySize)
	aad := ckContext(testVault, ID{1}, PartSignOnly)
	sealed, err := seal(rand.Reader, key, aad, dst)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := open(dst, key, aad, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeRecord is the parsing of one record with both parts.
func BenchmarkDecodeRecord(b *testing.B) {
	r, _ := sealed(b, newKeys(b), "a")
	encoded := r.Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRecord(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
