package client

import (
	"context"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// MarkRefreshed says that the sandbox of a profile was refreshed: each of its credentials
// is refused with ErrStale until it gets a new secret. undo takes that back for the one
// profile. The profiles concerned come back, by name; it is durable then.
//
// The error matches ErrRequest where there is nothing that a refresh could remove,
// ErrNoProfile, ErrLocked or ErrAgent.
func (a *Admin) MarkRefreshed(ctx context.Context, name string, undo bool) ([]*pb.Profile, error) {
	out, err := a.rpc.MarkRefreshed(ctx, &pb.MarkRefreshedRequest{Name: text(name), Undo: undo})
	return out.GetProfiles(), err
}

// Integrations lists the integration records that profiles use, by account and key.
func (a *Admin) Integrations(ctx context.Context) (*pb.ListIntegrationsResponse, error) {
	return a.rpc.ListIntegrations(ctx, &pb.ListIntegrationsRequest{})
}

// RotateIntegration gives every profile of the integration record that a profile uses the
// new consumer key and secret, in one change. secret is nil where no profile among them
// is keyed. The previous version is kept for overlap, as in ProfileEdit. The
// profiles concerned come back, by name; it is durable then.
//
// The error matches ErrCredential, ErrRequest, ErrNoProfile, ErrLocked or ErrAgent, or is
// that of the Sealer. After ErrAgent all may have the new pair, or none.
func (a *Admin) RotateIntegration(ctx context.Context, profile, key string, secret Sealer, overlap time.Duration) ([]*pb.Profile, error) {
	q := &pb.RotateIntegrationRequest{Name: text(profile), Key: text(key), OverlapSeconds: seconds(overlap)}
	if secret != nil {
		boxes, err := a.seal(ctx, pb.Admin_RotateIntegration_FullMethodName, profile, map[string]Sealer{"consumer_secret": secret})
		if err != nil {
			return nil, err
		}
		q.Secret = boxes[0]
	}
	out, err := a.rpc.RotateIntegration(ctx, q)
	return out.GetProfiles(), err
}

// RotateProfile gives a TBA profile a new token once NetSuite has taken it; secrets are
// token_secret, and consumer_secret if p has the ConsumerKey of another integration
// record. The old token is kept for overlap, as in ProfileEdit. What NetSuite answered
// comes back beside the profile; with untested it is not asked.
//
// The error matches ErrNetSuite or ErrNetwork where the token was not taken and callers go
// on with the old one, ErrCredential, ErrNoProfile, ErrLocked or ErrAgent, or is that of a
// Sealer.
func (a *Admin) RotateProfile(ctx context.Context, p *pb.Profile, secrets map[string]Sealer, overlap time.Duration, untested bool) (*pb.RotateProfileResponse, error) {
	boxes, err := a.seal(ctx, pb.Admin_RotateProfile_FullMethodName, p.GetName(), secrets)
	if err != nil {
		return nil, err
	}
	return a.rpc.RotateProfile(ctx, &pb.RotateProfileRequest{
		Name: text(p.GetName()), TokenId: text(p.GetTokenId()), ConsumerKey: text(p.GetConsumerKey()), Secrets: boxes, OverlapSeconds: seconds(overlap), Untested: untested,
	})
}

// RevokeProfile ends the credential of a profile at NetSuite, and then removes both here.
// Where NetSuite does not do it, ErrNetSuite or ErrNetwork, the profile stays.
func (a *Admin) RevokeProfile(ctx context.Context, name string) error {
	_, err := a.rpc.RemoveProfile(ctx, &pb.RemoveProfileRequest{Name: text(name), RevokeAtNetsuite: true})
	return err
}

// MigrateProfile takes a TBA profile to OAuth 2.0 machine to machine, and back, by the steps
// of the protocol: begin, finish, back, drop. clientID, scopes and kind go with begin; empty
// ones mean the defaults.
//
// The error matches ErrNetSuite or ErrNetwork where the certificate was not taken and
// callers go on with the token, ErrReadOnly, ErrExists, ErrRequest, ErrNoProfile, ErrLocked
// or ErrAgent.
func (a *Admin) MigrateProfile(ctx context.Context, name, step, clientID string, scopes []string, kind string) (*pb.MigrateProfileResponse, error) {
	return a.rpc.MigrateProfile(ctx, &pb.MigrateProfileRequest{Name: text(name), Step: step, ClientId: text(clientID), Scopes: scopes, Kind: kind})
}
