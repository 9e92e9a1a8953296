package supervise

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nsagent/nsagent/internal/pattern"
)

// Process is what is known about a process. It is evidence: it says nothing about whether
// the process behind the number is still the same, which is for the agent to say.
type Process struct {
	// Exe is the path of the executable, with " (deleted)" behind it where another file, or
	// none, is there by now; empty: not known.
	Exe string
	// SHA256 is the hash of what runs, whatever is at its path by now, in lower-case hex;
	// empty: not known, or not asked for.
	SHA256 string
	// Cgroup says that Unit and Container are known. They are the systemd unit and the id
	// or name of the container; empty: it is in none.
	Cgroup          bool
	Unit, Container string
	// Terminal is "yes" or "no": whether it has a controlling terminal; empty: not known.
	Terminal string
}

// maxHashed is the largest executable that is hashed, in bytes: what runs a script, and
// what holds one within, is smaller.
const maxHashed = 256 << 20

// encode returns p as the body of an answer: its parts, each ended by a zero byte.
func (p Process) encode() []byte {
	cgroup := ""
	if p.Cgroup {
		cgroup = "known"
	}
	return []byte(strings.Join([]string{p.Exe, p.SHA256, cgroup, p.Unit, p.Container, p.Terminal, ""}, "\x00"))
}

// parseProcess reads the body of an answer.
func parseProcess(b []byte) (Process, error) {
	parts := strings.Split(string(b), "\x00")
	if len(parts) != 7 || parts[6] != "" {
		return Process{}, fmt.Errorf("%w: a process of %d parts", errMessage, len(parts)-1)
	}
	return Process{Exe: parts[0], SHA256: parts[1], Cgroup: parts[2] != "", Unit: parts[3], Container: parts[4], Terminal: parts[5]}, nil
}

// Process tells about a process; hashed asks for the hash of its executable as well, which
// takes as long as that takes to read. The parent goes on where ctx ends before.
func (l *Link) Process(ctx context.Context, pid int32, hashed bool) (Process, error) {
	body := binary.BigEndian.AppendUint32(nil, uint32(pid)) // #nosec G115 -- the kernel's pid_t
	if hashed {
		body = append(body, 1)
	} else {
		body = append(body, 0)
	}
	r, err := l.ask(ctx, kindProcess, body)
	if err != nil {
		return Process{}, fmt.Errorf("looking at a process: %w", err)
	}
	return parseProcess(r.body)
}

// answerProcess tells about a process, beside the loop that passes signals on: to hash
// takes a while.
func (s *supervisor) answerProcess(m message) error {
	if len(m.body) != 5 {
		return fmt.Errorf("%w: a question of %d bytes", errMessage, len(m.body))
	}
	pid := int(int32(binary.BigEndian.Uint32(m.body))) // #nosec G115 -- the kernel's pid_t
	hashed := m.body[4] == 1
	if !s.looking.begin(pid) {
		return errors.New("too many processes are looked at")
	}
	go func() {
		defer s.looking.end(pid)
		m.body = lookAt(pid, hashed).encode()
		_ = s.link.SetWriteDeadline(time.Now().Add(writeTime)) // that of the question may be over
		_, _ = s.link.Write(m.encode())                        // where this fails the agent is gone, or gives up
	}()
	return nil
}

// looking counts the looks at processes. The zero value counts none.
type looking struct {
	mu  sync.Mutex // guards what follows
	all int
	at  map[int]int // by the number of the process
}

// begin counts a look at a process, and reports whether it may begin.
func (l *looking) begin(pid int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == maxLooks || l.at[pid] == maxLooksAtOne {
		return false
	}
	if l.at == nil {
		l.at = make(map[int]int)
	}
	l.all++
	l.at[pid]++
	return true
}

// end is the end of a look that was counted.
func (l *looking) end(pid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.at[pid]--; l.at[pid] == 0 {
		delete(l.at, pid)
	}
}

// lookAt reads what /proc says of a process. What it does not say stays empty.
func lookAt(pid int, hashed bool) Process {
	var p Process
	dir := "/proc/" + strconv.Itoa(pid)
	if exe, err := os.Readlink(dir + "/exe"); err == nil && !strings.Contains(exe, "\x00") {
		p.Exe = exe
	}
	if hashed {
		p.SHA256 = hashOf(dir + "/exe")
	}
	if text, err := os.ReadFile(dir + "/cgroup"); err == nil {
		p.Cgroup = true
		p.Unit, p.Container = placeOf(string(text))
	}
	if text, err := os.ReadFile(dir + "/stat"); err == nil {
		p.Terminal = terminalOf(string(text))
	}
	return p
}

// hashOf returns the SHA-256 of a file in hex; empty if it cannot be read whole. The link
// in /proc leads to the very file that runs, also after it was replaced or removed.
func hashOf(path string) string {
	f, err := os.Open(path) // #nosec G304 -- made of a number
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() || fi.Size() > maxHashed {
		return ""
	}
	h := sha256.New()
	if n, err := io.Copy(h, io.LimitReader(f, fi.Size())); err != nil || n != fi.Size() {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// placeOf returns the systemd unit and the container that a /proc/PID/cgroup names. The
// names are those of systemd (systemd.unit(5)), docker, podman, containerd, CRI-O, LXC and
// systemd-nspawn.
func placeOf(text string) (unit, container string) {
	for line := range strings.SplitSeq(text, "\n") {
		_, rest, ok := strings.Cut(line, ":")
		controllers, path, ok2 := strings.Cut(rest, ":")
		if !ok || !ok2 || controllers != "" && controllers != "name=systemd" {
			continue
		}
		for part := range strings.SplitSeq(path, "/") {
			if strings.HasSuffix(part, ".service") || strings.HasSuffix(part, ".scope") {
				unit = printable(part)
			}
			if name := containerOf(part); name != "" {
				container = name
			}
		}
		if lxc, ok := strings.CutPrefix(path, "/lxc/"); ok && container == "" {
			container, _, _ = strings.Cut(lxc, "/")
			container = printable(container)
		}
	}
	return unit, container
}

var containerID = pattern.New(`(^|-)([0-9a-f]{64})(\.scope)?$`)

func containerOf(part string) string {
	if m := containerID().FindStringSubmatch(part); m != nil {
		return m[2]
	}
	if name, ok := strings.CutPrefix(part, "lxc.payload."); ok {
		return printable(name)
	}
	if name, ok := strings.CutPrefix(part, "machine-"); ok {
		return printable(strings.TrimSuffix(name, ".scope"))
	}
	return ""
}

// printable drops a name that is too long or holds anything but printable ASCII.
func printable(s string) string {
	if len(s) > 255 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return s
}

// terminalOf says whether a /proc/PID/stat names a controlling terminal, in its seventh
// field. The second is the name of the program, in parentheses, and may hold any.
func terminalOf(text string) string {
	i := strings.LastIndexByte(text, ')')
	if i < 0 {
		return ""
	}
	words := bufio.NewScanner(strings.NewReader(text[i+1:]))
	words.Split(bufio.ScanWords)
	for n := 3; words.Scan(); n++ {
		if n == 7 {
			tty, err := strconv.Atoi(words.Text())
			switch {
			case err != nil:
				return ""
			case tty == 0:
				return "no"
			}
			return "yes"
		}
	}
	return ""
}
