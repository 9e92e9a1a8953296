package keyringtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTime = 20 * time.Second // for a daemon to be there, on a busy machine
	stopTime  = 20 * time.Second // for it to go when asked to
)

// busConfig is a session bus without the services that the machine has installed:
// it would start those by itself.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

// startBus starts the session bus.
func (s *Session) startBus() error {
	config := filepath.Join(s.dir, "bus.conf")
	socket := filepath.Join(s.RuntimeDir, "bus")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, socket), 0o600); err != nil {
		return fmt.Errorf("configuring the bus: %w", err)
	}
	p, err := s.run("", "dbus-daemon", "--nofork", "--nopidfile", "--print-address=1", "--config-file="+config)
	if err != nil {
		return fmt.Errorf("starting the bus: %w", err)
	}
	line, err := p.firstLine()
	if err != nil {
		return fmt.Errorf("starting the bus: %w", err)
	}
	s.Address = strings.TrimSpace(line)
	return nil
}

// startKeyring starts gnome-keyring, with a login collection or with none.
func (s *Session) startKeyring(unlock bool) error {
	args := []string{"--foreground", "--components=secrets", "--control-directory=" + filepath.Join(s.RuntimeDir, "keyring")}
	stdin := ""
	if unlock {
		args, stdin = append(args, "--unlock"), password
	}
	p, err := s.run(stdin, "gnome-keyring-daemon", args...)
	if err != nil {
		return fmt.Errorf("starting gnome-keyring: %w", err)
	}
	if err := s.waitForService(unlock); err != nil {
		return fmt.Errorf("starting gnome-keyring: %w\n%s", err, p.said())
	}
	return nil
}

// process is a daemon of a session.
type process struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	ended  chan struct{} // closed when it has been waited for

	mu     sync.Mutex // guards stderr
	stderr bytes.Buffer
}

// Write keeps what the daemon says on stderr.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

// said returns what the daemon has said on stderr.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// run starts a daemon. It dies with this process: the death of a parent is told by
// the kernel when the thread that forked is gone, so that thread stays with it.
func (s *Session) run(stdin, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{})} // #nosec G204 -- two fixed programs
	p.cmd.Env = append(s.home(), "PATH="+os.Getenv("PATH"))
	if s.Address != "" {
		p.cmd.Env = append(p.cmd.Env, "DBUS_SESSION_BUS_ADDRESS="+s.Address)
	}
	p.cmd.Stdin = strings.NewReader(stdin)
	p.cmd.Stderr = p
	p.cmd.SysProcAttr = dieWithParent()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	p.stdout = bufio.NewReader(read)
	p.cmd.Stdout = write

	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		_ = write.Close()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		_ = read.Close()
		return nil, err
	}
	go func() { // what else it prints must not block it
		<-p.ended
		_ = read.Close()
	}()
	s.processes = append(s.processes, p)
	return p, nil
}

// firstLine waits for the first line that the daemon prints, and reads the rest away.
func (p *process) firstLine() (string, error) {
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := p.stdout.ReadString('\n')
		done <- result{line, err}
		_, _ = io.Copy(io.Discard, p.stdout)
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return "", fmt.Errorf("%w\n%s", r.err, p.said())
		}
		return r.line, nil
	case <-time.After(startTime):
		return "", fmt.Errorf("no sign of life\n%s", p.said())
	}
}

// stop ends the daemon and waits for it.
func (p *process) stop() error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopTime):
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	return fmt.Errorf("keyringtest: %s had to be killed", filepath.Base(p.cmd.Path))
}
