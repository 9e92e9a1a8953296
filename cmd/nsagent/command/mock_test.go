package command

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nsagent/nsagent/client/nstest"
)

// A script starts the mock in the background and waits for the file that it wants;
// the next one it reads has to be there, too.
func TestSampleProfilesAppearAtOnce(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "samples")
	cfg := nstest.DemoConfig()
	ep := &nstest.Endpoint{URL: "http://127.0.0.1:1"}
	broken := cfg
	broken.Accounts = append(broken.Accounts[:len(broken.Accounts):len(broken.Accounts)], cfg.Accounts[0])
	broken.Accounts[len(cfg.Accounts)].ID = strings.Repeat("9", 300) // longer than the name of a file may be
	if err := writeSampleProfiles(dir, ep, broken); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Fatalf("writing a file that cannot be written: %v", err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
		t.Fatalf("after a file that could not be written %v is there (%v)", left, err)
	}
	if err := writeSampleProfiles(dir, ep, cfg); err != nil {
		t.Fatal(err)
	}
	want := len(sampleProfiles(ep.URL, "", cfg))
	if got, err := os.ReadDir(dir); err != nil || len(got) != want {
		t.Fatalf("%d files are there, %d profiles (%v)", len(got), want, err)
	}
}

// Of a directory that is there, what is not the mock's stays.
func TestSampleProfilesInADirectoryThatIsThere(t *testing.T) {
	dir := t.TempDir()
	cfg := nstest.DemoConfig()
	for name, content := range map[string]string{"1234567.json": "of the last run", "notes": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeSampleProfiles(dir, &nstest.Endpoint{URL: "http://127.0.0.1:2"}, cfg); err != nil {
		t.Fatal(err)
	}
	profile, err := os.ReadFile(filepath.Join(dir, "1234567.json"))
	if err != nil || !strings.Contains(string(profile), "http://127.0.0.1:2") {
		t.Errorf("the profile of the last run is still there: %s (%v)", profile, err)
	}
	if notes, err := os.ReadFile(filepath.Join(dir, "notes")); err != nil || string(notes) != "mine" {
		t.Errorf("another file is %q (%v)", notes, err)
	}
	if got, err := os.ReadDir(dir); err != nil || len(got) != len(sampleProfiles("", "", cfg))+1 {
		t.Errorf("the directory has %v (%v)", got, err)
	}
	err = writeSampleProfiles(filepath.Join(dir, "notes"), &nstest.Endpoint{}, cfg)
	var wrong *fs.PathError
	if !errors.As(err, &wrong) || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file where the directory should be: %v", err)
	}
}
