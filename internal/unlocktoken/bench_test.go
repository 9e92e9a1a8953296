package unlocktoken

import "testing"

// BenchmarkVerifyAndClear is what showing a token of four blocks costs, and its first use.
func BenchmarkVerifyAndClear(b *testing.B) {
	w, token := fourBlocks(b)
	challenge := []byte("a challenge")
	chain, proof := token.Chain.Encode(), token.Prove(challenge)
	for b.Loop() {
		c, err := DecodeChain(chain)
		if err != nil {
			b.Fatal(err)
		}
		g, err := c.Verify(w.public, challenge, proof)
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Clear(inScope()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClear is what each use of it costs.
func BenchmarkClear(b *testing.B) {
	w, token := fourBlocks(b)
	g, err := w.present(b, token)
	if err != nil {
		b.Fatal(err)
	}
	r := inScope()
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Clear(r); err != nil {
			b.Fatal(err)
		}
	}
}

func inScope() Request {
	return Request{
		Time: now, Credential: acme, Kind: "sign", Host: "1234567-sb1.suitetalk.api.netsuite.com", Method: "GET",
		Path: "/services/rest/record/v1/customer/12345",
	}
}
