package client

import (
	"context"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// NewCertificate says what key and certificate the agent shall make. Zero values mean what
// the protocol says.
type NewCertificate struct {
	// Key is "ec256", "ec384", "ec521", "rsa3072" or "rsa4096".
	Key string
	// Name is the common name on the certificate.
	Name string
	// Days is how long it is valid, 1 to 729.
	Days int
}

// NewCertificate has the agent make a private key, which never leaves it, and a certificate
// for NetSuite. p is a new profile (name, account, client ID, scopes, and as wanted access,
// owner, note, endpoint, CA), or has the name of one that is there and nothing else: then
// what is made waits as its next certificate.
//
// The error matches ErrExists, ErrCredential, ErrNoProfile, ErrLocked or ErrAgent. After
// ErrAgent it may be there or not.
func (a *Admin) NewCertificate(ctx context.Context, p *pb.Profile, c NewCertificate) (*pb.NewCertificateResponse, error) {
	return a.rpc.NewCertificate(ctx, &pb.NewCertificateRequest{Profile: p, Key: c.Key, CommonName: text(c.Name), Days: int32(min(max(c.Days, -1), 1<<20))}) // #nosec G115 -- bounded
}

// DropCertificate forgets the next certificate of a profile, and its key. At NetSuite
// nothing changes. The error matches ErrNotFound where there is none.
func (a *Admin) DropCertificate(ctx context.Context, name string) (*pb.Profile, error) {
	out, err := a.rpc.DropCertificate(ctx, &pb.DropCertificateRequest{Name: text(name)})
	return out.GetProfile(), err
}

// Certificates asks NetSuite for the certificates of the profile's integration record. The
// error matches ErrNetSuite, ErrNetwork or ErrCredential.
func (a *Admin) Certificates(ctx context.Context, name string) (*pb.ListCertificatesResponse, error) {
	return a.rpc.ListCertificates(ctx, &pb.ListCertificatesRequest{Name: text(name)})
}

// UploadCertificate uploads the next certificate of a profile to NetSuite, with the present
// one. entity and role are internal IDs; "" means those of the present certificate. Where
// NetSuite does not list these they have to be given, and p is needed: the error matches
// ErrProof or ErrConfirm without.
func (a *Admin) UploadCertificate(ctx context.Context, p Proof, name, entity, role string) (*pb.Certificate, error) {
	_, proof, err := a.sealWithProof(ctx, pb.Admin_UploadCertificate_FullMethodName, name, nil, p)
	if err != nil {
		return nil, err
	}
	out, err := a.rpc.UploadCertificate(ctx, &pb.UploadCertificateRequest{Name: text(name), Entity: text(entity), Role: text(role), Proof: proof})
	return out.GetCertificate(), err
}

// Rotation says how a certificate is rotated.
type Rotation struct {
	// NewCertificate is what to make, where there is no next certificate yet.
	NewCertificate
	// Overlap is how long the certificate before stays good, 1 h to 30 d; zero means 1 h.
	Overlap time.Duration
	// ByHand says that people have uploaded the next certificate.
	ByHand bool
}

// RotateCertificate puts the next certificate of a profile into the place of the present
// one: made and uploaded as far as need be, tried out, switched to. What fails before the
// switch is undone. After ErrAgent it may have been done; the agent then goes on by itself.
func (a *Admin) RotateCertificate(ctx context.Context, name string, r Rotation) (*pb.RotateCertificateResponse, error) {
	return a.rpc.RotateCertificate(ctx, &pb.RotateCertificateRequest{
		Name: text(name), Key: r.Key, CommonName: text(r.Name), Days: int32(min(max(r.Days, -1), 1<<20)), // #nosec G115 -- bounded
		OverlapSeconds: seconds(r.Overlap), ByHand: r.ByHand,
	})
}

// RevokeCertificate revokes a certificate at NetSuite, other than the one that the profile
// uses.
func (a *Admin) RevokeCertificate(ctx context.Context, name, id string) error {
	_, err := a.rpc.RevokeCertificate(ctx, &pb.RevokeCertificateRequest{Name: text(name), CertificateId: text(id)})
	return err
}
