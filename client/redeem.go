package client

import (
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/binary"

	"google.golang.org/grpc"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// redeem shows a token on the one connection that cc stands for, which has its right and no
// other from then on; and the ID token of the job, if there is one. What is secret crosses
// sealed, or not at all.
func redeem(ctx context.Context, cc grpc.ClientConnInterface, t *unlocktoken.Token, job *idToken) error {
	text, err := job.take()
	if err != nil {
		return err
	}
	defer clear(text)
	count := uint32(1)
	if text != nil {
		count = 2
	}
	rpc := pb.NewSignerClient(cc)
	keys, err := rpc.SealKey(ctx, &pb.SealKeyRequest{Count: count})
	if err != nil {
		return err
	}
	if len(keys.GetKeys()) != int(count) {
		return &Error{Code: pb.CodeInternal, Message: "the agent gave the wrong number of seal keys"}
	}
	key := keys.GetKeys()[0]
	q := &pb.RedeemRequest{
		Chain: t.Chain.Encode(),
		Proof: t.Prove(unlocktoken.Challenge(keys.GetVaultId(), keys.GetInstance(), key.GetId(), key.GetPublicKey())),
	}
	shares := sharesOf(t)
	defer clear(shares)
	if q.Shares, err = sealTo(keys, 0, "shares", shares); err != nil {
		return err
	}
	if text != nil {
		if q.OidcToken, err = sealTo(keys, 1, "oidc_token", text); err != nil {
			return err
		}
	}
	_, err = rpc.Redeem(ctx, q)
	return err
}

// sharesOf returns the shares of a token as Redeem takes them. The caller wipes them.
func sharesOf(t *unlocktoken.Token) []byte {
	shares := make([]byte, 0, len(t.Shares)*(16+32))
	for _, s := range t.Shares {
		shares = append(append(shares, s.Credential[:]...), s.Key[:]...)
	}
	return shares
}

// sealTo seals a secret of Redeem to one of the keys.
func sealTo(keys *pb.SealKeyResponse, n int, field string, plain []byte) (*pb.Sealed, error) {
	key := keys.GetKeys()[n]
	to := SealTo{PublicKey: key.GetPublicKey(), VaultID: keys.GetVaultId(), Instance: keys.GetInstance(), Method: pb.Signer_Redeem_FullMethodName, Field: field}
	box, err := to.seal(plain)
	if err != nil {
		return nil, &Error{Code: pb.CodeInternal, Message: "the agent gave a seal key that is none", cause: err}
	}
	return &pb.Sealed{Field: field, KeyId: key.GetId(), Box: box}, nil
}

// seal seals a secret as docs/protocol.md says: HPKE in base mode.
func (to SealTo) seal(plain []byte) ([]byte, error) {
	public, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(to.PublicKey)
	if err != nil {
		return nil, err
	}
	info := prefixed([]byte("nsagent/v1 seal"), to.VaultID, to.Instance)
	enc, sender, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info)
	if err != nil {
		return nil, err
	}
	box, err := sender.Seal(prefixed([]byte(to.Method), []byte(to.Profile), []byte(to.Field)), plain)
	return append(enc, box...), err
}

// prefixed returns the parts, each behind its length in two bytes, big endian.
func prefixed(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = binary.BigEndian.AppendUint16(out, uint16(len(p))) // #nosec G115 -- names and ids
		out = append(out, p...)
	}
	return out
}
