package command

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
)

// Accounts of the demo.
const (
	demoSandbox    = "1234567_SB1"
	demoProduction = "1234567"
)

// Entity and role that the demo's certificates stand for.
const (
	demoEntity = "-5"
	demoRole   = 1000
)

// demoWorld is a home of its own with an agent in child processes and a NetSuite
// in this one. Its credentials are random and live as long as it does: they are
// canaries that the memory scan looks for.
type demoWorld struct {
	dir        string
	exe        string
	passphrase string
	config     nstest.Config
	keys       map[string]*ecdsa.PrivateKey // by account
	netsuite   *nstest.Server
	endpoint   *nstest.Endpoint
	web        *http.Client

	agent  *exec.Cmd
	client *client.Client
	pid    int // of the agent process
	// granted is the unlock token that the demo made last.
	granted []byte
}

func newDemoWorld() (*demoWorld, error) {
	w := &demoWorld{keys: make(map[string]*ecdsa.PrivateKey), passphrase: randomHex()}
	var err error
	if w.exe, err = os.Executable(); err != nil {
		return nil, err
	}
	if w.dir, err = os.MkdirTemp("", "nsagent-demo-"); err != nil {
		return nil, err
	}
	for _, id := range []string{demoSandbox, demoProduction} {
		a, err := w.newAccount(id)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.config.Accounts = append(w.config.Accounts, a)
	}
	w.netsuite = nstest.New(w.config)
	if w.endpoint, err = w.netsuite.ListenTLS("127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, w.close())
	}
	if err := os.WriteFile(w.caFile(), w.endpoint.CAPEM, 0o600); err != nil {
		return nil, errors.Join(err, w.close())
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.endpoint.CAPEM)
	w.web = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	return w, nil
}

func (w *demoWorld) caFile() string { return filepath.Join(w.dir, "ca.pem") }

// newAccount makes an account with random credentials.
func (w *demoWorld) newAccount(id string) (nstest.Account, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nstest.Account{}, err
	}
	w.keys[id] = key
	now := time.Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "nsagent demo"},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "nsagent demo"}}, key.Public(), key)
	if err != nil {
		return nstest.Account{}, err
	}
	i := nstest.Integration{Name: "demo", ConsumerKey: randomHex(), ConsumerSecret: randomHex(), Callbacks: []string{"http://localhost:*"}}
	return nstest.Account{
		ID: id, Customers: 25, Integrations: []nstest.Integration{i},
		Tokens: []nstest.Token{{TokenID: randomHex(), TokenSecret: randomHex(), ConsumerKey: i.ConsumerKey, Name: "demo"}},
		Certificates: []nstest.Certificate{{
			ClientID: i.ConsumerKey, PEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
			Entity: demoEntity, Role: strconv.Itoa(demoRole), Manage: true,
		}},
	}, nil
}

// randomHex returns 64 hex digits, the form of NetSuite's keys and secrets.
func randomHex() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// command returns nsagent with these arguments, in the home of the demo.
func (w *demoWorld) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, w.exe, args...) // #nosec G204 -- this very program
	c.Env = []string{
		"HOME=" + w.dir, "XDG_RUNTIME_DIR=" + filepath.Join(w.dir, "run"), "LANG=C.UTF-8", "NSAGENT_NO_INPUT=1", "PATH=" + os.Getenv("PATH"),
	}
	c.Dir = w.dir
	return c
}

// nsagent runs a command of the command line with input on stdin.
func (w *demoWorld) nsagent(ctx context.Context, input []byte, args ...string) (stdout []byte, err error) {
	c := w.command(ctx, args...)
	c.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("nsagent %s: %w: %s", args[0], err, oneLine(stderr.String()))
	}
	return out, nil
}

func (w *demoWorld) vault(ctx context.Context) (string, error) {
	_, err := w.nsagent(ctx, []byte(w.passphrase+"\n"), "init", "--unlock", "passphrase", "--passphrase-fd", "0", "--kdf", "low")
	return "made, sealed by a passphrase", err
}

func (w *demoWorld) startAgent(ctx context.Context) (string, error) {
	w.agent = w.command(context.WithoutCancel(ctx), "agent", "run")
	w.agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	w.agent.Stderr = io.Discard
	if err := w.agent.Start(); err != nil {
		return "", err
	}
	socket := filepath.Join(w.dir, "run", "nsagent", "agent.sock")
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if w.client, err = client.Dial(ctx, client.WithSocket(socket)); err == nil {
			break
		}
	}
	if err != nil {
		return "", err
	}
	st, err := w.client.Status(ctx)
	if err != nil {
		return "", err
	}
	w.pid = int(st.GetPid())
	return fmt.Sprintf("runs, sandboxed: %s; memory: %s", sandbox(st.GetSandbox()), st.GetMemory().GetGrade()), nil
}

func (w *demoWorld) unlock(ctx context.Context) (string, error) {
	_, err := w.nsagent(ctx, []byte(w.passphrase+"\n"), "unlock", "--passphrase-fd", "0")
	return "unlocked", err
}

func (w *demoWorld) addProfiles(ctx context.Context) (string, error) {
	names := map[string]string{demoSandbox: "demo-sb1", demoProduction: "demo-prod"}
	for _, a := range w.config.Accounts {
		name := names[a.ID]
		tba := sampleProfile{
			Account: a.ID, Auth: "tba", ConsumerKey: a.Tokens[0].ConsumerKey, ConsumerSecret: a.Integrations[0].ConsumerSecret,
			TokenID: a.Tokens[0].TokenID, TokenSecret: a.Tokens[0].TokenSecret, Endpoint: w.endpoint.URL, CAFile: w.caFile(),
		}
		key, err := x509.MarshalPKCS8PrivateKey(w.keys[a.ID])
		if err != nil {
			return "", err
		}
		m2m := sampleProfile{
			Account: a.ID, Auth: "m2m", ClientID: a.Certificates[0].ClientID, Certificate: a.Certificates[0].PEM,
			PrivateKey: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), Scopes: []string{"rest_webservices"},
			Endpoint: w.endpoint.URL, CAFile: w.caFile(),
		}
		for name, p := range map[string]sampleProfile{name: tba, name + "-m2m": m2m} {
			text, err := json.Marshal(p)
			if err != nil {
				return "", err
			}
			if _, err := w.nsagent(ctx, text, "profile", "add", name, "--from", "-"); err != nil {
				return "", err
			}
		}
	}
	return "demo-sb1 (SANDBOX), demo-prod (PRODUCTION, read only), each also for M2M", nil
}

func (w *demoWorld) lock(ctx context.Context) (string, error) {
	if _, err := w.nsagent(ctx, nil, "lock"); err != nil {
		return "", err
	}
	if _, err := w.client.Sign(ctx, client.Request{Profile: "demo-sb1", URL: w.endpoint.URL + "/"}); !errors.Is(err, client.ErrLocked) {
		return "", unexpected("it still signs: %v", err)
	}
	return "locked; it signs nothing", nil
}

func (w *demoWorld) stopAgent(ctx context.Context) (string, error) {
	if _, err := w.nsagent(ctx, nil, "agent", "stop"); err != nil {
		return "", err
	}
	err := w.agent.Wait()
	w.agent = nil
	return "the agent ended", err
}

// close ends what still runs and removes the home.
func (w *demoWorld) close() error {
	clear(w.granted)
	if w.client != nil {
		_ = w.client.Close()
	}
	if w.agent != nil && w.agent.Process != nil {
		_ = w.agent.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(5*time.Second, func() { _ = w.agent.Process.Kill() })
		_ = w.agent.Wait()
		kill.Stop()
	}
	if w.endpoint != nil {
		_ = w.endpoint.Close()
	}
	return os.RemoveAll(w.dir)
}
