package memscan

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/needs"
)

// childEnv makes this test binary play the process that is scanned.
const childEnv = "NSAGENT_MEMSCAN_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

// child reads a secret of 32 bytes, twice: the first into ordinary memory with a
// copy in hex, the second into a locked page, wiping what it was read through.
// It also fills 100 MiB, then waits until its standard input ends.
func child() {
	in := bufio.NewReaderSize(os.Stdin, 64)
	plain := make([]byte, 32)
	_, _ = io.ReadFull(in, plain)
	text := fmt.Sprintf("%x", plain)

	page, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err == nil {
		err = syscall.Mlock(page)
	}
	if err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
	mask := make([]byte, 32)
	_, _ = io.ReadFull(in, mask)
	_, _ = io.ReadFull(in, page[4000:4032])
	for i := range mask {
		page[4000+i] ^= mask[i]
	}

	big := make([]byte, 100<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(big)
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, in)
	if plain[0] == big[7] && text == "" && page[0] != 0 {
		fmt.Println("kept")
	}
}

func start(t *testing.T, input ...[]byte) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := in.Write(bytes.Join(input, nil)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	return cmd.Process.Pid
}

const scans = "scans the memory of another process"

// A secret in ordinary memory is found there, one in a locked page only there,
// and one that the process never saw not at all.
func TestScanProcess(t *testing.T) {
	needs.Root(t, scans)
	plain, locked, foreign, mask := random(t, 32), random(t, 32), random(t, 32), random(t, 32)
	masked := make([]byte, 32)
	for i := range masked {
		masked[i] = locked[i] ^ mask[i]
	}
	pid := start(t, plain, mask, masked)

	began := time.Now()
	rep, err := Scan(pid, Needles("plain", plain))
	took := time.Since(began)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Forms["raw"].Unlocked < 21 || rep.Forms["hex"].Unlocked < 21 || rep.Total.Locked != 0 {
		t.Errorf("plain secret: %v", rep)
	}
	if rep.Scanned < 100<<20 {
		t.Errorf("scanned %d bytes of a process of 100 MiB", rep.Scanned)
	}
	t.Logf("%.1f MiB in %v", float64(rep.Scanned)/(1<<20), took)

	if rep, err = Scan(pid, Needles("locked", locked)); err != nil || rep.Total != (Count{Locked: 21}) {
		t.Errorf("locked secret: %v, %v", rep, err)
	}
	if rep, err = Scan(pid, Needles("foreign", foreign)); err != nil || rep.Total != (Count{}) {
		t.Errorf("secret of nobody: %v, %v", rep, err)
	}

	// Stopped, it is found just so, and goes on afterwards.
	err = Stopped(pid, func() error {
		if stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); !strings.Contains(string(stat), ") T ") {
			t.Errorf("not stopped: %s", stat)
		}
		rep, err = Scan(pid, Needles("plain", plain))
		return err
	})
	if err != nil || rep.Total.Unlocked < 42 {
		t.Errorf("stopped: %v, %v", rep, err)
	}
	time.Sleep(10 * time.Millisecond)
	if stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); strings.Contains(string(stat), ") T ") {
		t.Error("still stopped")
	}
}

func TestScanErrors(t *testing.T) {
	needles := Needles("s", random(t, 32))
	if _, err := Scan(os.Getpid(), needles); !errors.Is(err, ErrSelf) {
		t.Errorf("self: %v", err)
	}
	if err := Stopped(os.Getpid(), nil); !errors.Is(err, ErrSelf) {
		t.Errorf("stopping self: %v", err)
	}
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := Scan(cmd.Process.Pid, needles); !errors.Is(err, ErrGone) {
		t.Errorf("dead process: %v", err)
	}
	if err := Stopped(cmd.Process.Pid, nil); !errors.Is(err, ErrGone) {
		t.Errorf("stopping a dead process: %v", err)
	}
	if _, err := Scan(1, nil); !errors.Is(err, ErrNoNeedles) {
		t.Errorf("no needles: %v", err)
	}
}

func TestParseSmaps(t *testing.T) {
	text := `7f5c80000000-7f5c80400000 rw-s 00000000 00:0e 4100                       /secretmem (deleted)
Size:               4096 kB
Rss:                4096 kB
Swap:                  0 kB
THPeligible:           0
VmFlags: rd wr sh mr mw me ms lo dd
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
Size:                  4 kB
Rss:                   0 kB
Swap:                  3 kB
VmFlags: ex
c000000000-c000400000 rw-p 00000000 00:00 0
Rss:                  16 kB
VmFlags: rd wr mr mw me ac sd
`
	want := []mapping{
		{start: 0x7f5c80000000, end: 0x7f5c80400000, name: "/secretmem (deleted) rw-s", resident: 4096, locked: true},
		{start: 0xffffffffff600000, end: 0xffffffffff601000, name: "[vsyscall] --xp", resident: 3},
		{start: 0xc000000000, end: 0xc000400000, name: "anonymous rw-p", resident: 16},
	}
	got, err := parseSmaps([]byte(text))
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %v, %v", got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
	for _, bad := range []string{"Rss: 3 kB\n", "zz-10 rw-p 0 0:0 0\n", "10-zz rw-p 0 0:0 0\n", "10-20 rw-p 0 0:0 0\nRss: x kB\n"} {
		if got, err := parseSmaps([]byte(bad)); err == nil {
			t.Errorf("%q parsed as %v", bad, got)
		}
	}
}
