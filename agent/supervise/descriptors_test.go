//go:build linux

package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// listDescriptors is an agent that prints which of its descriptors would pass an
// exec, which are those that it was given: its own are all close-on-exec.
func listDescriptors() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 1
	}
	for _, name := range names {
		fd, err := strconv.Atoi(name.Name())
		if err != nil {
			return 1
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 { // gone: that of the directory
			continue
		}
		path, _ := os.Readlink(filepath.Join("/proc/self/fd", name.Name()))
		fmt.Println(fd, path)
	}
	return 0
}

// What a shell left open to the supervisor does not reach the agent.
func TestDescriptorsOfTheAgent(t *testing.T) {
	left, err := os.Create(filepath.Join(t.TempDir(), "left open"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = left.Close() }()
	if _, err := unix.FcntlInt(left.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	out, err := runAgent(t, t.Context(), "descriptors")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[3], "3 socket:") {
		t.Errorf("descriptors of the agent: got %q, want 0, 1, 2 and its link", lines)
	}
}
