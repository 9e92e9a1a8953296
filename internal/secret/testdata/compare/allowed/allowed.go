// Package allowed is a fixture of TestCompareDoesNotCompile.
package allowed

import "github.com/nsagent/nsagent/internal/secret"

// Equal compiles.
func Equal(a, b secret.Bytes) bool { return a.Equal(b) }
