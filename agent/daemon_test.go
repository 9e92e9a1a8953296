package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
)

// daemon is the product as users run it: supervisor and sandboxed agent process,
// in a home of its own that survives a restart.
type daemon struct {
	t     *testing.T
	uid   int
	home  string
	paths socketpath.Paths
	env   []string
	// wrap goes before the command: a tracer, a limit.
	wrap []string

	supervisor *exec.Cmd
	ended      chan error
	pid        int // of the agent process
	stdout     output
	stderr     output
	arena      *secret.Arena
}

// output collects what a process writes.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// newDaemon makes a home with a vault that testPassphrase opens, owned by uid, and
// starts nothing. config is the content of config.toml; empty means none.
func newDaemon(t *testing.T, uid int, config string) *daemon {
	t.Helper()
	d := emptyHome(t, uid)
	if config != "" {
		d.write(".config/nsagent/config.toml", config)
	}
	d.must("init", "--unlock", "passphrase", "--kdf", "low", "--passphrase-file", d.file("passphrase"))
	return d
}

// emptyHome is newDaemon without a vault.
func emptyHome(t *testing.T, uid int) *daemon {
	t.Helper()
	productPath(t)
	home, err := os.MkdirTemp("", "nsd") // short: it ends up in socket addresses
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	d := &daemon{t: t, uid: uid, home: home}
	d.env = []string{"HOME=" + home, "XDG_RUNTIME_DIR=" + filepath.Join(home, "run"), "PATH=" + os.Getenv("PATH"), "NSAGENT_NO_INPUT=1"}
	d.write("run/", "")
	d.write("passphrase", testPassphrase)
	env := map[string]string{"HOME": home, "XDG_RUNTIME_DIR": filepath.Join(home, "run")}
	if d.paths, err = socketpath.Find(socketpath.Options{Getenv: func(k string) string { return env[k] }}); err != nil {
		t.Fatal(err)
	}
	if d.arena, err = secret.NewArena(secret.ArenaConfig{Size: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.arena.Close() })
	return d
}

// beside returns another agent for the vault of d, which is not started, with sockets and a
// log of its own.
func (d *daemon) beside() *daemon {
	d.t.Helper()
	o := &daemon{t: d.t, uid: d.uid, home: d.home, arena: d.arena}
	env := map[string]string{"HOME": d.home, "XDG_RUNTIME_DIR": d.file("run2"), "XDG_STATE_HOME": d.file("state2")}
	o.write("run2/", "")
	o.env = slices.Clone(d.env)
	for k, v := range env {
		o.env = append(o.env, k+"="+v)
	}
	var err error
	if o.paths, err = socketpath.Find(socketpath.Options{Getenv: func(k string) string { return env[k] }}); err != nil {
		d.t.Fatal(err)
	}
	return o
}

// startDaemon is newDaemon with the agent started, as the user who runs the tests.
func startDaemon(t *testing.T, config string) *daemon {
	t.Helper()
	d := newDaemon(t, os.Geteuid(), config)
	d.start()
	return d
}

func (d *daemon) file(name string) string { return filepath.Join(d.home, name) }

// write writes a file of the home, or a directory where the name ends in a slash.
func (d *daemon) write(name, content string) {
	d.t.Helper()
	path := d.file(name)
	dir := filepath.Dir(path)
	if strings.HasSuffix(name, "/") {
		dir = path
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	if !strings.HasSuffix(name, "/") {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
	for ; len(path) >= len(d.home); path = filepath.Dir(path) {
		if err := os.Lchown(path, d.uid, d.uid); err != nil && d.uid != os.Geteuid() {
			d.t.Fatal(err)
		}
	}
}

// command is the product with arguments, as the user of the daemon.
func (d *daemon) command(args ...string) *exec.Cmd {
	c := exec.Command(productPath(d.t), args...) // #nosec G204 -- the program under test
	c.Dir, c.Env = d.home, d.env
	d.become(c)
	return c
}

func (d *daemon) become(c *exec.Cmd) {
	if d.uid != os.Geteuid() {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(d.uid), Gid: uint32(d.uid)}} // #nosec G115 -- a uid
	}
}

// must runs a command that has to succeed and returns its standard output.
func (d *daemon) must(args ...string) string {
	d.t.Helper()
	c := d.command(args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		d.t.Fatalf("nsagent %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// start starts the agent and waits until it answers. Whatever way the test ends,
// so does the agent.
func (d *daemon) start() {
	d.t.Helper()
	args := append(append([]string{}, d.wrap...), productPath(d.t), "agent", "run")
	d.supervisor = exec.Command(args[0], args[1:]...) // #nosec G204 -- the program under test
	d.supervisor.Dir, d.supervisor.Env = d.home, d.env
	d.supervisor.Stdout, d.supervisor.Stderr = &d.stdout, &d.stderr
	d.become(d.supervisor)
	if err := d.supervisor.Start(); err != nil {
		d.t.Fatal(err)
	}
	supervisor, ended := d.supervisor, make(chan error, 1)
	d.ended = ended
	go func() { ended <- supervisor.Wait(); close(ended) }()
	d.t.Cleanup(func() {
		_ = supervisor.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			_ = supervisor.Process.Kill()
			d.t.Error("the agent did not end")
		}
	})
	d.pid = 0
	eventually(d.t, 20*time.Second, func() string {
		select {
		case err := <-ended:
			d.t.Fatalf("the agent ended at once: %v\n%s", err, d.stderr.String())
		default:
		}
		pid, err := d.ask()
		if err != nil {
			return err.Error()
		}
		d.pid = pid
		return ""
	})
}

// running reports whether the supervisor has not ended.
func (d *daemon) running() bool {
	select {
	case <-d.ended:
		return false
	default:
		return d.ended != nil
	}
}

// ask returns the pid of the agent process, if it answers.
func (d *daemon) ask() (int, error) {
	if d.uid != os.Geteuid() { // the agent answers its own user only
		out, err := d.command("status", "-o", "json").Output()
		if err != nil {
			return 0, err
		}
		_, after, _ := strings.Cut(string(out), `"pid":`)
		return strconv.Atoi(strings.TrimSpace(after[:max(0, strings.IndexAny(after, ",}"))]))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.WithSocket(d.paths.Agent))
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	s, err := c.Status(ctx)
	return int(s.GetPid()), err
}

// stop asks the agent to end and waits until all of it has.
func (d *daemon) stop() {
	d.t.Helper()
	d.must("agent", "stop")
	d.awaitEnd()
}

func (d *daemon) awaitEnd() error {
	d.t.Helper()
	select {
	case err := <-d.ended:
		return err
	case <-time.After(15 * time.Second):
		d.t.Fatal("the agent did not end")
		return nil
	}
}

// kill ends the agent process as kill -9 does, and waits for the supervisor.
func (d *daemon) kill() {
	d.t.Helper()
	if err := syscall.Kill(d.pid, syscall.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
	_ = d.awaitEnd()
}

func (d *daemon) dial() *client.Client {
	d.t.Helper()
	c, err := client.Dial(d.t.Context(), client.WithSocket(d.paths.Agent))
	if err != nil {
		d.t.Fatalf("Dial: %v", err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (d *daemon) dialAdmin() *client.Admin {
	d.t.Helper()
	a, err := client.DialAdmin(d.t.Context(), client.WithSocket(d.paths.Admin))
	if err != nil {
		d.t.Fatalf("DialAdmin: %v", err)
	}
	d.t.Cleanup(func() { _ = a.Close() })
	return a
}

// unlock unlocks with the command line, which works for every user.
func (d *daemon) unlock() { d.t.Helper(); d.must("unlock", "--passphrase-file", d.file("passphrase")) }

// addTBA stores a profile with these secrets through the API.
func (d *daemon) addTBA(admin *client.Admin, name, consumerSecret, tokenSecret string) error {
	_, err := admin.AddProfile(d.t.Context(), tba(name), map[string]client.Sealer{
		"consumer_secret": sealWith(d.arena, consumerSecret), "token_secret": sealWith(d.arena, tokenSecret),
	})
	return err
}

// addByFile stores a profile with the command line.
func (d *daemon) addByFile(name, consumerSecret, tokenSecret string) {
	d.t.Helper()
	d.write("p.json", fmt.Sprintf(`{"account":"1234567_SB1","auth":"tba","consumer_key":%q,"consumer_secret":%q,"token_id":%q,"token_secret":%q}`,
		sample(1), consumerSecret, sample(3), tokenSecret))
	d.must("profile", "add", name, "--from", d.file("p.json"))
	if err := os.Remove(d.file("p.json")); err != nil {
		d.t.Fatal(err)
	}
}

// playSignMany signs many times at once and says how often each outcome came.
func playSignMany(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.WithSocket(args[0]))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	codes := make(chan string, n)
	for range n {
		go func() {
			_, err := c.Sign(ctx, client.Request{URL: args[2]})
			codes <- errorCode(err)
		}()
	}
	count := make(map[string]int)
	for range n {
		count[<-codes]++
	}
	for code, times := range count {
		fmt.Println(code, times)
	}
	return nil
}

// errorCode returns the code of a client's error, "ok" for none.
func errorCode(err error) string {
	if err == nil {
		return "ok"
	}
	if e := (*client.Error)(nil); errors.As(err, &e) {
		return string(e.Code)
	}
	return err.Error()
}
