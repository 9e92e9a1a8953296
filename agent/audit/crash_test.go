package audit

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/needs"
)

// Every number that a killed process had printed must be in the file, and the chain
// must hold, whenever it is killed. The log is the same one throughout, so that each
// child also continues what the one before has left.
func TestKillAtRandomPoints(t *testing.T) {
	kills := 100
	if needs.Long() {
		kills = 500
	}
	dir := newDir(t)
	most := uint64(0)
	for range kills {
		acknowledged := killOne(t, "append", dir)
		if acknowledged < most {
			t.Fatalf("a child began anew: acknowledged %d after %d", acknowledged, most)
		}
		most = acknowledged
		l := mustOpen(t, dir)
		seq, _ := l.Head()
		mustClose(t, l)
		if seq < most {
			t.Fatalf("entry %d was acknowledged, the log ends at %d", most, seq)
		}
	}
	res, err := CheckDir(dir, Trust{})
	if err != nil || !res.OK || res.Entries < most {
		t.Fatalf("verify: got %+v, %v, want at least %d good entries", res, err, most)
	}
	t.Logf("%d kills, %d entries, %d torn lines repaired", kills, res.Entries, len(tornParts(t, dir)))
}

// killOne starts a child, kills it at some moment and returns the greatest number that
// it has acknowledged. It checks that none below was left out.
func killOne(t *testing.T, task, dir string) uint64 {
	t.Helper()
	cmd := child(t, task, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("the child appended nothing: %v", cmd.Wait())
	}
	kill := time.AfterFunc(time.Duration(rand.IntN(20_000))*time.Microsecond, func() {
		_ = cmd.Process.Kill()
	})
	defer kill.Stop()
	var most uint64
	for ok := true; ok; ok = lines.Scan() {
		n, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			break // the last line may be cut, or an error
		}
		most = max(most, n)
	}
	_ = cmd.Wait()
	if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed: %v, %s", cmd.ProcessState, lines.Text())
	}
	return most
}

func TestFileSizeLimit(t *testing.T) {
	dir := newDir(t)
	out, err := child(t, "limit", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n, _, ok := bytes.Cut(bytes.TrimPrefix(out, []byte("acknowledged ")), []byte(","))
	acknowledged, aerr := strconv.ParseUint(string(n), 10, 64)
	if !ok || aerr != nil || acknowledged == 0 || !bytes.Contains(out, []byte("file too large")) {
		t.Fatalf("child: %s", out)
	}
	all := wantGood(t, dir, acknowledged+2)
	if e := all[acknowledged]; e.Event != EventRecovered {
		t.Errorf("entry %d: got %+v, want audit.recovered", acknowledged+1, e)
	}
}
