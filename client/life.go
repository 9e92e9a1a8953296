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
