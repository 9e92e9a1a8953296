package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault/bundle"
)

// bundleLife is how long a grant with a bundle lasts where nothing is said.
const bundleLife = 30 * 24 * time.Hour

// bundleFile is the file that a bundle is to be written to. It is made beside its place
// before the grant is: a token whose bundle could not be written is lost.
type bundleFile struct {
	path string
	f    *os.File
	// replaced is the grant of the bundle that was there, as far as it can be told.
	replaced string
}

// newBundleFile makes the file; nil for an empty path. Of what is there, it takes the place
// of a bundle, whose owner renews it, and of an empty file alone.
func newBundleFile(path string) (*bundleFile, error) {
	if path == "" {
		return nil, nil
	}
	old := ""
	switch info, err := os.Lstat(path); {
	case err != nil: // making one says what is amiss
	case !info.Mode().IsRegular():
		return nil, bundleNotWritten("it is there, and no regular file")
	case info.Size() > 0:
		if old = grantOfBundle(path); old == "" {
			return nil, &client.Error{Code: pb.CodeExists, Message: fmt.Sprintf("%q is there already", oneLine(path)), Why: "it is no bundle, and is left alone", Next: "name another file:  --bundle F"}
		}
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".nsagent-bundle-")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &client.Error{Code: pb.CodeUsage, Message: "the bundle cannot be written", Why: "the directory " + oneLine(dir) + " is not there", Next: "make it:  mkdir -p " + shellQuote(oneLine(dir))}
	case err != nil:
		return nil, bundleNotWritten("no file can be made in " + oneLine(dir) + ": " + afterLast(err.Error(), ": "))
	}
	return &bundleFile{path, f, old}, nil
}

// grantOfBundle returns the name of the grant that a file says it is the bundle of, unchecked;
// empty where it says none.
func grantOfBundle(path string) string {
	b, err := os.ReadFile(path) // #nosec G304 -- named by the user, and of a regular file
	if err != nil {
		return ""
	}
	return grantIn(b)
}

// grantIn is grantOfBundle for what is in a file.
func grantIn(text []byte) string {
	grant, err := bundle.GrantOf(text)
	if err != nil {
		return ""
	}
	return unlocktoken.GrantName(grant)
}

func bundleNotWritten(why string) error {
	return &client.Error{Code: pb.CodeUsage, Message: "the bundle cannot be written", Why: why, Next: "name another file:  --bundle F"}
}

// discard removes what is not in its place.
func (b *bundleFile) discard() {
	if b != nil {
		_ = b.f.Close()
		_ = os.Remove(b.f.Name())
	}
}

// finish writes the text and puts the file in its place, readable for all: it is to be
// committed.
func (b *bundleFile) finish(text []byte) error {
	_, err := b.f.Write(text)
	if err == nil {
		err = b.f.Chmod(0o644)
	}
	if err == nil {
		err = b.f.Sync()
	}
	if err == nil {
		err = os.Rename(b.f.Name(), b.path)
	}
	if err != nil {
		return bundleNotWritten(afterLast(err.Error(), ": "))
	}
	return nil
}

// withoutBundle returns the error of a bundle that was not written, with what became of its grant;
// revoked is the error of revoking that.
func withoutBundle(grant string, notWritten, revoked error) error {
	f := failure(notWritten)
	if revoked != nil {
		f.Why += "; its grant goes on, as it was not revoked: " + failure(revoked).Message
		f.Next = "end it:  nsagent grant revoke " + grant
		return f
	}
	f.Why += "; its grant " + grant + " was revoked"
	return f
}

// noteSigning says of the TBA profiles of a bundle what ends the use of it. M2M profiles have a
// certificate of their own there, which ends with the grant.
func (e *env) noteSigning(g *pb.Grant) {
	var names []string
	for _, p := range g.GetProfiles() {
		if p.GetCertificateId() == "" {
			names = append(names, p.GetName())
		}
	}
	if len(names) > 0 {
		e.note("what the bundle signs with %s counts at NetSuite until the token is revoked there, also once the grant has ended; give each runner a token of its own", strings.Join(names, ", "))
	}
}

// noteReplaced says what became of the grant whose bundle was in the place of a new one.
func (e *env) noteReplaced(ctx context.Context, a *client.Admin, grant string) {
	then := "this vault does not know that grant"
	g, err := a.Grant(ctx, grant)
	switch {
	case err != nil:
	case g.GetState() == "revoked", g.GetState() == "expired":
		then = "that grant is " + g.GetState()
	default:
		then = "that grant goes on; to end it:  nsagent grant revoke " + grant
	}
	e.note("the bundle of %s was there, whose token opens it no more; %s", grant, then)
}
