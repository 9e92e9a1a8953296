//go:build unix && !linux

package supervise

import "os"

// unreadableCopy refuses: no child is started here.
func unreadableCopy(string) (*os.File, error) { return nil, errSystem }
