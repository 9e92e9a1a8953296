// Package secrettest brings locked memory to its end for tests.
package secrettest

import "github.com/nsagent/nsagent/internal/secret"

// LeaveRoom fills an arena but for so many blocks of 32 bytes, until empty is called.
func LeaveRoom(a *secret.Arena, blocks int) (empty func()) {
	var all []secret.Bytes
	room, _ := a.Alloc(32 * blocks)
	for size := 256 << 10; size >= 32; size /= 2 {
		for full := error(nil); full == nil; {
			var b secret.Bytes
			if b, full = a.Alloc(size); full == nil {
				all = append(all, b)
			}
		}
	}
	room.Destroy()
	return func() {
		for _, b := range all {
			b.Destroy()
		}
	}
}
