//go:build unix && !linux

package supervise

// There is no way to be unreadable here, so nobody plays these.
func hardenFirst() int      { return 1 }
func playStarts(string) int { return 1 }
func playPoller() int       { return 1 }
func listDescriptors() int  { return 1 }
