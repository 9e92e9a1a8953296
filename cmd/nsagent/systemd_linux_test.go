package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// systemdScript makes a mount namespace in which a machine looks as if it were booted
// with systemd, with a journal of its own, and becomes the systemd of a user. The
// cgroup has a name from which the journal reads whose services are in it.
//
// Before systemd runs, the file system of the machine is read-only to all of it, but
// for the directories of the script: what units do to a machine is not for a test. Mounts
// are shared within the namespace, as on a machine: credentials are one.
const systemdScript = `set -e
mount --bind "$1" "$1"
mount --bind "$XDG_RUNTIME_DIR" "$XDG_RUNTIME_DIR"
mount -t tmpfs none /run/systemd
mkdir -p /run/systemd/system /run/log
mount -t tmpfs none /run/log
[ -s /etc/machine-id ] || { systemd-id128 new >"$1/machine-id"; touch /etc/machine-id; mount --bind "$1/machine-id" /etc/machine-id; }
mount -o remount,bind,ro /
if touch /var/tmp/nsagent-test 2>/dev/null; then echo "the file system can be written"; exit 1; fi
mount --make-rshared /
mkdir -p /run/log/journal/$(cat /etc/machine-id)
/lib/systemd/systemd-journald >"$1/journald.log" 2>&1 &
until [ -S /run/systemd/journal/stdout ]; do sleep 0.01; done
for root in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup; do
	if [ -e $root/cgroup.procs ]; then
		mkdir -p $root/$2
		echo $$ >$root/$2/cgroup.procs
		break
	fi
done
exec /lib/systemd/systemd --user --log-target=console --unit=basic.target
`

// cmdSystemd gives the script a systemd of its user, without the services that the
// machine has installed, and its process ID as MANAGER. To read its journal:
//
//	exec nsenter -t $MANAGER -m nsagent agent logs
func cmdSystemd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: systemd")
	}
	units := filepath.Join(ts.Getenv("HOME"), ".config/systemd/user")
	ts.Check(os.MkdirAll(units, 0o700))
	for _, dir := range []string{"/usr/lib", "/etc"} {
		installed, err := filepath.Glob(dir + "/systemd/user/*.target.wants/*")
		ts.Check(err)
		for _, path := range installed {
			if err := os.Symlink("/dev/null", filepath.Join(units, filepath.Base(path))); !errors.Is(err, fs.ErrExist) {
				ts.Check(err)
			}
		}
	}
	cgroup := fmt.Sprintf("nsagenttest%d.slice/user@%d.service", time.Now().UnixNano(), os.Getuid())
	log, err := os.Create(filepath.Join(ts.Getenv("WORK"), "systemd.log"))
	ts.Check(err)
	defer log.Close()
	c := exec.Command("unshare", "--mount", "sh", "-c", systemdScript, "sh", ts.Getenv("WORK"), cgroup)
	c.Env, c.Stdout, c.Stderr = environment(ts), log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // with its journald
	ts.Check(c.Start())
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	ts.Defer(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(waitTime):
			ts.Logf("systemd did not end")
		}
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		removeCgroup(filepath.Dir(cgroup))
	})
	for deadline := time.Now().Add(waitTime); run(ts, "systemctl", "--user", "is-active", "--quiet", "basic.target") != 0; time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			ts.Fatalf("systemd ended:\n%s", ts.ReadFile("systemd.log"))
		default:
		}
		if time.Now().After(deadline) {
			ts.Fatalf("systemd is not up:\n%s", ts.ReadFile("systemd.log"))
		}
	}
	ts.Setenv("MANAGER", strconv.Itoa(c.Process.Pid))
}

// removeCgroup removes a cgroup and those below it, once they are empty.
func removeCgroup(name string) {
	for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup"} {
		var all []string
		_ = filepath.WalkDir(filepath.Join(root, name), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append([]string{path}, all...)
			}
			return nil
		})
		for _, dir := range all {
			for deadline := time.Now().Add(2 * time.Second); syscall.Rmdir(dir) == syscall.EBUSY && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}
