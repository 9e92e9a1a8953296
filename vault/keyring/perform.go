package keyring

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	gokeyring "github.com/zalando/go-keyring"

	"github.com/nsagent/nsagent/internal/secret"
)

// service is the name that all items are kept under.
const service = "nsagent"

// perform makes the call of a request. The value it returns is the caller's to
// wipe.
func perform(req request) ([]byte, error) {
	if err := prepare(); err != nil {
		return nil, classify(err)
	}
	value, err := access(req)
	if err != nil {
		return nil, classify(err)
	}
	return value, nil
}

// access is the only user of go-keyring. What that hands around as strings cannot
// be wiped; it goes with the process.
func access(req request) ([]byte, error) {
	switch req.op {
	case opSet:
		text := base64.StdEncoding.AppendEncode(make([]byte, 0, base64.StdEncoding.EncodedLen(MaxValue)), req.value)
		defer secret.Wipe(text)
		if err := gokeyring.Set(service, req.item, string(text)); err != nil {
			return nil, err
		}
		return nil, kept(req.item, req.value)
	case opDelete:
		if err := gokeyring.Delete(service, req.item); err != nil {
			return nil, err
		}
		return nil, deleted(req.item)
	}
	return get(req.item)
}

// get reads and decodes an item.
func get(item string) ([]byte, error) {
	text, err := gokeyring.Get(service, item)
	if err != nil {
		return nil, err
	}
	value := make([]byte, MaxValue)
	if base64.StdEncoding.DecodedLen(len(text)) > len(value) || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: it has %d characters", ErrForeign, len(text))
	}
	n, err := base64.StdEncoding.Strict().Decode(value, []byte(text))
	if err != nil || n == 0 {
		secret.Wipe(value)
		return nil, fmt.Errorf("%w: it is not base64", ErrForeign)
	}
	return value[:n], nil
}

// kept reads an item back: go-keyring takes a dismissed prompt for success.
func kept(item string, want []byte) error {
	got, err := get(item)
	defer secret.Wipe(got)
	if err != nil {
		return fmt.Errorf("%w: the keyring did not keep the item: %v", ErrUnavailable, err)
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return fmt.Errorf("%w: the keyring gave back another value than it was given", ErrUnavailable)
	}
	return nil
}

// deleted looks for an item that should be gone, for the same reason.
func deleted(item string) error {
	_, err := gokeyring.Get(service, item)
	if errors.Is(err, gokeyring.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: the keyring did not delete the item: %v", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: the keyring did not delete the item", ErrUnavailable)
}

// classify gives an error of go-keyring the sentinel that it belongs to.
func classify(err error) error {
	switch {
	case Remedy(err) != "":
		return err
	case errors.Is(err, gokeyring.ErrNotFound):
		return ErrNotFound
	case errors.Is(err, gokeyring.ErrSetDataTooBig):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, gokeyring.ErrUnsupportedPlatform):
		return fmt.Errorf("%w: %w", ErrNoService, err)
	}
	if known := classifyBus(err); known != nil {
		return known
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
