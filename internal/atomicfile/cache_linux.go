package atomicfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropCache asks the kernel to forget the clean pages of f, so that reading the
// file back reads the disk and not the memory it was written from. It is advice:
// where it is not taken, the comparison still covers our own code.
func dropCache(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
