package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestFollowFromTheStartWhileRolling guards that who opens a log just when its first
// segment is closed gets the first entry, and not the file that comes after: the writer of
// checkpoints took that for a log that was changed.
func TestFollowFromTheStartWhileRolling(t *testing.T) {
	for range 10 {
		dir := newDir(t)
		l := openSmall(t, dir)
		mustAppendSync(t, l)
		for i := range 400 { // a directory that takes a while to list
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("other-%d", i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var group sync.WaitGroup
		begin := make(chan struct{})
		group.Go(func() {
			<-begin
			mustAppend(t, l, 40)
		})
		close(begin)
		for range 12 {
			f, err := newFollower(dir, 1)
			if err != nil {
				t.Fatal(err)
			}
			if line, err := f.line(); err != nil || seqOf(line) != 1 {
				t.Fatalf("the first line: got %q, %v", line, err)
			}
			f.close()
		}
		group.Wait()
		mustClose(t, l)
	}
}
