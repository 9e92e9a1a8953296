package agent

import (
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// BenchmarkRevocation measures, with 64 connections that have shown a token of the grant,
// how long it takes until the last of them is closed: by the agent that is told to revoke it,
// before the entry in the ledger, and by another one on the same vault, which goes by that.
func BenchmarkRevocation(b *testing.B) {
	const connections = 64
	f := start(b)
	f.unlock()
	f.addTBA("acme")
	v, _, err := f.agent.vaultOfState(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for name, serves := range map[string]*fixture{"here": f, "beside": f.beside()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				token := f.mint(unlocktoken.Caveats{}, "acme")
				var closing sync.WaitGroup
				for range connections {
					s := serves.shown(token).idle()
					closing.Go(func() {
						for {
							if _, err := s.Recv(); err != nil {
								return
							}
						}
					})
				}
				id := grantIDOf(b, token)
				b.StartTimer()
				revoked := make(chan error, 1)
				go func() { revoked <- f.agent.revokeGrant(b.Context(), nil, v, id) }()
				closing.Wait()
				b.StopTimer()
				if err := <-revoked; err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkHeed is what it takes before each call of a grant to look whether another agent
// has revoked something.
func BenchmarkHeed(b *testing.B) {
	f := start(b)
	f.unlock()
	f.addTBA("acme")
	f.show(f.mint(unlocktoken.Caveats{}, "acme"))
	g := f.agent.presented.conns[f.agent.presented.all()[0]]
	b.ReportAllocs()
	for b.Loop() {
		if err := f.agent.heed(g); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRedeem is what showing a token costs, with connection and log: in an open agent,
// and in a locked one, which reads the vault and opens one profile.
func BenchmarkRedeem(b *testing.B) {
	for _, locked := range []bool{false, true} {
		name := "unlocked"
		if locked {
			name = "locked"
		}
		b.Run(name, func(b *testing.B) {
			f := start(b)
			f.unlock()
			f.addTBA("acme")
			token := f.mint(unlocktoken.Caveats{}, "acme")
			if locked {
				if err := f.admin.Lock(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				_ = f.show(token).Close()
			}
		})
	}
}

// BenchmarkRedeemWhileUnlocking is what showing a token to a locked agent takes while
// somebody's passphrase is looked at, at the default cost.
func BenchmarkRedeemWhileUnlocking(b *testing.B) {
	f := start(b)
	f.unlock()
	f.addTBA("acme")
	if _, err := f.admin.ChangePassphrase(b.Context(), f.passphrase(testPassphrase), f.sealer(testPassphrase), "default"); err != nil {
		b.Fatal(err)
	}
	token := f.mint(unlocktoken.Caveats{}, "acme")
	for b.Loop() {
		b.StopTimer()
		if err := f.admin.Lock(b.Context()); err != nil {
			b.Fatal(err)
		}
		unlocked := make(chan error, 1)
		go func() {
			_, err := f.admin.UnlockBy(b.Context(), f.passphrase(testPassphrase), 0)
			unlocked <- err
		}()
		eventually(b, inTime, func() string {
			if len(f.agent.admin) == 0 {
				return "no unlock is under way"
			}
			return ""
		})
		time.Sleep(20 * time.Millisecond)
		b.StartTimer()
		_ = f.show(token).Close()
		b.StopTimer()
		if err := <-unlocked; err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// FuzzShares: what comes in the place of shares is refused or a list of them.
func FuzzShares(f *testing.F) {
	a := start(f).agent
	f.Add([]byte{})
	f.Add(make([]byte, shareSize))
	f.Add(make([]byte, 2*shareSize))
	f.Fuzz(func(t *testing.T, p []byte) {
		whole := append([]byte(nil), p...)
		b, err := a.arena.Take(p)
		if err != nil {
			return // longer than the arena
		}
		defer b.Destroy()
		if err := checkShares(b); err != nil {
			return
		}
		for i := 0; i < len(whole); i += shareSize {
			s, err := a.shareOf(b, unlocktoken.ID(whole[i:i+credentialSize]))
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Use(func(got []byte) error {
				if string(got) != string(whole[i+credentialSize:i+shareSize]) {
					t.Error("another share")
				}
				return nil
			})
			s.Destroy()
		}
	})
}
