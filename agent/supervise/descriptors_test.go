//go:build linux

package supervise

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// listDescriptors is a child that writes which of its descriptors would pass an exec,
// which are those that it was given: its own are all close-on-exec.
func listDescriptors(to io.Writer) int {
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
		_, _ = fmt.Fprintln(to, fd, path)
	}
	return 0
}

// leaveOpen leaves a file open for whatever this process starts, as a shell may.
func leaveOpen(t *testing.T) {
	t.Helper()
	left, err := os.Create(filepath.Join(t.TempDir(), "left open"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = left.Close() })
	if _, err := unix.FcntlInt(left.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
}

// What a shell left open to the supervisor does not reach the agent.
func TestDescriptorsOfTheAgent(t *testing.T) {
	leaveOpen(t)
	out, err := runAgent(t, t.Context(), "descriptors")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[3], "3 socket:") {
		t.Errorf("descriptors of the agent: got %q, want 0, 1, 2 and its link", lines)
	}
}

// What a shell left open to a command that has no supervisor does not reach its helper.
func TestDescriptorsOfAHelper(t *testing.T) {
	leaveOpen(t)
	c, err := LaunchDirect("/proc/self/exe", []string{asHelper}, nil)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "descriptors")
	out, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	// It has made of its link another descriptor, of its own.
	if lines := strings.Split(strings.TrimSpace(string(out)), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[2], "2 ") {
		t.Errorf("descriptors of a helper: got %q, want 0, 1, 2", lines)
	}
}
