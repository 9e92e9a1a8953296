// Package mapkey is a fixture of TestCompareDoesNotCompile.
package mapkey

import "github.com/nsagent/nsagent/internal/secret"

// Set must not compile.
var Set map[secret.Bytes]bool
