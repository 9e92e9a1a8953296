//go:build !linux

package atomicfile

import "os"

// dropCache does nothing where there is no posix_fadvise.
func dropCache(*os.File) {}
