// Package browsertest runs a real Chromium without a screen for tests, and drives it
// by the WebDriver protocol over HTTP.
//
// Each Browser has a chromedriver and a profile of its own, and ends with the test.
//
// Source: W3C WebDriver, https://www.w3.org/TR/webdriver2/; chromedriver's
// /goog/cdp/execute for what WebDriver lacks.
package browsertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/needs"
)

// ErrMissing means that Chromium or its driver is not installed.
var ErrMissing = errors.New("browsertest: needs chromium and chromedriver (packages chromium and chromium-driver)")

// callTime bounds one call of the driver; starting Chromium on a busy machine is the
// slowest.
const callTime = 90 * time.Second

// Browser is one Chromium.
type Browser struct {
	tb      testing.TB
	driver  *exec.Cmd
	web     *http.Client
	session string // URL of the session
}

// Start returns a browser that ends with the test. Where it is not installed the test
// is skipped, or fails if NSAGENT_TEST_REQUIRE names browser or all.
func Start(tb testing.TB) *Browser {
	tb.Helper()
	for _, program := range []string{"chromium", "chromedriver"} {
		if _, err := exec.LookPath(program); err != nil {
			needs.Missing(tb, "browser", ErrMissing.Error())
		}
	}
	b := &Browser{tb: tb, web: &http.Client{Timeout: callTime, Transport: &http.Transport{}}}
	if err := b.start(); err != nil {
		tb.Fatalf("starting Chromium: %v", err)
	}
	return b
}

var portLine = regexp.MustCompile(`started successfully on port (\d+)`)

func (b *Browser) start() error {
	home, err := os.MkdirTemp("", "nsweb")
	if err != nil {
		return err
	}
	b.tb.Cleanup(func() { _ = os.RemoveAll(home) })
	b.driver = exec.Command("chromedriver", "--port=0")
	b.driver.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "LANG=C.UTF-8"}
	b.driver.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Chromium's processes go with it
	out, err := b.driver.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.driver.Start(); err != nil {
		return err
	}
	b.tb.Cleanup(b.end)
	address := ""
	lines := bufio.NewScanner(out)
	for address == "" && lines.Scan() {
		if m := portLine.FindStringSubmatch(lines.Text()); m != nil {
			address = "http://127.0.0.1:" + m[1]
		}
	}
	if address == "" {
		return errors.New("chromedriver does not say where it listens")
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	args := []string{
		"--headless=new", "--user-data-dir=" + filepath.Join(home, "profile"), "--window-size=900,700", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-sync",
		"--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
	}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium has none for root
	}
	var made struct {
		SessionID string `json:"sessionId"`
	}
	err = b.call(http.MethodPost, address+"/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"browserName": "chrome", "acceptInsecureCerts": false,
		"goog:chromeOptions": map[string]any{"args": args},
		"goog:loggingPrefs":  map[string]any{"browser": "ALL", "performance": "ALL"},
	}}}, &made)
	if err != nil {
		return err
	}
	b.session = address + "/session/" + made.SessionID
	return nil
}

// end closes Chromium, and kills what is left of it.
func (b *Browser) end() {
	if b.session != "" {
		_ = b.call(http.MethodDelete, b.session, nil, nil)
	}
	_ = syscall.Kill(-b.driver.Process.Pid, syscall.SIGKILL) // the group is ours
	_ = b.driver.Wait()
	b.web.CloseIdleConnections()
}

// call makes one call of the driver and reads the value of its answer into to.
func (b *Browser) call(method, url string, params, to any) error {
	var body io.Reader
	if method == http.MethodPost {
		if params == nil {
			params = struct{}{}
		}
		text, err := json.Marshal(params)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(b.tb.Context(), method, url, body)
	if method == http.MethodDelete { // at the end, when the test's context is over
		r, err = http.NewRequest(method, url, nil)
	}
	if err != nil {
		return err
	}
	answer, err := b.web.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	var value struct{ Value json.RawMessage }
	if err := json.NewDecoder(answer.Body).Decode(&value); err != nil {
		return fmt.Errorf("reading the driver's answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		var fault struct{ Error, Message string }
		_ = json.Unmarshal(value.Value, &fault)
		first, _, _ := strings.Cut(fault.Message, "\n")
		return fmt.Errorf("%s: %s", fault.Error, first)
	}
	if to == nil {
		return nil
	}
	return json.Unmarshal(value.Value, to)
}

// do is call for the session; what fails ends the test.
func (b *Browser) do(method, path string, params, to any) {
	b.tb.Helper()
	if err := b.call(method, b.session+path, params, to); err != nil {
		b.tb.Fatalf("browser: %s %s: %v", method, path, err)
	}
}
