// Package equal is a fixture of TestCompareDoesNotCompile.
package equal

import "github.com/nsagent/nsagent/internal/secret"

// Equal must not compile.
func Equal(a, b secret.Bytes) bool { return a == b }
