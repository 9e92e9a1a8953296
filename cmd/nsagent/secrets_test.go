package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nsagent/nsagent/internal/keyringtest"
	"github.com/nsagent/nsagent/internal/memscan"
)

// cmdScan looks for copies of secrets in files, and in all that lies below
// directories, in every form that software leaves behind:
//
//	scan PATH... [-- NAME...]
//
// Without names it looks for the script's secrets, and for the passphrase. With ! in
// front, something must be found, which shows that it can be.
func cmdScan(ts *testscript.TestScript, neg bool, args []string) {
	names := []string{"PASS", "CS", "TS"}
	for i, a := range args {
		if a == "--" {
			names, args = args[i+1:], args[:i]
			break
		}
	}
	if len(args) == 0 {
		ts.Fatalf("usage: scan PATH... [-- NAME...]")
	}
	var needles []memscan.Needle
	for _, c := range stateOf(ts).canaries {
		if slices.Contains(names, c.name) {
			needles = append(needles, memscan.Needles(c.name, []byte(c.value))...)
		}
	}
	scanner, err := memscan.New(needles)
	ts.Check(err)
	hits, read := 0, uint64(0)
	look := func(r memscan.Report, err error) {
		ts.Check(err)
		hits += r.Total.Unlocked
		read += r.Scanned
		if r.Total.Unlocked > 0 && !neg {
			ts.Logf("%s", r)
		}
	}
	for _, arg := range args {
		if arg == "stdout" || arg == "stderr" {
			look(scanner.Reader(strings.NewReader(ts.ReadFile(arg)), arg))
			continue
		}
		ts.Check(filepath.WalkDir(ts.MkAbs(arg), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			look(scanner.Reader(f, path))
			return nil
		}))
	}
	switch {
	case hits > 0 && !neg:
		ts.Fatalf("found %d copies of secrets", hits)
	case hits == 0 && neg:
		ts.Fatalf("found no copy in %d bytes", read)
	}
}

// cmdKeyring gives the script an OS keyring of a kind that users have:
//
//	keyring unlocked|own|locked|nocollection|noservice|hanging|stale|none
//
// unlocked is one that scripts share, own is empty; stale leaves the address of a bus
// that is gone.
func cmdKeyring(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keyring KIND")
	}
	kinds := map[string]keyringtest.Kind{
		"own": keyringtest.Unlocked, "locked": keyringtest.Locked, "nocollection": keyringtest.NoCollection,
		"noservice": keyringtest.NoService, "hanging": keyringtest.Hanging, "stale": keyringtest.NoService,
	}
	switch kind, known := kinds[args[0]]; {
	case args[0] == "none":
		ts.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	case args[0] == "unlocked":
		s := stateOf(ts)
		if s.keyring == nil {
			// Each script has one of its own: gnome-keyring does not bear many programs
			// at once, and has died of them.
			var err error
			s.keyring, err = keyringtest.New(keyringtest.Unlocked)
			ts.Check(err)
			ts.Defer(func() { _ = s.keyring.Stop() })
		}
		ts.Setenv("DBUS_SESSION_BUS_ADDRESS", s.keyring.Address)
	case !known:
		ts.Fatalf("unknown keyring %q", args[0])
	default:
		s, err := keyringtest.New(kind)
		ts.Check(err)
		ts.Defer(func() { _ = s.Stop() })
		if args[0] == "stale" {
			ts.Check(s.StopBus())
		}
		ts.Setenv("DBUS_SESSION_BUS_ADDRESS", s.Address)
	}
}

// cmdM2M writes the JSON of an M2M profile with a key and a certificate of its own,
// whose private part is a secret by the name of KEY:
//
//	m2m FILE ACCOUNT [LIFE]
func cmdM2M(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: m2m FILE ACCOUNT [LIFE]")
	}
	life := time.Hour
	if len(args) > 2 {
		var err error
		life, err = time.ParseDuration(args[2])
		ts.Check(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "nsagent test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	scalar, err := key.Bytes()
	ts.Check(err)
	s := stateOf(ts)
	s.canaries = append(s.canaries, canary{"KEY", string(scalar)})
	text, err := json.Marshal(map[string]any{
		"account": args[1], "auth": "m2m", "client_id": randomHex(), "scopes": []string{"restlets", "rest_webservices"},
		"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})),
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}

// stopAgents ends an agent that a script has left in the background.
func (s *state) stopAgents(workDir, runtimeDir string) {
	for _, dir := range []string{filepath.Join(runtimeDir, "nsagent"), filepath.Join(workDir, "home/.local/state/nsagent/run")} {
		socket := filepath.Join(dir, "agent.sock")
		if _, err := os.Lstat(socket); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		stop := exec.Command(filepath.Join(shared.bin, "nsagent"), "agent", "stop", "--socket", socket)
		stop.Env = []string{"HOME=" + workDir}
		_ = stop.Run() // it may be a dead one's
	}
}
