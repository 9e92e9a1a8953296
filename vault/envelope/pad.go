package envelope

import "math/bits"

// smallest is the length that all short plaintexts are padded to: HMAC midstates
// (64 bytes), a pair of NetSuite's secrets (129) and an EC P-256 key (138) then
// look alike.
const smallest = 256

// paddedLen returns the length that a plaintext of n bytes is sealed with, at
// least n+1. Up to 4 KiB it is a power of two from 256 on. Beyond, it is Padmé
// (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
// Communication with PURBs", PoPETs 2019, section 4): the length is a floating-point
// number whose mantissa is no longer than its exponent, for at most 6 % of growth.
func paddedLen(n int) int {
	n++ // the mark that ends the content
	if n <= smallest {
		return smallest
	}
	e := bits.Len(uint(n)) - 1 // floor(log2 n)
	if n <= 4096 {
		return 1 << bits.Len(uint(n-1))
	}
	s := bits.Len(uint(e)) // floor(log2 e) + 1
	low := 1<<(e-s) - 1
	return (n + low) &^ low
}

// pad makes p, whose first n bytes are content, a padded plaintext: the mark 0x80
// and zeros follow the content (ISO/IEC 7816-4). len(p) must be paddedLen(n).
func pad(p []byte, n int) {
	p[n] = 0x80
	clear(p[n+1:])
}

// unpad returns how much of p is content, or -1 if p is not what pad makes. It
// runs on authenticated plaintext only, so its timing tells nothing to whoever
// changes the file.
func unpad(p []byte) int {
	n := len(p) - 1
	for n >= 0 && p[n] == 0 {
		n--
	}
	if n < 0 || p[n] != 0x80 || len(p) != paddedLen(n) {
		return -1
	}
	return n
}
