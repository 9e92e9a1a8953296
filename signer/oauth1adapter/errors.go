package oauth1adapter

import "errors"

var (
	// ErrConfig says that a Config names no account or no MAC.
	ErrConfig = errors.New("oauth1adapter: incomplete configuration")
	// ErrMessage says that what is to be signed is no OAuth 1.0 base string of a request
	// that a Signer signs.
	ErrMessage = errors.New("oauth1adapter: not the base string of a signed request")
)
