package agent

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// longArena is locked memory for what a test uploads.
func longArena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 3 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// longSecret seals s in pieces.
func longSecret(a *secret.Arena, s string) client.LongSecret {
	return client.LongSecret{Length: len(s), Seal: func(to client.SealTo, emit func([]byte) error) error {
		b, err := a.Take([]byte(s))
		if err != nil {
			return err
		}
		defer b.Destroy()
		return secret.SealPieces(to.PublicKey, secret.SealContext{VaultID: to.VaultID, Instance: to.Instance, Method: to.Method, Profile: to.Profile, Field: to.Field}, b, 16<<10, emit)
	}}
}

func apiSecret(name string) *pb.Profile {
	return &pb.Profile{Name: name, Account: "1234567", Auth: "secret", Hosts: []string{"sftp.example.com"}, Header: "Authorization", ExpiresAt: time.Now().Add(1000 * time.Hour).Unix()}
}

// value returns the value of a profile as the vault holds it.
func (f *fixture) value(name string) string {
	f.t.Helper()
	v, err := vault.Open(f.t.Context(), vault.Config{Store: store.NewFile(f.paths.Vault), Arena: longArena(f.t)})
	if err == nil {
		err = v.Unlock(f.t.Context(), f.secret(testPassphrase))
	}
	if err != nil {
		f.t.Fatal(err)
	}
	defer v.Lock()
	b, err := v.OpenRaw(name)
	if err != nil {
		f.t.Fatal(err)
	}
	defer b.Destroy()
	var s string
	_ = b.Use(func(p []byte) error { s = string(p); return nil })
	return s
}

// TestAPISecret shows an API secret of a million characters from end to end: it is
// kept, changed, gone back to and tested, and no call makes anything from it.
func TestAPISecret(t *testing.T) {
	f := start(t)
	f.unlock()
	ctx := t.Context()
	a := longArena(t)
	first, second := strings.Repeat("0123456789", 100_000), strings.Repeat("abcdefghi\u00e4", 10_000)
	p, err := f.admin.AddSecret(ctx, apiSecret("api"), longSecret(a, first))
	if err != nil {
		t.Fatal(err)
	}
	if p.GetHosts()[0] != "sftp.example.com" || p.GetHeader() != "Authorization" || p.GetExpiresAt() == 0 || states(p) != "current" {
		t.Errorf("stored as %v", p)
	}
	if f.value("api") != first {
		t.Error("the vault holds another value")
	}
	if _, err := f.admin.AddProfile(ctx, apiSecret("short"), map[string]client.Sealer{"value": f.sealer("short value")}); err != nil {
		t.Fatal(err)
	}
	if got := f.value("short"); got != "short value" {
		t.Errorf("the vault holds %q", got)
	}

	// Nothing is made from it.
	for call, err := range map[string]error{
		"sign": func() error {
			_, err := f.signer.Sign(ctx, client.Request{Profile: "api", URL: sandboxURL})
			return err
		}(),
		"passport":         func() error { _, err := f.signer.Passport(ctx, "api", ""); return err }(),
		"connect-password": func() error { _, err := f.signer.ConnectPassword(ctx, "api"); return err }(),
		"assertion": func() error {
			_, err := f.signer.Assertion(ctx, client.AssertionRequest{Profile: "api"})
			return err
		}(),
	} {
		if errorCode(err) != string(pb.CodeRequest) || !strings.Contains(err.Error(), "no call gives that out") {
			t.Errorf("%s: %v", call, err)
		}
	}

	// Edits: bound fields go with the value only; the value goes back and forth.
	value := longSecret(a, second)
	for name, c := range map[string]struct {
		edit client.ProfileEdit
		want pb.Code
	}{
		"hosts alone":             {client.ProfileEdit{Fields: []string{"hosts"}, Profile: &pb.Profile{Hosts: []string{"evil.example"}}}, pb.CodeCredential},
		"header alone":            {client.ProfileEdit{Fields: []string{"header"}, Profile: &pb.Profile{Header: "X"}}, pb.CodeCredential},
		"a host that is none":     {client.ProfileEdit{Fields: []string{"hosts"}, Profile: &pb.Profile{Hosts: []string{"10.0.0.1"}}, Value: &value}, pb.CodeCredential},
		"a TBA secret":            {client.ProfileEdit{Secrets: map[string]client.Sealer{"token_secret": f.sealer("x")}}, pb.CodeCredential},
		"the end of its validity": {client.ProfileEdit{Fields: []string{"expires_at"}, Profile: &pb.Profile{ExpiresAt: time.Now().Unix() - 1}}, pb.CodeOK},
	} {
		if _, err := f.admin.EditProfile(ctx, "api", c.edit); errorCode(err) != string(c.want) && !(err == nil && c.want == pb.CodeOK) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	r, err := f.admin.TestProfile(ctx, "api")
	if err != nil || checks(r.GetChecks()).problems() != 1 {
		t.Errorf("a secret that has expired: %v, %v", r, err)
	}
	p = f.edit("api", client.ProfileEdit{Fields: []string{"hosts", "expires_at"}, Profile: &pb.Profile{Hosts: []string{"a.example", "b.example"}}, Value: &value})
	if len(p.GetHosts()) != 2 || states(p) != "current previous" || f.value("api") != second {
		t.Errorf("a new value: %v", p)
	}
	if p = f.edit("api", client.ProfileEdit{UsePrevious: true}); len(p.GetHosts()) != 1 || f.value("api") != first {
		t.Errorf("the previous value: %v", p)
	}
	if r, err = f.admin.TestProfile(ctx, "short"); err != nil || checks(r.GetChecks()).problems() != 0 {
		t.Errorf("a good secret: %v, %v", r, err)
	}
	if _, err := f.admin.RenameProfile(ctx, client.Proof{}, "api", "api2"); err != nil || f.value("api2") != first {
		t.Error(err)
	}
	f.restart()
	f.unlock()
	if f.value("api2") != first {
		t.Error("another value after a restart")
	}
	if err := f.admin.RemoveProfile(ctx, "api2"); err != nil {
		t.Error(err)
	}
}

// TestMissingBlob: a long secret whose blob is gone is not said to open, and what is said
// names the blob and what to do. A new blob stands in the vault file as well, until others
// push it out: of those of one second, any.
func TestMissingBlob(t *testing.T) {
	f := start(t)
	f.unlock()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	file := store.NewFile(f.paths.Vault)
	of := map[store.BlobHash]string{} // profiles, by their blobs
	for i := range 7 {
		name := fmt.Sprint("long", i)
		if _, err := f.admin.AddSecret(t.Context(), apiSecret(name), longSecret(a, strings.Repeat("\U0001d11e", maxValueChars))); err != nil {
			t.Fatal(err)
		}
		all, err := file.Blobs(t.Context())
		if err != nil || len(all) != i+1 {
			t.Fatal(all, err)
		}
		for _, b := range all {
			if of[b.Hash] == "" {
				of[b.Hash] = name
			}
		}
	}
	dir := f.paths.Vault + store.BlobSuffix
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	pushed, err := file.Lacking(t.Context(), slices.Collect(maps.Keys(of)))
	if err != nil || len(pushed) != 1 {
		t.Fatal(pushed, err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	blob, name := filepath.Join(dir, pushed[0].String()), of[pushed[0]]
	delete(of, pushed[0])
	another := slices.Collect(maps.Values(of))[0]
	look := func(name string) (record, value *pb.Check) {
		t.Helper()
		r, err := f.admin.TestProfile(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.GetChecks() {
			switch c.GetName() {
			case "record":
				record = c
			case "value":
				value = c
			}
		}
		return record, value
	}
	if err := os.Rename(blob, blob+".away"); err != nil {
		t.Fatal(err)
	}
	record, value := look(name)
	if record.GetState() != checkProblem || !strings.Contains(record.GetDetail(), "is missing from the vault: blob "+pushed[0].String()+" is not there") || !strings.Contains(record.GetRemedy(), "put vault.nsv.blobs back from the backup") {
		t.Errorf("without its blob: %v", record)
	}
	if value.GetState() != checkSkipped || strings.HasPrefix(value.GetDetail(), "opens") {
		t.Errorf("the value of a blob that is missing: %v", value)
	}
	if record, value = look(another); record.GetState() != checkOK || value.GetState() != checkOK {
		t.Errorf("another secret: %v, %v", record, value)
	}
	if err := os.Rename(blob+".away", blob); err != nil {
		t.Fatal(err)
	}
	if record, value = look(name); record.GetState() != checkOK || value.GetState() != checkOK || !strings.HasPrefix(value.GetDetail(), "opens; ") {
		t.Errorf("with its blob again: %v, %v", record, value)
	}
}

// TestUploadRefusals guards I-02 and M-12 for long secrets: what does not fit, is for
// another call or another connection, or comes too late is refused, and leaves no
// locked memory behind.
func TestUploadRefusals(t *testing.T) {
	f := start(t)
	a := longArena(t)
	ctx := t.Context()
	text := strings.Repeat("x", 100_000)
	long := longSecret(a, text)
	_, err := f.admin.AddSecret(ctx, apiSecret("api"), long)
	if errorCode(err) != string(pb.CodeLocked) {
		t.Errorf("locked: %v", err)
	}
	f.unlock()
	used := f.agent.arena.Info().Used
	lie := func(n int) client.LongSecret { l := long; l.Length = n; return l }
	lineEnd, tooMany := longSecret(a, text+"\n"), longSecret(a, strings.Repeat("x", maxValueChars+1))
	for name, c := range map[string]struct {
		value client.LongSecret
		want  pb.Code
	}{
		"shorter than announced": {lie(100_001), pb.CodeCredential},
		"longer than announced":  {lie(99_999), pb.CodeCredential},
		"nothing announced":      {lie(0), pb.CodeCredential},
		"too much announced":     {lie(vault.MaxValue + 1), pb.CodeCredential},
		"a line end in a header": {lineEnd, pb.CodeCredential},
		"a million and one":      {tooMany, pb.CodeCredential},
		"a piece out of order": {client.LongSecret{Length: long.Length, Seal: func(to client.SealTo, emit func([]byte) error) error {
			var all [][]byte
			if err := long.Seal(to, func(p []byte) error { all = append(all, p); return nil }); err != nil {
				return err
			}
			all[1], all[2] = all[2], all[1]
			for _, p := range all {
				if err := emit(p); err != nil {
					return err
				}
			}
			return nil
		}}, pb.CodeRequest},
		"sealed for another profile": {client.LongSecret{Length: long.Length, Seal: func(to client.SealTo, emit func([]byte) error) error {
			to.Profile = "other"
			return long.Seal(to, emit)
		}}, pb.CodeRequest},
		"a piece that is too long": {client.LongSecret{Length: long.Length, Seal: func(to client.SealTo, emit func([]byte) error) error {
			return long.Seal(to, func(p []byte) error { return emit(append(p, make([]byte, maxPiece)...)) })
		}}, pb.CodeRequest},
	} {
		if _, err := f.admin.AddSecret(ctx, apiSecret("api"), c.value); errorCode(err) != string(c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	if got := f.agent.arena.Info().Used; got > used+64 {
		t.Errorf("%d bytes of locked memory are left", got-used)
	}

	// An upload is for one call on its connection, for a minute, and locking drops it.
	upload := func(admin *client.Admin) {
		t.Helper()
		_, err := admin.AddSecret(ctx, apiSecret("../bad"), long) // refused after the upload
		if errorCode(err) != string(pb.CodeRequest) {
			t.Fatal(err)
		}
	}
	waiting := func() int {
		f.agent.uploads.mu.Lock()
		defer f.agent.uploads.mu.Unlock()
		return len(f.agent.uploads.all) + len(f.agent.uploads.busy)
	}
	upload(f.admin)
	upload(f.admin)
	if got := waiting(); got != 2 {
		t.Fatalf("%d uploads wait, want 2", got)
	}
	other := f.dialAdmin()
	upload(other)
	_ = other.Close()
	deadline := time.Now().Add(20 * time.Second)
	for waiting() != 2 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if got := waiting(); got != 2 {
		t.Errorf("%d uploads wait after their connection closed, want 2", got)
	}
	upload(f.admin)
	upload(f.admin)
	if _, err := f.admin.AddSecret(ctx, apiSecret("api"), long); errorCode(err) != string(pb.CodeLimited) {
		t.Errorf("a fifth upload: %v", err)
	}
	f.clock.Add(int64(uploadLife + time.Second))
	f.agent.uploads.sweep()
	if got := waiting(); got != 0 {
		t.Errorf("%d uploads wait after a minute", got)
	}
	upload(f.admin)
	if err := f.admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if got := waiting(); got != 0 {
		t.Errorf("%d uploads wait after a lock", got)
	}
}

// TestLongSecretInLittleMemory guards M-05 for API secrets: in the locked memory that a
// limit of 64 KiB leaves, a secret of a million characters is stored, and one that has to
// be opened as a whole is refused for the memory, and not for something else.
func TestLongSecretInLittleMemory(t *testing.T) {
	f := start(t)
	f.unlock()
	a := f.agent.arena
	info := a.Info()
	ballast, err := a.Alloc(info.Size - info.Used - 40<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Destroy()
	own := longArena(t)
	if _, err := f.admin.AddSecret(t.Context(), apiSecret("api"), longSecret(own, strings.Repeat("x", maxValueChars))); err != nil {
		t.Errorf("a long secret: %v", err)
	}
	if r, err := f.admin.TestProfile(t.Context(), "api"); err != nil || checks(r.GetChecks()).problems() != 0 {
		t.Errorf("testing it: %v, %v", r, err)
	}
	_, err = f.admin.AddProfile(t.Context(), apiSecret("mid"), map[string]client.Sealer{"value": sealWith(own, strings.Repeat("x", 60_000))})
	if errorCode(err) != string(pb.CodeMemory) {
		t.Errorf("a secret in one message: got %v, want %s", err, pb.CodeMemory)
	}
}

// TestHostileSecretProfiles guards I-05 for API secrets.
func TestHostileSecretProfiles(t *testing.T) {
	f := start(t)
	f.unlock()
	for name, change := range map[string]func(*pb.Profile){
		"no host":             func(p *pb.Profile) { p.Hosts = nil },
		"an empty host":       func(p *pb.Profile) { p.Hosts = []string{""} },
		"a URL":               func(p *pb.Profile) { p.Hosts = []string{"https://a.example"} },
		"a port":              func(p *pb.Profile) { p.Hosts = []string{"a.example:22"} },
		"a path":              func(p *pb.Profile) { p.Hosts = []string{"a.example/x"} },
		"a trailing dot":      func(p *pb.Profile) { p.Hosts = []string{"a.example."} },
		"a wildcard":          func(p *pb.Profile) { p.Hosts = []string{"*.example"} },
		"upper case":          func(p *pb.Profile) { p.Hosts = []string{"A.example"} },
		"an IP address":       func(p *pb.Profile) { p.Hosts = []string{"127.0.0.1"} },
		"one label":           func(p *pb.Profile) { p.Hosts = []string{"localhost"} },
		"Unicode":             func(p *pb.Profile) { p.Hosts = []string{"ä.example"} },
		"a line end":          func(p *pb.Profile) { p.Hosts = []string{"a.example\n"} },
		"a host twice":        func(p *pb.Profile) { p.Hosts = []string{"a.example", "a.example"} },
		"seventeen hosts":     func(p *pb.Profile) { p.Hosts = strings.Fields(strings.Repeat("a.example ", 17)) },
		"a header of two":     func(p *pb.Profile) { p.Header = "X: y\r\nZ" },
		"a header with blank": func(p *pb.Profile) { p.Header = "X y" },
		"a consumer key":      func(p *pb.Profile) { p.ConsumerKey = "x" },
		"scopes":              func(p *pb.Profile) { p.Scopes = []string{"restlets"} },
		"an end before 1970":  func(p *pb.Profile) { p.ExpiresAt = -1 },
	} {
		p := apiSecret("api")
		change(p)
		if _, err := f.admin.AddProfile(t.Context(), p, map[string]client.Sealer{"value": f.sealer("v")}); errorCode(err) != string(pb.CodeCredential) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, value := range map[string]string{"empty": "", "two lines in a header": "a\nb", "a NUL in a header": "a\x00"} {
		if _, err := f.admin.AddProfile(t.Context(), apiSecret("api"), map[string]client.Sealer{"value": f.sealer(value)}); errorCode(err) != string(pb.CodeCredential) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := f.admin.AddProfile(t.Context(), tba("t"), f.tbaSecrets()); err != nil {
		t.Error(err)
	}
	withHosts := tba("u")
	withHosts.Hosts = []string{"a.example"}
	if _, err := f.admin.AddProfile(t.Context(), withHosts, f.tbaSecrets()); errorCode(err) != string(pb.CodeCredential) {
		t.Errorf("hosts of a TBA profile: %v", err)
	}
}
