//go:build unix

package socketpath

import "io/fs"

// Prepare does what Listen does to the socket that it has bound at path.
func Prepare(path string, mode fs.FileMode) error { return (&Bound{path: path}).prepare(mode, 1) }
