package tokenenv_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/tokenenv"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const tokenText = "nst1_example\n"

// descriptor returns a descriptor of a file, which belongs to whoever takes it.
func descriptor(t *testing.T, path string) string {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY, 0) // as it is inherited
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(fd)
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// take sets variables and takes a token by them; none of them is left.
func take(t *testing.T, kind tokenenv.Kind, env map[string]string) (*tokenenv.Source, error) {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	s, err := kind.Take()
	for name := range env {
		if _, there := os.LookupEnv(name); there && strings.HasPrefix(name, "NSAGENT") {
			t.Errorf("a child would inherit %s", name)
		}
	}
	return s, err
}

// A token comes as the value of a variable, in a file or at a descriptor: read by this
// process, or by another that it is opened for.
func TestEachWayGivesTheToken(t *testing.T) {
	file := written(t, tokenText)
	for name, c := range map[string]struct {
		kind  tokenenv.Kind
		value func() string
	}{
		"NSAGENT_TOKEN":           {tokenenv.UnlockToken(), func() string { return tokenText }},
		"NSAGENT_TOKEN_FILE":      {tokenenv.UnlockToken(), func() string { return file }},
		"NSAGENT_TOKEN_FD":        {tokenenv.UnlockToken(), func() string { return descriptor(t, file) }},
		"NSAGENT_OIDC_TOKEN_FILE": {tokenenv.IDToken(), func() string { return file }},
		"NSAGENT_OIDC_TOKEN_FD":   {tokenenv.IDToken(), func() string { return descriptor(t, file) }},
	} {
		for way, read := range map[string]func(*tokenenv.Source) ([]byte, error){
			"read": func(s *tokenenv.Source) ([]byte, error) { return s.Read() },
			"opened": func(s *tokenenv.Source) ([]byte, error) {
				f, err := s.Open()
				if err != nil {
					return nil, err
				}
				defer func() { _ = f.Close() }()
				return io.ReadAll(f)
			},
		} {
			s, err := take(t, c.kind, map[string]string{name: c.value()})
			if err != nil || s == nil || s.Variable != name {
				t.Fatalf("%s: got %+v, %v", name, s, err)
			}
			if text, err := read(s); err != nil || string(text) != tokenText {
				t.Errorf("%s, %s: got %q, %v", name, way, text, err)
			}
			if again, err := c.kind.Take(); again != nil || err != nil {
				t.Errorf("%s: taken again: got %v, %v", name, again, err)
			}
		}
	}
}

// A file that is longer than a token may be is read no further than it takes to tell.
func TestLongFilesAreCut(t *testing.T) {
	s, err := take(t, tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FILE": written(t, strings.Repeat("x", unlocktoken.MaxText+100))})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := s.Read(); err != nil || len(text) != unlocktoken.MaxText+3 {
		t.Errorf("got %d bytes, %v", len(text), err)
	}
}

// What cannot give a token is refused with its reason, and the variables are gone all the
// same.
func TestRefusals(t *testing.T) {
	file := written(t, tokenText)
	ours, err := os.Open(file) // #nosec G304 -- of this test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	for name, c := range map[string]struct {
		kind tokenenv.Kind
		env  map[string]string
		want tokenenv.Error // without its cause
	}{
		"two ways": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN": tokenText, "NSAGENT_TOKEN_FILE": file},
			tokenenv.Error{Code: pb.CodeUsage, Message: "more than one unlock token is named", Why: "of NSAGENT_TOKEN, NSAGENT_TOKEN_FILE and NSAGENT_TOKEN_FD one counts", Next: "set one of them"}},
		"three ways": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN": "", "NSAGENT_TOKEN_FILE": file, "NSAGENT_TOKEN_FD": "3"},
			tokenenv.Error{Code: pb.CodeUsage, Message: "more than one unlock token is named", Why: "of NSAGENT_TOKEN, NSAGENT_TOKEN_FILE and NSAGENT_TOKEN_FD one counts", Next: "set one of them"}},
		"two ways of a job": {tokenenv.IDToken(), map[string]string{"NSAGENT_OIDC_TOKEN_FILE": file, "NSAGENT_OIDC_TOKEN_FD": "99"},
			tokenenv.Error{Code: pb.CodeUsage, Message: "more than one ID token of the job is named", Why: "of NSAGENT_OIDC_TOKEN_FILE and NSAGENT_OIDC_TOKEN_FD one counts", Next: "set one of them"}},
		"empty": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN": "", "GITHUB_EVENT_NAME": "push"},
			tokenenv.Error{Code: pb.CodeLocked, Message: "NSAGENT_TOKEN is set, and empty", Why: "the job has no such secret", Next: "give it as a secret of the job:  nsagent help ci"}},
		"empty for a fork": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FILE": "", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": ""},
			tokenenv.Error{Code: pb.CodeLocked, Message: "NSAGENT_TOKEN_FILE is set, and empty", Why: "GitHub does not pass secrets to workflows from forks, nor to Dependabot's", Next: "give it as a secret of the job:  nsagent help ci"}},
		"empty ID token": {tokenenv.IDToken(), map[string]string{"NSAGENT_OIDC_TOKEN_FILE": "", "GITHUB_EVENT_NAME": "pull_request"},
			tokenenv.Error{Code: pb.CodeGrant, Message: "NSAGENT_OIDC_TOKEN_FILE is set, and empty", Why: "the CI service has given none", Next: "see how to get one:  nsagent help ci"}},
		"no file": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FILE": "/nowhere"},
			tokenenv.Error{Code: pb.CodeGrant, Message: "the unlock token cannot be used", Why: "the file that NSAGENT_TOKEN_FILE names cannot be read: no such file or directory", Next: `see who may read it:  ls -l "/nowhere"`}},
		"a directory": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FILE": "/"},
			tokenenv.Error{Code: pb.CodeGrant, Message: "the unlock token cannot be used", Why: "the file that NSAGENT_TOKEN_FILE names cannot be read: is a directory", Next: `see who may read it:  ls -l "/"`}},
		"no file of a job": {tokenenv.IDToken(), map[string]string{"NSAGENT_OIDC_TOKEN_FILE": "/nowhere"},
			tokenenv.Error{Code: pb.CodeGrant, Message: "the ID token of the job cannot be used", Why: "the file that NSAGENT_OIDC_TOKEN_FILE names cannot be read: no such file or directory", Next: `see who may read it:  ls -l "/nowhere"`}},
		"no descriptor": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FD": "999"},
			tokenenv.Error{Code: pb.CodeGrant, Message: "the unlock token cannot be used", Why: "what NSAGENT_TOKEN_FD names cannot be read: bad file descriptor", Next: "give it so:  NSAGENT_TOKEN_FD=3 nsagent … 3< FILE"}},
		"a directory by descriptor": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FD": descriptor(t, "/")},
			tokenenv.Error{Code: pb.CodeGrant, Message: "the unlock token cannot be used", Why: "what NSAGENT_TOKEN_FD names cannot be read: is a directory", Next: "give it as it was printed, one line from nst1_ on"}},
		"a descriptor of this program": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FD": strconv.Itoa(int(ours.Fd()))},
			tokenenv.Error{Code: pb.CodeGrant, Message: "the unlock token cannot be used", Why: "what NSAGENT_TOKEN_FD names cannot be read: it was opened by this program itself", Next: "give it so:  NSAGENT_TOKEN_FD=3 nsagent … 3< FILE"}},
		"no descriptor by its path": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FILE": "/dev/fd/999"},
			tokenenv.Error{Code: pb.CodeGrant, Message: "the unlock token cannot be used", Why: "the file that NSAGENT_TOKEN_FILE names cannot be read: bad file descriptor", Next: `see who may read it:  ls -l "/dev/fd/999"`}},
		"no number of one": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FILE": "/dev/fd/x"},
			tokenenv.Error{Code: pb.CodeGrant, Message: "the unlock token cannot be used", Why: "the file that NSAGENT_TOKEN_FILE names cannot be read: no such file or directory", Next: `see who may read it:  ls -l "/dev/fd/x"`}},
		"a path with the dots of an ID token": {tokenenv.IDToken(), map[string]string{"NSAGENT_OIDC_TOKEN_FILE": "/nowhere/a.b.c"},
			tokenenv.Error{Code: pb.CodeGrant, Message: "the ID token of the job cannot be used", Why: "the file that NSAGENT_OIDC_TOKEN_FILE names cannot be read: no such file or directory", Next: `see who may read it:  ls -l "/nowhere/a.b.c"`}},
		"a path that begins like one": {tokenenv.IDToken(), map[string]string{"NSAGENT_OIDC_TOKEN_FILE": "eyJ.token"},
			tokenenv.Error{Code: pb.CodeGrant, Message: "the ID token of the job cannot be used", Why: "the file that NSAGENT_OIDC_TOKEN_FILE names cannot be read: no such file or directory", Next: `see who may read it:  ls -l "eyJ.token"`}},
		"standard output by its path": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FILE": "/dev/fd/1"},
			tokenenv.Error{Code: pb.CodeGrant, Message: "the unlock token cannot be used", Why: "the file that NSAGENT_TOKEN_FILE names cannot be read: it is standard output, or where errors go", Next: `see who may read it:  ls -l "/dev/fd/1"`}},
		"standard output": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FD": "1"},
			tokenenv.Error{Code: pb.CodeUsage, Message: "NSAGENT_TOKEN_FD is not the number of a descriptor to read from", Why: "it is 0, or a number from 3 to 65535", Next: "give it so:  NSAGENT_TOKEN_FD=3 nsagent … 3< FILE"}},
		"standard error": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FD": "2"},
			tokenenv.Error{Code: pb.CodeUsage, Message: "NSAGENT_TOKEN_FD is not the number of a descriptor to read from", Why: "it is 0, or a number from 3 to 65535", Next: "give it so:  NSAGENT_TOKEN_FD=3 nsagent … 3< FILE"}},
		"too large a number": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FD": "65536"},
			tokenenv.Error{Code: pb.CodeUsage, Message: "NSAGENT_TOKEN_FD is not the number of a descriptor to read from", Why: "it is 0, or a number from 3 to 65535", Next: "give it so:  NSAGENT_TOKEN_FD=3 nsagent … 3< FILE"}},
		"no number": {tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FD": "-1"},
			tokenenv.Error{Code: pb.CodeUsage, Message: "NSAGENT_TOKEN_FD is not the number of a descriptor to read from", Why: "it is 0, or a number from 3 to 65535", Next: "give it so:  NSAGENT_TOKEN_FD=3 nsagent … 3< FILE"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := take(t, c.kind, c.env)
			if err == nil {
				_, err = s.Read()
			}
			got, ok := errors.AsType[*tokenenv.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			without := *got
			without.Cause = nil
			if without != c.want || got.Error() != c.want.Message+": "+c.want.Why {
				t.Errorf("got %+v, want %+v", without, c.want)
			}
		})
	}
}

// input has standard input read a file from its beginning.
func input(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path) // #nosec G304 -- of this test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.Dup2(int(f.Fd()), 0); err != nil { // #nosec G115 -- a descriptor
		t.Fatal(err)
	}
}

// TestDescriptorsAreTaken: once a token is read at a descriptor, no program that is run has
// what it was read from. Standard input is open still, and empty: the next file that is opened
// would take its number.
func TestDescriptorsAreTaken(t *testing.T) {
	file := written(t, tokenText)
	defer input(t, os.DevNull)
	for name, value := range map[string]string{"NSAGENT_TOKEN_FD": "0", "NSAGENT_TOKEN_FILE": "/dev/stdin"} {
		input(t, file)
		s, err := take(t, tokenenv.UnlockToken(), map[string]string{name: value})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := s.Read(); err != nil || string(text) != tokenText {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
		if left, err := os.ReadFile("/proc/self/fd/0"); err != nil || len(left) != 0 {
			t.Errorf("%s: a program that is run reads %q, %v", name, left, err)
		}
	}
	for name, value := range map[string]string{"NSAGENT_TOKEN_FD": "", "NSAGENT_TOKEN_FILE": "/dev/fd/", "NSAGENT_OIDC_TOKEN_FILE": "/proc/self/fd/"} {
		other, kind := descriptor(t, file), tokenenv.UnlockToken()
		if name == "NSAGENT_OIDC_TOKEN_FILE" {
			kind = tokenenv.IDToken()
		}
		s, err := take(t, kind, map[string]string{name: value + other})
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(other)
		if _, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err == nil { // #nosec G115 -- a descriptor
			t.Errorf("%s: descriptor %s is open still", name, other)
		}
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: what is opened is inherited: %x, %v", name, flags, err)
		}
		if text, err := io.ReadAll(f); err != nil || string(text) != tokenText {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
		_ = f.Close()
	}
}

// A value that is too long for a token is not passed on.
func TestLongValuesAreNotOpened(t *testing.T) {
	for n, want := range map[int]bool{unlocktoken.MaxText + 2: true, unlocktoken.MaxText + 3: false} {
		s, err := take(t, tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN": strings.Repeat("x", n)})
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Open()
		if (err == nil) != want || err != nil && err.Error() != "the unlock token cannot be used: in NSAGENT_TOKEN: it is too long" {
			t.Errorf("%d bytes: got %v", n, err)
		}
		if f != nil {
			_ = f.Close()
		}
	}
}

// What only looks like the path of a descriptor is a file, there or not.
func TestFilesWithNumbersForNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0")
	if err := os.Rename(written(t, tokenText), path); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{path: tokenText, "/dev/fd/x": ""} {
		s, err := take(t, tokenenv.UnlockToken(), map[string]string{"NSAGENT_TOKEN_FILE": value})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := s.Read(); string(text) != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v", value, text, err)
		}
	}
}

// withDescriptors calls do while the process may open that many descriptors more.
func withDescriptors(t *testing.T, more uint64, do func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(f.Fd())
	_ = f.Close()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: next + more, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	do()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

// TestOpenWithoutDescriptors: where there is no room for another descriptor there is an error,
// and not a token that is none; standard input is as it was.
func TestOpenWithoutDescriptors(t *testing.T) {
	file := written(t, tokenText)
	input(t, file)
	defer input(t, os.DevNull)
	for name, c := range map[string]struct {
		variable, value string
		more            uint64
		want            string
	}{
		"a pipe":               {"NSAGENT_TOKEN", tokenText, 1, "too many open files"},
		"a descriptor":         {"NSAGENT_TOKEN_FD", descriptor(t, file), 0, "cannot be read: "},
		"standard input":       {"NSAGENT_TOKEN_FD", "0", 0, "cannot be read: "},
		"what takes its place": {"NSAGENT_TOKEN_FD", "0", 1, "putting /dev/null in its place: open /dev/null: too many open files"},
	} {
		s, err := take(t, tokenenv.UnlockToken(), map[string]string{c.variable: c.value})
		if err != nil {
			t.Fatal(err)
		}
		var f *os.File
		withDescriptors(t, c.more, func() { f, err = s.Open() })
		if f != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v", name, f, err)
		}
	}
	if left, err := os.ReadFile("/proc/self/fd/0"); err != nil || string(left) != tokenText {
		t.Errorf("standard input has %q, %v", left, err)
	}
}

// The text of a token may end in one line end, of either kind. What is wrong with one, and
// where it is, is said without its text.
func TestParse(t *testing.T) {
	b, err := os.ReadFile("../unlocktoken/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Tokens []struct{ Text string }
	}
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors.Tokens) == 0 {
		t.Fatalf("%d tokens, %v", len(vectors.Tokens), err)
	}
	good := vectors.Tokens[0].Text
	for end, want := range map[string]bool{"": true, "\n": true, "\r\n": true, "\r": true, "\n\n": true, " ": false} {
		token, err := tokenenv.Parse([]byte(good+end), "NSAGENT_TOKEN")
		if (err == nil) != want || err == nil && string(token.Text()) != good {
			t.Errorf("with %q behind it: got %v", end, err)
		}
	}
	for text, why := range map[string]string{
		"nst2_x":           "in a file: it does not start with nst1_",
		good[:len(good)-1]: "in a file: ",
		good + good:        "in a file: ",
	} {
		token, err := tokenenv.Parse([]byte(text), "a file")
		e, ok := errors.AsType[*tokenenv.Error](err)
		if token != nil || !ok || e.Code != pb.CodeGrant || !strings.HasPrefix(e.Why, why) || strings.Contains(e.Error(), text) || !errors.Is(e.Cause, unlocktoken.ErrFormat) {
			t.Errorf("%.10s…: got %v, %+v", text, token, e)
		}
	}
}
