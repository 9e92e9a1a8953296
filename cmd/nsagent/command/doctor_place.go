package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/nsagent/nsagent/internal/doctor"
	"github.com/nsagent/nsagent/internal/pinentry"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/vault/store"
)

// examinePlace looks at where everything is. The error says why that is not known.
func (e *env) examinePlace(host doctor.Host) (socketpath.Paths, []doctor.Finding, error) {
	p, err := e.paths()
	if err != nil {
		return p, nil, err
	}
	var out []doctor.Finding
	if p.RuntimeFallback && !p.SocketNamed {
		out = append(out, doctor.Finding{Check: "place", Level: doctor.OK, Text: "XDG_RUNTIME_DIR is not set; the sockets are in " + p.RuntimeDir})
	}
	for _, dir := range []string{p.DataDir, p.Vault + store.BlobSuffix, p.StateDir, p.AuditDir, filepath.Dir(p.Agent), filepath.Dir(p.Admin)} {
		if f, bad := examineDir(dir); bad && (len(out) == 0 || out[len(out)-1] != f) {
			out = append(out, f)
		}
	}
	files := []doctor.File{
		{Path: p.Vault, What: "the vault", Private: true},
		{Path: p.Vault + ".prev", What: "the vault's copy", Private: true},
		{Path: p.Ledger, What: "the ledger", Private: true},
		{Path: p.MachineKey, What: "the machine key", Private: true},
		{Path: p.LogFile, What: "the agent's log", Private: true},
		{Path: p.NoteFile, What: "the agent's note of its sockets", Private: true},
		{Path: p.ConfigFile, What: "config.toml"},
		{Path: p.PolicyFile, What: "policy.toml"},
	}
	for _, path := range auditFiles(p) {
		files = append(files, doctor.File{Path: path, What: filepath.Base(path), Private: true})
	}
	out = append(out, host.Files(files)...)
	return p, append(out, host.Space(p.DataDir, "the vault"), host.Space(p.StateDir, "the audit log")), nil
}

// examineDir says what is wrong with a directory of ours. One that is not there is
// made when it is needed.
func examineDir(dir string) (f doctor.Finding, bad bool) {
	err := socketpath.CheckDir(dir)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return f, false
	}
	text, fix, found := strings.Cut(strings.TrimPrefix(plain(err), "unsafe place: "), "; ")
	if !found {
		fix = "look at it:  namei -l " + dir
	}
	return doctor.Finding{Check: "files", Level: doctor.Problem, Text: text, Why: "nsagent does not use " + dir, Fix: strings.Replace(fix, "run: ", "run:  ", 1)}, true
}

func auditFiles(p socketpath.Paths) []string {
	paths, _ := filepath.Glob(filepath.Join(p.AuditDir, "*")) // the pattern is well-formed
	return paths
}

// marks are instants that a right clock is not behind.
func marks(p socketpath.Paths) []doctor.Mark {
	var out []doctor.Mark
	for _, path := range append(auditFiles(p), p.Vault) {
		if m, there := doctor.Modified(path, filepath.Base(path)+" was written"); there {
			out = append(out, m)
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				out = append(out, doctor.Mark{Time: t, What: "this program was made"})
			}
		}
	}
	return out
}

// examinePinentry looks at the program that asks for approvals, where one is set.
func examinePinentry(path string) []doctor.Finding {
	if path == "" {
		return nil
	}
	program, err := pinentry.Find(path)
	if err != nil {
		return []doctor.Finding{{Check: "pinentry", Level: doctor.Problem, Text: "no window asks for approvals", Why: plain(err),
			Fix: "have root install one:  sudo apt-get install pinentry-gnome3   (then: pinentry = \"/usr/bin/pinentry-gnome3\" in config.toml)"}}
	}
	return []doctor.Finding{{Check: "pinentry", Level: doctor.OK, Text: program + " asks for approvals"}}
}

// modeOf returns the kind of memory that was had, from the finding about it.
func modeOf(memory []doctor.Finding) secret.Mode {
	for _, f := range memory {
		if f.Check == "memory.mode" && strings.Contains(f.Text, string(secret.ModeMemfdSecret)+" ") {
			return secret.ModeMemfdSecret
		}
	}
	return secret.ModeMlock
}

// tools looks for programs that the examples of the help call.
func tools(getenv func(string) string) []doctor.Finding {
	curl := doctor.Finding{Check: "tools.curl", Level: doctor.OK, Text: "there"}
	if _, err := exec.LookPath("curl"); err != nil {
		curl = doctor.Finding{Check: "tools.curl", Level: doctor.Warn, Text: "there is no curl in PATH", Why: "nsagent does without; the examples of its help do not",
			Fix: "install it:  sudo apt-get install curl"}
	}
	systemd := doctor.Finding{Check: "tools.systemd", Level: doctor.OK, Text: "no user manager here; nsagent agent start does without"}
	if dir := managerOf(getenv); dir != "" {
		systemd.Text = fmt.Sprintf("the user manager runs (%s)", dir)
	}
	return []doctor.Finding{curl, systemd}
}
