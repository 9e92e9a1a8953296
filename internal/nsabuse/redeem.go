package main

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// halfOpen is how many connections ask for seal keys and never redeem; with what each
	// may have, they ask for more than there may be.
	halfOpen     = 150
	keysOfEach   = 4
	redeemers    = 4
	proofLength  = 64
	garbageChain = 300
)

// redeems shows tokens that must not be taken, and leaves redemptions half open.
func redeems(ctx context.Context, on target, t *count) {
	token, err := unlocktoken.Parse(on.token)
	if err != nil {
		t.wrong("the attack has no token: %v", err)
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		repeat(ctx, redeemers, func(i int) { redeemBadly(ctx, on, t, token, i) })
	})
	both.Go(func() {
		repeat(ctx, halfOpen, func(int) { neverRedeem(ctx, on) })
	})
	both.Wait()
}

// neverRedeem asks for seal keys, and does nothing with them.
func neverRedeem(ctx context.Context, on target) {
	conn, err := dialGRPC(on.Agent)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	for ctx.Err() == nil {
		if _, err := pb.NewSignerClient(conn).SealKey(ctx, &pb.SealKeyRequest{Count: keysOfEach}); err != nil {
			pause(ctx, retry)
		}
		pause(ctx, 250*time.Millisecond)
	}
}

// redeemBadly tries one bad redemption after the other on one connection; none may be
// taken, and the connection keeps the right that it has.
func redeemBadly(ctx context.Context, on target, t *count, token *unlocktoken.Token, i int) {
	conn, err := dialGRPC(on.Agent)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	rpc := pb.NewSignerClient(conn)
	before := make([]byte, proofLength)
	for n := range 100 {
		if ctx.Err() != nil {
			return
		}
		keys, err := rpc.SealKey(ctx, &pb.SealKeyRequest{Count: 1}, grpc.WaitForReady(true))
		if err != nil || len(keys.GetKeys()) != 1 {
			pause(ctx, retry)
			continue
		}
		key := keys.GetKeys()[0]
		proof := token.Prove(unlocktoken.Challenge(keys.GetVaultId(), keys.GetInstance(), key.GetId(), key.GetPublicKey()))
		q := &pb.RedeemRequest{Chain: token.Chain.Encode(), Proof: proof, Shares: &pb.Sealed{Field: "shares", KeyId: key.GetId(), Box: random(96)}}
		what := spoil(q, i+n, before)
		before = proof
		_, err = rpc.Redeem(ctx, q)
		t.done(1)
		if err == nil {
			t.through("a token was taken with " + what)
		}
	}
	if ctx.Err() != nil {
		return
	}
	if s, err := rpc.Status(ctx, &pb.StatusRequest{}); err == nil && s.GetAudit().GetPath() == "" {
		t.wrong("a refused token changed the right of its connection")
	}
}

// spoil makes q one that must be refused, in the way of that number, and says how. The
// shares are never sealed to the key; before is a proof that was good for another one.
func spoil(q *pb.RedeemRequest, way int, before []byte) (what string) {
	switch way % 7 {
	case 0:
		q.Chain = random(garbageChain)
		return "garbage for a chain"
	case 1:
		q.Chain = q.GetChain()[:len(q.GetChain())-1-way%100]
		return "a chain that ends early"
	case 2:
		q.Proof = q.GetProof()[:way%proofLength]
		return "a proof that ends early"
	case 3:
		q.Proof = random(proofLength)
		return "a random proof"
	case 4:
		q.Proof = before
		return "the proof for another key"
	case 5:
		q.Shares.KeyId = random(26)
		return "shares for a key that there is not"
	default:
		return "a good proof, and shares that are sealed to nothing"
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
