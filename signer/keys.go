package signer

import "fmt"

// MAC computes HMAC-SHA256 under a key that stays behind it. It is what a signature is
// made with: the key is enc(consumer secret) "&" enc(token secret), see
// AppendSigningKey.
type MAC interface {
	// HMACSHA256 puts the MAC of msg into mac. It keeps neither.
	HMACSHA256(mac *[32]byte, msg []byte) error
}

// MACFunc is a function that serves as a MAC, such as a call to another process that
// holds the key.
type MACFunc func(mac *[32]byte, msg []byte) error

// HMACSHA256 calls f. A nil f is an error that wraps ErrKey.
func (f MACFunc) HMACSHA256(mac *[32]byte, msg []byte) error {
	if f == nil {
		return fmt.Errorf("%w: none given", ErrKey)
	}
	return f(mac, msg)
}

// AppendSigningKey appends the OAuth 1.0 signing key to dst: both secrets
// percent-encoded and joined by "&", which stays where tokenSecret is empty.
//
// The result is as secret as its parts. dst must have SigningKeyLen octets to spare in
// memory that the caller locks and wipes: then nothing is allocated. With less, append
// moves it to ordinary memory that nobody wipes.
//
// Source: RFC 5849 section 3.4.2.
func AppendSigningKey(dst, consumerSecret, tokenSecret []byte) []byte {
	dst = AppendEncoded(dst, consumerSecret)
	dst = append(dst, '&')
	return AppendEncoded(dst, tokenSecret)
}

// SigningKeyLen returns the most octets that AppendSigningKey appends for secrets of
// the given lengths. With NetSuite's secrets of 64 hexadecimal digits it appends 129.
func SigningKeyLen(consumerSecretLen, tokenSecretLen int) int {
	return 3*consumerSecretLen + 1 + 3*tokenSecretLen
}
