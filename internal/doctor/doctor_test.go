package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/secret"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file of a machine below root.
func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

// complete wants of each finding what a reader needs.
func complete(t *testing.T, f Finding) {
	t.Helper()
	if f.Check == "" || f.Text == "" || (f.Level != OK) != (f.Fix != "") || f.Level == "" {
		t.Errorf("an incomplete finding: %+v", f)
	}
}

func TestDiscipline(t *testing.T) {
	for _, test := range []struct {
		steady bool
		err    error
		within time.Duration
		want   Level
	}{
		{true, nil, time.Millisecond, OK}, {true, nil, 16 * time.Second, OK}, {true, nil, 6 * time.Minute, Problem},
		{false, nil, 0, Warn}, {true, unix.ENOSYS, 0, Warn},
	} {
		f := discipline(test.steady, test.err, test.within)
		complete(t, f)
		if f.Level != test.want {
			t.Errorf("%+v: got %s", test, f.Level)
		}
	}
}

func TestBattery(t *testing.T) {
	for _, test := range []struct {
		ahead  time.Duration
		steady bool
		want   Level
	}{
		{0, false, OK}, {4 * time.Minute, false, OK}, {-6 * time.Minute, false, Problem}, {6 * time.Minute, false, Problem},
		{6 * time.Minute, true, OK}, {2*time.Hour + 3*time.Second, false, OK}, {-5*time.Hour - 30*time.Minute, false, OK},
		{2*time.Hour + 6*time.Minute, false, Problem}, {40 * 24 * time.Hour, false, Problem},
	} {
		f := battery(test.ahead, test.steady)
		complete(t, f)
		if f.Level != test.want {
			t.Errorf("%s ahead, steady %t: got %s (%s)", test.ahead, test.steady, f.Level, f.Text)
		}
	}
}

func TestBatteryIsRead(t *testing.T) {
	root := t.TempDir()
	write(t, root, "sys/class/rtc/rtc0/since_epoch", fmt.Sprintln(time.Now().Add(-41*24*time.Hour).Unix()))
	found := false
	for _, f := range (Host{Root: root}).Clock(nil) {
		found = found || f.Check == "clock.rtc" && strings.Contains(f.Text, "984h")
	}
	if !found {
		t.Errorf("got %+v", (Host{Root: root}).Clock(nil))
	}
}

func TestSeen(t *testing.T) {
	now := time.Now()
	marks := []Mark{{now.Add(-time.Hour), "an hour ago"}, {now.Add(2 * time.Minute), "nearly now"}}
	if f := seen(now, marks); f.Level != OK {
		t.Errorf("got %+v", f)
	}
	f := seen(now, append(marks, Mark{now.Add(time.Hour), "the vault was written"}, Mark{now.Add(6 * time.Minute), "something else was"}))
	complete(t, f)
	if f.Level != Problem || !strings.Contains(f.Text, "1h0m0s behind: then the vault was written") {
		t.Errorf("got %+v", f)
	}
}

// TestSwap builds the kernel's view of swap areas: the devices are real ones of this
// machine, by number.
func TestSwap(t *testing.T) {
	const head = "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n"
	root := t.TempDir()
	host := Host{Root: root}
	if f := host.Swap(); f.Level != OK {
		t.Errorf("no /proc/swaps: %+v", f)
	}
	write(t, root, "dev/swapfile", "")
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(root, "dev/swapfile"), &st))
	device := fmt.Sprintf("sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	for _, test := range []struct {
		name, areas string
		files       map[string]string
		want        Level
	}{
		{"none", "", nil, OK},
		{"zram", "/dev/zram0 partition 1 0 100\n", nil, OK},
		{"a device that is not known", "/dev/sdz9 partition 1 0 -2\n", nil, Warn},
		{"a file on an open disk", "/dev/swapfile file 1 0 -2\n", map[string]string{device + "/size": "1"}, Warn},
		{"a file on LVM on an open disk", "/dev/swapfile file 1 0 -2\n", map[string]string{device + "/dm/uuid": "LVM-abc", device + "/slaves/sda3/size": "1"}, Warn},
		{"a file on LVM on LUKS", "/dev/swapfile file 1 0 -2\n", map[string]string{device + "/slaves/dm-0/dm/uuid": "CRYPT-LUKS2-abc\n"}, OK},
		{"one of two is open", "/dev/zram0 partition 1 0 100\n/dev/sdz9 partition 1 0 -2\n", nil, Warn},
		{"a file on dm-crypt", "/dev/swapfile file 1 0 -2\n", map[string]string{device + "/dm/uuid": "CRYPT-PLAIN-swap\n"}, OK},
	} {
		must(t, os.RemoveAll(filepath.Join(root, "sys")))
		write(t, root, "proc/swaps", head+test.areas)
		for name, text := range test.files {
			write(t, root, name, text)
		}
		f := host.Swap()
		complete(t, f)
		if f.Level != test.want {
			t.Errorf("%s: got %+v", test.name, f)
		}
	}
}

func TestHibernation(t *testing.T) {
	root := t.TempDir()
	write(t, root, "sys/power/state", "freeze mem disk\n")
	write(t, root, "sys/power/resume", "0:0\n")
	if f := (Host{Root: root}).Hibernation(secret.ModeMlock); f.Level != OK {
		t.Errorf("not set up: %+v", f)
	}
	write(t, root, "sys/power/resume", "254:1\n")
	if f := (Host{Root: root}).Hibernation(secret.ModeMemfdSecret); f.Level != OK {
		t.Errorf("memfd_secret: %+v", f)
	}
	f := (Host{Root: root}).Hibernation(secret.ModeMlock)
	complete(t, f)
	if f.Level != Warn || !strings.Contains(f.Text, "254:1") {
		t.Errorf("mlock: %+v", f)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, mode := range map[string]os.FileMode{"good": 0o600, "read": 0o644, "group": 0o660, "all": 0o666} {
		must(t, os.WriteFile(at(name), nil, 0o600))
		must(t, os.Chmod(at(name), mode))
	}
	must(t, os.Mkdir(at("open"), 0o700))
	must(t, os.Chmod(at("open"), 0o755))
	must(t, os.Symlink("good", at("link")))
	for _, test := range []struct {
		name      string
		private   bool
		want      Level
		text, fix string
	}{
		{"good", true, OK, "all 1 are yours", ""},
		{"missing", true, OK, "none yet", ""},
		{"good/below", true, OK, "none yet", ""},
		{"read", false, OK, "all 1", ""},
		{"read", true, Problem, "can read the file (mode 0644)", "chmod 600 "},
		{"group", false, Problem, "can write the file (mode 0660)", "chmod 600 "},
		{"all", true, Problem, "can write the file", "chmod 600 "},
		{"open", true, Problem, "can read the file (mode 0755)", "chmod 700 "},
		{"link", false, Problem, "symbolic link", "put the file itself"},
	} {
		for _, f := range (Host{}).Files([]File{{at(test.name), "the file", test.private}}) {
			complete(t, f)
			if f.Level != test.want || !strings.Contains(f.Text, test.text) || !strings.Contains(f.Fix, test.fix) {
				t.Errorf("%s, private %t: got %+v", test.name, test.private, f)
			}
		}
	}
	fi, err := os.Lstat(at("good"))
	must(t, err)
	if f := (File{at("good"), "the file", true}).judge(fi, os.Geteuid()+1); f.Level != Problem || !strings.Contains(f.Fix, "sudo chown") {
		t.Errorf("another owner: got %+v", f)
	}
}

// TestThisMachine wants a sound answer to everything from the machine that it runs on.
func TestThisMachine(t *testing.T) {
	var h Host
	var all []Finding
	all = append(all, h.Clock(nil)...)
	all = append(all, h.Memory(secret.ModeAuto)...)
	all = append(all, h.Kernel()...)
	all = append(all, h.Swap(), h.Hibernation(secret.ModeMlock), h.Space(t.TempDir(), "the tests"), h.Space("/nowhere/at/all", "nothing"))
	if len(all) < 12 {
		t.Errorf("got %d findings", len(all))
	}
	for _, f := range all {
		complete(t, f)
		t.Logf("%+v", f)
	}
}
