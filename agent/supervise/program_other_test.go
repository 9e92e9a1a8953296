//go:build unix && !linux

package supervise

import "io"

// There is no way to be unreadable here, so nobody plays these.
func hardenFirst() int              { return 1 }
func playStarts(string) int         { return 1 }
func playPoller() int               { return 1 }
func listDescriptors(io.Writer) int { return 1 }
