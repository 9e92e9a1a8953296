package command

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client/nstest"
)

type mockOptions struct {
	listen, config, profiles string
	tls                      bool
}

func newMock(e *env) *cobra.Command {
	var o mockOptions
	c := &cobra.Command{
		Use:   "mock",
		Short: "Serve a NetSuite for tests that says why it refuses",
		Long: `Serve a NetSuite for tests on the loopback interface, until interrupted. It
checks every signature with code of its own and prints the precise reason of
each verdict. Without --config it has two accounts with published sample keys;
--profiles writes them as files for  nsagent profile add NAME --from FILE  and
for  nsagent login NAME --from FILE.`,
		Example: `  nsagent mock --profiles samples
  nsagent mock --tls --config accounts.json -o jsonl`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runMock(c, e, o) },
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "listen on `ADDRESS`")
	f.StringVar(&o.config, "config", "", "take accounts, tokens and certificates from the JSON `FILE`")
	f.StringVar(&o.profiles, "profiles", "", "write the profiles to `DIR`, for profile add")
	f.BoolVar(&o.tls, "tls", false, "serve https with a throw-away certificate")
	return c
}

func runMock(c *cobra.Command, e *env, o mockOptions) error {
	cfg := nstest.DemoConfig()
	if o.config != "" {
		f, err := os.Open(o.config)
		if err != nil {
			return usage("the mock's configuration cannot be read", err.Error(), "")
		}
		defer func() { _ = f.Close() }()
		if cfg, err = nstest.ReadConfig(f); err != nil {
			return usage("the mock's configuration is wrong", plain(err), "see:  docs/mock.md")
		}
	}
	ctx, stop := interruptible(c.Context())
	defer stop()
	var mu sync.Mutex // one verdict a line
	cfg.Log = func(v nstest.Verdict) {
		mu.Lock()
		defer mu.Unlock()
		if e.json() {
			_ = e.printJSON(v)
			return
		}
		e.say("%s", v)
	}
	server := nstest.New(cfg)
	listen := server.Listen
	if o.tls {
		listen = server.ListenTLS
	}
	ep, err := listen(o.listen)
	if err != nil {
		return usage("the mock cannot listen on "+o.listen, plain(err), "give an address such as 127.0.0.1:0")
	}
	defer func() { _ = ep.Close() }()
	if o.profiles != "" {
		if err := writeSampleProfiles(o.profiles, ep, cfg); err != nil {
			return usage("the sample profiles cannot be written to "+o.profiles, plain(err), "give a directory that can be written")
		}
	}
	if e.json() {
		err = e.printJSON(struct {
			Schema string `json:"schema"`
			URL    string `json:"url"`
		}{"nsagent.mock/v1", ep.URL})
	} else {
		err = e.print(ep.URL)
	}
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// sampleProfile is the JSON of a profile for `profile add`. Its secrets are the
// mock's, which are published samples.
type sampleProfile struct {
	Account        string   `json:"account"`
	Auth           string   `json:"auth"`
	ConsumerKey    string   `json:"consumer_key,omitempty"`
	ConsumerSecret string   `json:"consumer_secret,omitempty"`
	TokenID        string   `json:"token_id,omitempty"`
	TokenSecret    string   `json:"token_secret,omitempty"`
	ClientID       string   `json:"client_id,omitempty"`
	Certificate    string   `json:"certificate,omitempty"`
	PrivateKey     string   `json:"private_key,omitempty"`
	ClientSecret   string   `json:"client_secret,omitempty"`
	Scopes         []string `json:"scopes,omitempty"`
	RedirectURI    string   `json:"redirect_uri,omitempty"`
	Endpoint       string   `json:"endpoint"`
	CAFile         string   `json:"ca_file,omitempty"`
}

// sampleProfiles returns, by name, what the mock's accounts are good for: a
// profile for the first token, for the first certificate where the mock has the
// key, and for a login by each kind of integration record.
func sampleProfiles(endpoint, caFile string, cfg nstest.Config) map[string]sampleProfile {
	out := make(map[string]sampleProfile)
	for _, a := range cfg.Accounts {
		name := strings.ToLower(strings.ReplaceAll(a.ID, "_", "-"))
		base := sampleProfile{Account: a.ID, Auth: "tba", Endpoint: endpoint, CAFile: caFile}
		if len(a.Tokens) > 0 {
			t := a.Tokens[0]
			p := base
			p.TokenID, p.TokenSecret, p.ConsumerKey = t.TokenID, t.TokenSecret, t.ConsumerKey
			for _, i := range a.Integrations {
				if i.ConsumerKey == t.ConsumerKey {
					p.ConsumerSecret = i.ConsumerSecret
				}
			}
			out[name] = p
		}
		if key := nstest.DemoPrivateKey(a.ID); len(key) > 0 && len(a.Certificates) > 0 {
			p := base
			p.Auth, p.ClientID, p.Certificate = "m2m", a.Certificates[0].ClientID, a.Certificates[0].PEM
			p.PrivateKey, p.Scopes = string(key), []string{"rest_webservices", "restlets"}
			out[name+"-m2m"] = p
		}
		for _, i := range a.Integrations {
			addLogins(out, name, base, i)
		}
	}
	return out
}

// addLogins adds what `login` takes for an integration record, the first of each
// kind in an account: -3sa for the three-step flow; -code, -public and -mcp for the
// authorization code grant of a confidential client, of a public one, and for the
// AI Connector Service.
func addLogins(out map[string]sampleProfile, name string, base sampleProfile, i nstest.Integration) {
	add := func(kind string, p sampleProfile) {
		if _, found := out[name+kind]; !found {
			out[name+kind] = p
		}
	}
	if len(i.Callbacks) > 0 {
		p := base
		p.ConsumerKey, p.ConsumerSecret = i.ConsumerKey, i.ConsumerSecret
		add("-3sa", p)
	}
	if len(i.RedirectURIs) == 0 {
		return
	}
	p, kind := base, "-code"
	p.Auth, p.ClientID, p.RedirectURI, p.Scopes = "authcode", i.ConsumerKey, i.RedirectURIs[0], i.Scopes
	if len(p.Scopes) == 0 {
		p.Scopes = []string{"rest_webservices", "restlets"}
	}
	switch {
	case slices.Contains(p.Scopes, "mcp"):
		kind = "-mcp"
	case i.Public:
		kind = "-public"
	}
	if !i.Public {
		p.ClientSecret = i.ConsumerSecret
	}
	add(kind, p)
}

// writeSampleProfiles writes the profiles, and the CA where there is one, to dir. A
// directory that was not there appears with all of them, so that who starts the mock
// in the background can wait for any one file; in one that was, each file is replaced
// whole.
func writeSampleProfiles(dir string, ep *nstest.Endpoint, cfg nstest.Config) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	files, err := sampleFiles(dir, ep, cfg)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	found, err := isDir(dir)
	if err != nil {
		return err
	}
	in := filepath.Dir(dir)
	if found {
		in = dir
	}
	stage, err := os.MkdirTemp(in, ".profiles-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(stage) }()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(stage, name), b, 0o600); err != nil {
			return err
		}
	}
	if !found {
		return os.Rename(stage, dir)
	}
	for name := range files {
		if err := os.Rename(filepath.Join(stage, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// isDir reports whether path is there, and refuses what is there and no directory.
func isDir(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.IsDir():
		return false, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	return true, nil
}

// sampleFiles returns what --profiles writes to dir, by name.
func sampleFiles(dir string, ep *nstest.Endpoint, cfg nstest.Config) (map[string][]byte, error) {
	files := make(map[string][]byte)
	caFile := ""
	if len(ep.CAPEM) > 0 {
		files["ca.pem"] = ep.CAPEM
		caFile = filepath.Join(dir, "ca.pem")
	}
	for name, p := range sampleProfiles(ep.URL, caFile, cfg) {
		b, err := json.Marshal(p, jsontext.WithIndent("  "))
		if err != nil {
			return nil, err
		}
		files[name+".json"] = append(b, '\n')
	}
	return files, nil
}
