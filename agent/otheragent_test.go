package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Who has the lock of a file is found in the kernel's list, and nobody where it says nothing.
func TestLockedBy(t *testing.T) {
	dir := t.TempDir()
	list, file := filepath.Join(dir, "locks"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{
		"":               0,
		"1: FLOCK short": 0,
		fmt.Sprintf("1: POSIX  ADVISORY  WRITE 11 fe:00:%d 0 EOF\n2: FLOCK  ADVISORY  WRITE 12 fe:00:1%d 0 EOF\n", st.Ino, st.Ino): 0,
		fmt.Sprintf("1: FLOCK  ADVISORY  WRITE 12 fe:00:9 0 EOF\n2: FLOCK  ADVISORY  WRITE 13 fe:00:%d 0 EOF\n", st.Ino):           13,
	} {
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := lockedBy(list, file); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
	if lockedBy(list, filepath.Join(dir, "none")) != 0 || lockedBy(filepath.Join(dir, "none"), file) != 0 {
		t.Error("a file that is not there is locked")
	}
}
