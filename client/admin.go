package client

import (
	"context"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Admin is a connection to the agent's socket for managing.
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
	c, err := connect(ctx, o.socket(o.paths.Admin), o)
	if err != nil {
		return nil, err
	}
	return &Admin{conn: c, rpc: pb.NewAdminClient(c.grpc)}, nil
}

// Close ends the connection.
func (a *Admin) Close() error { return a.conn.grpc.Close() }

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

// seal gets one key a secret and seals each.
func (a *Admin) seal(ctx context.Context, method, profile string, fields []string, sealers map[string]Sealer) ([]*pb.Sealed, error) {
	keys, err := a.rpc.SealKey(ctx, &pb.SealKeyRequest{Count: uint32(len(fields))}) // #nosec G115 -- a handful
	if err != nil {
		return nil, a.conn.wrap(err)
	}
	if len(keys.GetKeys()) != len(fields) {
		return nil, &Error{Code: pb.CodeVersion, Message: "the agent gave the wrong number of seal keys"}
	}
	out := make([]*pb.Sealed, 0, len(fields))
	for i, field := range fields {
		k := keys.GetKeys()[i]
		box, err := sealers[field](SealTo{
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
// is how long it stays open at most, zero meaning the configured time.
//
// The error matches ErrPassphrase, ErrKeyring, ErrNoVault or ErrAgent.
func (a *Admin) Unlock(ctx context.Context, passphrase Sealer, hard time.Duration) (*pb.UnlockResponse, error) {
	q := &pb.UnlockRequest{ForSeconds: int64(hard / time.Second)}
	if passphrase != nil {
		boxes, err := a.seal(ctx, pb.Admin_Unlock_FullMethodName, "", []string{"passphrase"}, map[string]Sealer{"passphrase": passphrase})
		if err != nil {
			return nil, err
		}
		q.Passphrase = boxes[0]
	}
	out, err := a.rpc.Unlock(ctx, q)
	return out, a.conn.wrap(err)
}

// Lock drops every key.
func (a *Admin) Lock(ctx context.Context) error {
	_, err := a.rpc.Lock(ctx, &pb.LockRequest{})
	return a.conn.wrap(err)
}

// Stop locks and ends the agent.
func (a *Admin) Stop(ctx context.Context) error {
	_, err := a.rpc.Stop(ctx, &pb.StopRequest{})
	return a.conn.wrap(err)
}

// AddProfile stores a profile with its secrets, keyed by field: consumer_secret
// and token_secret for auth tba, private_key for m2m.
func (a *Admin) AddProfile(ctx context.Context, p *pb.Profile, secrets map[string]Sealer) (*pb.Profile, error) {
	fields := make([]string, 0, len(secrets))
	for f := range secrets {
		fields = append(fields, f)
	}
	boxes, err := a.seal(ctx, pb.Admin_AddProfile_FullMethodName, p.GetName(), fields, secrets)
	if err != nil {
		return nil, err
	}
	out, err := a.rpc.AddProfile(ctx, &pb.AddProfileRequest{Profile: p, Secrets: boxes})
	return out.GetProfile(), a.conn.wrap(err)
}

// ShowProfile returns the public part of a profile.
func (a *Admin) ShowProfile(ctx context.Context, name string) (*pb.Profile, error) {
	out, err := a.rpc.ShowProfile(ctx, &pb.ShowProfileRequest{Name: name})
	return out.GetProfile(), a.conn.wrap(err)
}

// RemoveProfile removes a profile and its credential.
func (a *Admin) RemoveProfile(ctx context.Context, name string) error {
	_, err := a.rpc.RemoveProfile(ctx, &pb.RemoveProfileRequest{Name: name})
	return a.conn.wrap(err)
}
