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
// other from then on. What is secret in the token crosses sealed, or not at all.
func redeem(ctx context.Context, cc grpc.ClientConnInterface, t *unlocktoken.Token) error {
	rpc := pb.NewSignerClient(cc)
	keys, err := rpc.SealKey(ctx, &pb.SealKeyRequest{})
	if err != nil {
		return err
	}
	if len(keys.GetKeys()) != 1 {
		return &Error{Code: pb.CodeInternal, Message: "the agent gave the wrong number of seal keys"}
	}
	key := keys.GetKeys()[0]
	to := SealTo{PublicKey: key.GetPublicKey(), VaultID: keys.GetVaultId(), Instance: keys.GetInstance(), Method: pb.Signer_Redeem_FullMethodName, Field: "shares"}
	box, err := to.sealShares(t)
	if err != nil {
		return &Error{Code: pb.CodeInternal, Message: "the agent gave a seal key that is none", cause: err}
	}
	_, err = rpc.Redeem(ctx, &pb.RedeemRequest{
		Chain:  t.Chain.Encode(),
		Proof:  t.Prove(unlocktoken.Challenge(keys.GetVaultId(), keys.GetInstance(), key.GetId(), key.GetPublicKey())),
		Shares: &pb.Sealed{Field: to.Field, KeyId: key.GetId(), Box: box},
	})
	return err
}

// sealShares seals the shares of a token as docs/protocol.md says: HPKE in base mode.
func (to SealTo) sealShares(t *unlocktoken.Token) ([]byte, error) {
	var shares []byte
	defer func() { clear(shares) }()
	shares = make([]byte, 0, len(t.Shares)*(16+32))
	for _, s := range t.Shares {
		shares = append(append(shares, s.Credential[:]...), s.Key[:]...)
	}
	public, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(to.PublicKey)
	if err != nil {
		return nil, err
	}
	info := prefixed([]byte("nsagent/v1 seal"), to.VaultID, to.Instance)
	enc, sender, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info)
	if err != nil {
		return nil, err
	}
	box, err := sender.Seal(prefixed([]byte(to.Method), []byte(to.Profile), []byte(to.Field)), shares)
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
