package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/secret"
)

// perProfile is what a profile takes of the locked memory at least, in bytes.
const perProfile = 64

// roomy is a locked memory that nobody fills, in bytes.
const roomy = 1 << 20

// Memory takes the locked memory that an agent from this shell would take, says what
// became of it, and gives it back.
func (h Host) Memory(mode secret.Mode) []Finding {
	const check = "memory.lock"
	limit := memlockLimit()
	a, err := secret.NewArena(secret.ArenaConfig{Mode: mode})
	if errors.Is(err, secret.ErrMode) {
		return []Finding{problem("memory.mode", "memory = \""+string(mode)+"\" of config.toml cannot be had here", plain(err), `say memory = "auto" in config.toml`)}
	}
	if err != nil {
		why, fix, _ := strings.Cut(plain(err), "; ")
		return []Finding{problem(check, "too little memory can be locked ("+limit+")", why, fix)}
	}
	defer func() { _ = a.Close() }()
	info := a.Info()
	out := []Finding{ok("memory.mode", info.Grade+" ("+info.Why+")")}
	if !info.RuntimeSecret {
		out = append(out, warn("memory.erase", "this program was built without runtime/secret",
			"registers, stacks and freed memory are not erased after each use of a secret", "build it by make, which sets GOEXPERIMENT=runtimesecret"))
	}
	if info.Size >= roomy {
		return append(out, ok(check, fmt.Sprintf("%d KiB can be locked (%s)", info.Size>>10, limit)))
	}
	return append(out, warn(check, fmt.Sprintf("only %d KiB can be locked (%s)", info.Size>>10, limit),
		fmt.Sprintf("that holds fewer than %d profiles", info.Size/perProfile),
		"raise it:  ulimit -l 8192, or LimitMEMLOCK=8M in the systemd unit, or \"YOU - memlock 8192\" in /etc/security/limits.conf"))
}

func memlockLimit() string {
	var lim unix.Rlimit
	switch err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim); {
	case err != nil:
		return "limit unknown"
	case lim.Cur == unix.RLIM_INFINITY:
		return "no limit"
	default:
		return fmt.Sprintf("limit %d KiB", lim.Cur>>10)
	}
}

// plain returns the text of an error without the package that it comes from.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "secret: ") }

// Swap says whether memory that is not locked can end up on a disk in clear.
func (h Host) Swap() Finding {
	const check = "memory.swap"
	b, err := os.ReadFile(h.path("/proc/swaps"))
	if err != nil {
		return ok(check, "the kernel has no swap")
	}
	var open []string
	areas := 0
	for i, line := range strings.Split(string(b), "\n") {
		fields := strings.Fields(line)
		if i == 0 || len(fields) == 0 {
			continue
		}
		areas++
		if area := strings.ReplaceAll(fields[0], `\040`, " "); !h.sealed(area) {
			open = append(open, area)
		}
	}
	switch {
	case areas == 0:
		return ok(check, "no swap is on")
	case len(open) == 0:
		return ok(check, "swap is in memory or encrypted")
	default:
		return warn(check, "swap is not encrypted: "+strings.Join(open, ", "),
			"nsagent's own secrets are locked and never swapped; what other programs hold, such as a header or your terminal, may be",
			"encrypt it (a random key in /etc/crypttab), use zram, or:  sudo swapoff -a")
	}
}

// sealed reports whether a swap area is compressed memory, or a device or file that
// dm-crypt encrypts, however deep below. What is not known counts as open.
func (h Host) sealed(area string) bool {
	if strings.HasPrefix(filepath.Base(area), "zram") {
		return true
	}
	var st unix.Stat_t
	if unix.Stat(h.path(area), &st) != nil {
		return false
	}
	dev := st.Dev
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		dev = st.Rdev
	}
	return h.encrypted(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(dev), unix.Minor(dev)), 8)
}

// encrypted looks at a block device and the ones that it lies on.
func (h Host) encrypted(dir string, depth int) bool {
	if uuid, err := os.ReadFile(h.path(dir + "/dm/uuid")); err == nil && strings.HasPrefix(string(uuid), "CRYPT-") {
		return true
	}
	below, err := os.ReadDir(h.path(dir + "/slaves"))
	if err != nil || len(below) == 0 || depth == 0 {
		return false
	}
	return !slices.ContainsFunc(below, func(d os.DirEntry) bool {
		return !h.encrypted(dir+"/slaves/"+d.Name(), depth-1)
	})
}

// Hibernation says whether the machine can write all of its memory to a disk.
func (h Host) Hibernation(mode secret.Mode) Finding {
	const check = "memory.hibernation"
	device, on := secret.Hibernation(h.path("/sys/power"))
	switch {
	case !on:
		return ok(check, "hibernation is not set up")
	case mode == secret.ModeMemfdSecret:
		return ok(check, "hibernation is set up; the kernel refuses it while the agent holds memfd_secret memory")
	default:
		return warn(check, "hibernation is set up, to device "+device, "it writes locked memory to the disk too",
			`lock before you hibernate:  nsagent lock   (or memory = "memfd_secret" in config.toml, which keeps the machine from it)`)
	}
}
