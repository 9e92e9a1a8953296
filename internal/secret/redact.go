package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted stands for secret bytes wherever they would be printed.
const redacted = "[redacted]"

// String returns "[redacted]".
func (Bytes) String() string { return redacted }

// GoString returns "[redacted]".
func (Bytes) GoString() string { return redacted }

// Format prints "[redacted]" under every verb.
func (Bytes) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue returns "[redacted]".
func (Bytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns ErrRedacted.
func (Bytes) MarshalJSON() ([]byte, error) { return nil, ErrRedacted }

// MarshalText returns ErrRedacted.
func (Bytes) MarshalText() ([]byte, error) { return nil, ErrRedacted }

// MarshalBinary returns ErrRedacted; it also stops encoding/gob and CBOR.
func (Bytes) MarshalBinary() ([]byte, error) { return nil, ErrRedacted }
