package secret

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// margin is left of RLIMIT_MEMLOCK for locked memory that is not ours: memguard
// locks three pages for its own key when an Enclave is first made, and up to two
// more for each that is open.
const margin = 24 << 10

// host is what the choice of mode and size depends on; tests put their own.
type host struct {
	budget      func() (budget, error)
	hibernation func() (resume string, on bool)
	memfd       func(size int, why string, b budget) (*region, error)
}

func thisHost() host {
	return host{
		budget:      readBudget,
		hibernation: func() (string, bool) { return Hibernation("/sys/power") },
		memfd:       memfdRegion,
	}
}

// budget is how much may be locked.
type budget struct {
	exempt bool   // the process has CAP_IPC_LOCK
	limit  uint64 // RLIMIT_MEMLOCK, the soft one, in bytes
	locked uint64 // locked already, in bytes
}

func readBudget() (budget, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil {
		return budget{}, fmt.Errorf("reading RLIMIT_MEMLOCK: %w", err)
	}
	b := budget{limit: lim.Cur, exempt: lim.Cur == unix.RLIM_INFINITY || hasIPCLock()}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return b, nil // no /proc: the attempt itself will tell
	}
	for line := range bytes.Lines(status) {
		if v, ok := bytes.CutPrefix(line, []byte("VmLck:")); ok {
			kib, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(string(v)), " kB"), 10, 64)
			b.locked = kib << 10
		}
	}
	return b, nil
}

// hasIPCLock reports whether this process may lock without limit. Inside a user
// namespace the kernel may still say no; then the attempt fails and a smaller
// size is tried.
func hasIPCLock() bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_IPC_LOCK) != 0
}

// size answers how many bytes to lock when asked for want (0: what is fitting).
func (b budget) size(want, page int) (int, error) {
	if want < 0 {
		return 0, fmt.Errorf("%w: %d", ErrLength, want)
	}
	if b.exempt {
		if want == 0 {
			want = maxDefaultSize
		}
		return roundSize(want, page), nil
	}
	free := uint64(0)
	if taken := b.locked + margin; b.limit > taken {
		free = min(b.limit-taken, math.MaxInt32)
	}
	fits := int(free) / page * page
	if want == 0 {
		want = min(maxDefaultSize, fits)
	}
	if want = roundSize(want, page); want > fits {
		return 0, b.tooSmall(want)
	}
	return want, nil
}

func (b budget) tooSmall(want int) error {
	return fmt.Errorf("%w: the limit is %d KiB, %d KiB are locked already and at least %d KiB are needed; raise it with \"ulimit -l %d\", or LimitMEMLOCK= in the systemd unit",
		ErrMemlock, b.limit>>10, b.locked>>10, (want+margin)>>10, (b.locked+uint64(want)+margin)>>10)
}

// refused turns what the kernel answered to a lock of size bytes into ErrMemlock.
func (b budget) refused(size int, err error) error {
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM) {
		return b.tooSmall(size)
	}
	return fmt.Errorf("%w: locking %d KiB: %v", ErrMemlock, size>>10, err)
}

// Hibernation reports whether the machine is set up to hibernate, and the resume
// device, from the kernel's directory /sys/power: the kernel knows suspend to disk,
// and a resume device is set. The kernel refuses to hibernate while memfd_secret
// memory exists.
func Hibernation(power string) (string, bool) {
	states, err := os.ReadFile(filepath.Join(power, "state"))
	if err != nil {
		return "", false
	}
	disk := false
	for _, s := range strings.Fields(string(states)) {
		disk = disk || s == "disk"
	}
	resume, err := os.ReadFile(filepath.Join(power, "resume"))
	if err != nil || !disk {
		return "", false
	}
	dev := strings.TrimSpace(string(resume))
	return dev, dev != "" && dev != "0:0"
}
