//go:build linux && !amd64

package harden

// childrenHere are none: no other architecture can change its calls without exec.
func childrenHere() map[string]func(args []string) error { return nil }
