package client

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Admin is a connection to the agent's socket for managing. Like Client it is safe
// for concurrent use and outlives the agent; but a call whose answer got lost is
// not made again, since it may have been carried out.
type Admin struct {
	conn *connection
	rpc  pb.AdminClient
}

// DialAdmin connects to admin.sock; options and errors are those of Dial.
func DialAdmin(ctx context.Context, opts ...Option) (*Admin, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	_, _ = ambientToken() // they count on the other socket alone, and no child inherits them
	_, _ = ambientIDToken()
	c, err := connect(ctx, o.socket(o.paths.Admin), o)
	if err != nil {
		return nil, err
	}
	return &Admin{conn: c, rpc: pb.NewAdminClient(c)}, nil
}

// Close ends the connection. Calls in flight and later ones fail with ErrClosed.
// It returns nil, also when it is called again.
func (a *Admin) Close() error { return a.conn.close() }

// SealTo is what a secret is sealed to on its way into the agent: a one-time
// public key, and what the box is bound to.
type SealTo struct {
	// PublicKey is an X25519 key, 32 bytes.
	PublicKey []byte
	// VaultID and Instance name the vault and the run of the agent, 16 bytes each.
	VaultID, Instance []byte
	// Method, Profile and Field name the call and the field.
	Method, Profile, Field string
}

// Sealer seals one secret. This package never sees the secret: who holds it
// seals it (internal/secret does, for the command line).
type Sealer func(SealTo) (box []byte, err error)

// seal gets one key a secret and seals each, in the order of their names.
func (a *Admin) seal(ctx context.Context, method, profile string, secrets map[string]Sealer) ([]*pb.Sealed, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	keys, err := a.rpc.SealKey(ctx, &pb.SealKeyRequest{Count: uint32(len(secrets))}) // #nosec G115 -- a handful
	if err != nil {
		return nil, err
	}
	if len(keys.GetKeys()) != len(secrets) {
		return nil, &Error{Code: pb.CodeInternal, Message: "the agent gave the wrong number of seal keys"}
	}
	out := make([]*pb.Sealed, 0, len(secrets))
	for i, field := range slices.Sorted(maps.Keys(secrets)) {
		k := keys.GetKeys()[i]
		box, err := secrets[field](SealTo{
			PublicKey: k.GetPublicKey(), VaultID: keys.GetVaultId(), Instance: keys.GetInstance(),
			Method: method, Profile: profile, Field: field,
		})
		if err != nil {
			return nil, err
		}
		out = append(out, &pb.Sealed{Field: field, KeyId: k.GetId(), Box: box})
	}
	return out, nil
}

// Unlock opens the vault. passphrase is nil where the keyring alone opens it; hard
// is how long it stays open at most, in whole seconds, rounded up. Zero means the
// configured time.
//
// The error matches ErrPassphrase, ErrBackoff, ErrKeyring, ErrNoVault, ErrRequest
// (for a time that is not allowed) or ErrAgent.
func (a *Admin) Unlock(ctx context.Context, passphrase Sealer, hard time.Duration) (*pb.UnlockResponse, error) {
	q := &pb.UnlockRequest{ForSeconds: seconds(hard)}
	if passphrase != nil {
		boxes, err := a.seal(ctx, pb.Admin_Unlock_FullMethodName, "", map[string]Sealer{"passphrase": passphrase})
		if err != nil {
			return nil, err
		}
		q.Passphrase = boxes[0]
	}
	return a.rpc.Unlock(ctx, q)
}

// seconds rounds d away from zero: half a second is not "as configured".
func seconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	switch rest := d % time.Second; {
	case rest > 0:
		n++
	case rest < 0:
		n--
	}
	return n
}

// Lock drops every key.
func (a *Admin) Lock(ctx context.Context) error {
	_, err := a.rpc.Lock(ctx, &pb.LockRequest{})
	return err
}

// Stop locks and ends the agent.
func (a *Admin) Stop(ctx context.Context) error {
	_, err := a.rpc.Stop(ctx, &pb.StopRequest{})
	return err
}

// AddProfile stores a profile with its secrets, keyed by field: consumer_secret
// and token_secret for auth tba, private_key for m2m. It is durable when it
// returns, and its public part comes back.
//
// The error matches ErrExists, ErrCredential, ErrLocked or ErrAgent, or is that of
// a Sealer. After ErrAgent the profile may be there or not.
func (a *Admin) AddProfile(ctx context.Context, p *pb.Profile, secrets map[string]Sealer) (*pb.Profile, error) {
	boxes, err := a.seal(ctx, pb.Admin_AddProfile_FullMethodName, p.GetName(), secrets)
	if err != nil {
		return nil, err
	}
	out, err := a.rpc.AddProfile(ctx, &pb.AddProfileRequest{Profile: p, Secrets: boxes})
	return out.GetProfile(), err
}

// LongSecret is a secret that goes to the agent in pieces. Seal seals it: it calls
// emit with the encapsulated key and then with one sealed piece after the other.
type LongSecret struct {
	Length int // in bytes
	Seal   func(to SealTo, emit func(piece []byte) error) error
}

// AddSecret is AddProfile for auth secret, whose value may be long: 1,000,000
// characters. A short one, up to 64 KiB, may go the way of AddProfile.
func (a *Admin) AddSecret(ctx context.Context, p *pb.Profile, value LongSecret) (*pb.Profile, error) {
	box, err := a.upload(ctx, pb.Admin_AddProfile_FullMethodName, p.GetName(), "value", value)
	if err != nil {
		return nil, err
	}
	out, err := a.rpc.AddProfile(ctx, &pb.AddProfileRequest{Profile: p, Secrets: []*pb.Sealed{box}})
	return out.GetProfile(), err
}

// upload sends a long secret, and returns what stands for it in the call that it is
// for.
func (a *Admin) upload(ctx context.Context, method, profile, field string, s LongSecret) (*pb.Sealed, error) {
	keys, err := a.rpc.SealKey(ctx, &pb.SealKeyRequest{Count: 1})
	if err != nil {
		return nil, err
	}
	if len(keys.GetKeys()) != 1 {
		return nil, &Error{Code: pb.CodeInternal, Message: "the agent gave the wrong number of seal keys"}
	}
	k := keys.GetKeys()[0]
	stream, err := a.rpc.Upload(ctx)
	if err != nil {
		return nil, err
	}
	start := &pb.UploadStart{Method: method, Profile: profile, Field: field, KeyId: k.GetId(), Length: int64(s.Length)}
	to := SealTo{PublicKey: k.GetPublicKey(), VaultID: keys.GetVaultId(), Instance: keys.GetInstance(), Method: method, Profile: profile, Field: field}
	err = s.Seal(to, func(piece []byte) error {
		m := &pb.UploadRequest{Start: start, Piece: piece}
		start = nil
		return stream.Send(m)
	})
	if err != nil && !errors.Is(err, io.EOF) {
		_ = stream.CloseSend()
		return nil, a.conn.wrap(ctx, err)
	}
	out, err := stream.CloseAndRecv() // after io.EOF too: it says why
	if err != nil {
		return nil, a.conn.wrap(ctx, err)
	}
	return &pb.Sealed{Field: field, KeyId: out.GetId()}, nil
}

// ShowProfile returns the public part of a profile.
func (a *Admin) ShowProfile(ctx context.Context, name string) (*pb.Profile, error) {
	out, err := a.rpc.ShowProfile(ctx, &pb.ShowProfileRequest{Name: text(name)})
	return out.GetProfile(), err
}

// RemoveProfile removes a profile and its credential. After ErrAgent it may be
// gone or not.
func (a *Admin) RemoveProfile(ctx context.Context, name string) error {
	_, err := a.rpc.RemoveProfile(ctx, &pb.RemoveProfileRequest{Name: text(name)})
	return err
}

// ProfileEdit says what changes in a profile.
type ProfileEdit struct {
	// Profile holds the new values of what Fields names; an empty one clears a field.
	Profile *pb.Profile
	// Fields are names of fields of Profile, as in the protocol.
	Fields []string
	// Secrets are new secrets, keyed as in AddProfile. Of a TBA credential one may
	// stay as it is.
	Secrets map[string]Sealer
	// Value is the new value of a profile of auth secret, where it is long; nil: none.
	Value *LongSecret
	// Overlap is how long the previous secret is kept, 1 h to 30 d; zero means 1 h.
	Overlap time.Duration
	// UsePrevious goes back to the previous secret; nothing else may change then.
	UsePrevious bool
	// Proof is needed where the profile may do more afterwards.
	Proof Proof
}

// EditProfile changes a profile and returns its public part. It is durable then.
//
// The error matches ErrProof, ErrConfirm, ErrCredential, ErrNoProfile, ErrLocked or
// ErrAgent, or is that of a Sealer. After ErrAgent it may be changed or not.
func (a *Admin) EditProfile(ctx context.Context, name string, e ProfileEdit) (*pb.Profile, error) {
	boxes, proof, err := a.sealWithProof(ctx, pb.Admin_EditProfile_FullMethodName, name, e.Secrets, e.Proof)
	if err != nil {
		return nil, err
	}
	if e.Value != nil {
		box, err := a.upload(ctx, pb.Admin_EditProfile_FullMethodName, name, "value", *e.Value)
		if err != nil {
			return nil, err
		}
		boxes = append(boxes, box)
	}
	out, err := a.rpc.EditProfile(ctx, &pb.EditProfileRequest{
		Name: text(name), Profile: e.Profile, Fields: e.Fields, Secrets: boxes, OverlapSeconds: seconds(e.Overlap), UsePrevious: e.UsePrevious, Proof: proof,
	})
	return out.GetProfile(), err
}

// RenameProfile gives a profile another name. Where a policy is in force it needs a proof:
// the error matches ErrProof or ErrConfirm without. After ErrAgent it may have the name or
// not.
func (a *Admin) RenameProfile(ctx context.Context, p Proof, name, to string) (*pb.Profile, error) {
	_, proof, err := a.sealWithProof(ctx, pb.Admin_RenameProfile_FullMethodName, name, nil, p)
	if err != nil {
		return nil, err
	}
	out, err := a.rpc.RenameProfile(ctx, &pb.RenameProfileRequest{Name: text(name), NewName: text(to), Proof: proof})
	return out.GetProfile(), err
}

// TestOption changes what TestProfile does.
type TestOption func(*pb.TestProfileRequest)

// WithoutNetSuite has TestProfile check a profile only as far as that goes without asking
// NetSuite.
func WithoutNetSuite() TestOption { return func(q *pb.TestProfileRequest) { q.Offline = true } }

// WithRESTlet has TestProfile call a RESTlet by GET, by SCRIPT/DEPLOYMENT, such as 123/1.
// Without it no script of the account is run.
func WithRESTlet(script string) TestOption {
	return func(q *pb.TestProfileRequest) { q.Restlet = text(script) }
}

// TestProfile checks a profile, and then makes one request on each way into NetSuite that
// its credential is for. That NetSuite refuses, or is not reached, is no error.
func (a *Admin) TestProfile(ctx context.Context, name string, opts ...TestOption) (*pb.TestProfileResponse, error) {
	q := &pb.TestProfileRequest{Name: text(name)}
	for _, o := range opts {
		o(q)
	}
	return a.rpc.TestProfile(ctx, q)
}

// CheckVault looks at everything that the vault consists of, as far as that goes
// where it is locked.
func (a *Admin) CheckVault(ctx context.Context) (*pb.CheckVaultResponse, error) {
	return a.rpc.CheckVault(ctx, &pb.CheckVaultRequest{})
}
