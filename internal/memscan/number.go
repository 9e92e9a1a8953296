package memscan

import (
	"math/big"
	"slices"
)

// NumberNeedles returns what betrays a secret number, such as the scalar of an
// EC key or a prime of an RSA key: all of Needles for its bytes, most significant
// first and padded with zeros to size, the same least significant first, as
// arithmetic keeps it, and, if modulus is not nil, both orders of its Montgomery
// form value * 2^(64 * limbs) mod modulus.
func NumberNeedles(name string, value, modulus *big.Int, size int) []Needle {
	s := set{name: name}
	add := func(form string, v *big.Int) {
		p := v.FillBytes(make([]byte, size))
		if form == "" {
			for _, n := range Needles(name, p) {
				s.add(n.Form, n.Bytes)
			}
			form = "number"
		}
		s.windows(form, p, window)
		slices.Reverse(p)
		s.windows(form, p, window)
	}
	add("", value)
	if modulus != nil {
		limbs := (modulus.BitLen() + 63) / 64
		m := new(big.Int).Lsh(value, uint(64*limbs))
		add("montgomery", m.Mod(m, modulus))
	}
	return s.list
}
