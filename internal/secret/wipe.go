package secret

import "runtime"

// Wipe sets p to zero. The compiler does not remove it, even where p is not
// read again.
func Wipe(p []byte) {
	clear(p)
	runtime.KeepAlive(p)
}
