package envelope

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
)

func TestSlotRoundTrip(t *testing.T) {
	k := newKeys(t)
	a := k.arena
	for _, kind := range allKinds {
		shares := testShares(t, a, kind)
		s, err := k.SealSlot(kind, KDFLow, shares)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeSlot(s.Encode())
		if err != nil {
			t.Fatalf("%s: decoding: %v", kind, err)
		}
		vrk, err := again.Open(a, testVault, shares)
		if err != nil || !vrk.Equal(k.vrk) {
			t.Errorf("%s: opened to another VRK, or %v", kind, err)
		}
	}
}

// allKinds are the kinds of key slots.
var allKinds = []Kind{KindKeyring, KindPassphrase, KindKeyringPassphrase, KindRecovery, KindKeyFile}

// testShares returns what opens the slots of tests, more of it than one kind needs.
func testShares(t testing.TB, a *secret.Arena, kind Kind) Shares {
	t.Helper()
	return Shares{
		Passphrase: take(t, a, []byte("correct horse")), Keyring: take(t, a, bytes.Repeat([]byte{9}, ShareSize)),
		Key: take(t, a, bytes.Repeat([]byte{7}, kind.KeySize())),
	}
}

// TestSlotNeedsEveryShare is V-11 and V-06 below the manifest: no share of a slot
// opens it alone, no wrong one does, and no edit of the slot survives.
func TestSlotNeedsEveryShare(t *testing.T) {
	k := newKeys(t)
	a := k.arena
	passphrase, share := take(t, a, []byte("correct horse")), take(t, a, bytes.Repeat([]byte{9}, ShareSize))
	wrong, other, short := take(t, a, []byte("correct horse\n")), take(t, a, bytes.Repeat([]byte{8}, ShareSize)), take(t, a, []byte("short"))
	both, err := k.SealSlot(KindKeyringPassphrase, KDFLow, Shares{Passphrase: passphrase, Keyring: share})
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := k.SealSlot(KindKeyring, KDF{}, Shares{Keyring: share})
	if err != nil {
		t.Fatal(err)
	}
	phrase, err := k.SealSlot(KindPassphrase, KDFLow, Shares{Passphrase: passphrase})
	if err != nil {
		t.Fatal(err)
	}
	code, otherCode, longCode := take(t, a, bytes.Repeat([]byte{7}, RecoverySize)), take(t, a, bytes.Repeat([]byte{6}, RecoverySize)), take(t, a, bytes.Repeat([]byte{7}, KeyFileSize))
	recovery, err := k.SealSlot(KindRecovery, KDF{}, Shares{Key: code})
	if err != nil {
		t.Fatal(err)
	}
	file, err := k.SealSlot(KindKeyFile, KDF{}, Shares{Key: longCode})
	if err != nil {
		t.Fatal(err)
	}
	edit := func(s *Slot, f func(*Slot)) *Slot {
		c := *s
		c.Salt, c.VRK = bytes.Clone(s.Salt), bytes.Clone(s.VRK)
		f(&c)
		return &c
	}
	for _, c := range []struct {
		name   string
		slot   *Slot
		vault  ID
		shares Shares
	}{
		{"both: passphrase alone", both, testVault, Shares{Passphrase: passphrase}},
		{"both: share alone", both, testVault, Shares{Keyring: share}},
		{"both: neither", both, testVault, Shares{}},
		{"both: wrong passphrase", both, testVault, Shares{Passphrase: wrong, Keyring: share}},
		{"both: wrong share", both, testVault, Shares{Passphrase: passphrase, Keyring: other}},
		{"both: short share", both, testVault, Shares{Passphrase: passphrase, Keyring: short}},
		{"both made passphrase", edit(both, func(s *Slot) { s.Kind = KindPassphrase }), testVault, Shares{Passphrase: passphrase, Keyring: share}},
		{"both made keyring", edit(both, func(s *Slot) { s.Kind, s.KDF, s.Salt = KindKeyring, KDF{}, nil }), testVault, Shares{Passphrase: passphrase, Keyring: share}},
		{"keyring: wrong share", keyring, testVault, Shares{Keyring: other}},
		{"keyring: other vault", keyring, ID{1}, Shares{Keyring: share}},
		{"keyring: other slot id", edit(keyring, func(s *Slot) { s.ID[3] ^= 1 }), testVault, Shares{Keyring: share}},
		{"keyring: VRK of another slot", edit(keyring, func(s *Slot) { s.VRK = phrase.VRK }), testVault, Shares{Keyring: share}},
		{"passphrase: trailing newline", phrase, testVault, Shares{Passphrase: wrong}},
		{"passphrase: other salt", edit(phrase, func(s *Slot) { s.Salt[0] ^= 1 }), testVault, Shares{Passphrase: passphrase}},
		{"passphrase: other cost", edit(phrase, func(s *Slot) { s.KDF.Time++ }), testVault, Shares{Passphrase: passphrase}},
		{"passphrase: more memory", edit(phrase, func(s *Slot) { s.KDF.MemoryKiB += 1 }), testVault, Shares{Passphrase: passphrase}},
		{"recovery: nothing", recovery, testVault, Shares{}},
		{"recovery: wrong code", recovery, testVault, Shares{Key: otherCode}},
		{"recovery: longer code", recovery, testVault, Shares{Key: longCode}},
		{"recovery: as passphrase", recovery, testVault, Shares{Passphrase: code}},
		{"recovery: other vault", recovery, ID{1}, Shares{Key: code}},
		{"recovery: other slot id", edit(recovery, func(s *Slot) { s.ID[3] ^= 1 }), testVault, Shares{Key: code}},
		{"recovery: VRK of another slot", edit(recovery, func(s *Slot) { s.VRK = file.VRK }), testVault, Shares{Key: code}},
		{"recovery made key file", edit(recovery, func(s *Slot) { s.Kind = KindKeyFile }), testVault, Shares{Key: code}},
		{"key file: share of the keyring", file, testVault, Shares{Keyring: longCode}},
		{"key file: shorter key", file, testVault, Shares{Key: code}},
		{"key file made keyring", edit(file, func(s *Slot) { s.Kind = KindKeyring }), testVault, Shares{Keyring: longCode}},
		{"keyring made key file", edit(keyring, func(s *Slot) { s.Kind = KindKeyFile }), testVault, Shares{Key: share}},
		{"unknown kind", edit(keyring, func(s *Slot) { s.Kind = "age" }), testVault, Shares{Keyring: share}},
	} {
		vrk, err := c.slot.Open(a, c.vault, c.shares)
		if !errors.Is(err, ErrOpen) || !vrk.IsZero() {
			t.Errorf("%s: got %v, want ErrOpen", c.name, err)
		}
	}
}

// TestKDFBounds is V-05: outside floor and ceiling nothing is computed. At the
// ceiling's far side Argon2id would take minutes or gibibytes, so that it does not
// run shows in the time the test takes.
func TestKDFBounds(t *testing.T) {
	for _, c := range []struct {
		kdf KDF
		ok  bool
	}{
		{KDFDefault, true}, {KDFLow, true}, {KDF{2 << 20, 16, 16}, true}, {KDF{64 << 10, 3, 4}, true},
		{KDF{}, false}, {KDF{19<<10 - 1, 2, 1}, false}, {KDF{19 << 10, 1, 1}, false}, {KDF{19 << 10, 2, 0}, false},
		{KDF{2<<20 + 1, 2, 1}, false}, {KDF{19 << 10, 17, 1}, false}, {KDF{19 << 10, 2, 17}, false},
		{KDF{1<<32 - 1, 1<<32 - 1, 255}, false},
	} {
		if err := c.kdf.Check(); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrKDF) {
			t.Errorf("%+v: %v", c.kdf, err)
		}
		if c.ok {
			continue
		}
		dst := make([]byte, keySize)
		if err := c.kdf.stretch(dst, []byte("p"), make([]byte, saltSize)); !errors.Is(err, ErrKDF) || !bytes.Equal(dst, make([]byte, keySize)) {
			t.Errorf("%+v: stretch gave %v", c.kdf, err)
		}
		s := &Slot{Kind: KindPassphrase, KDF: c.kdf, Salt: make([]byte, saltSize), VRK: make([]byte, sealedKeySize)}
		if _, err := DecodeSlot(s.Encode()); err == nil {
			t.Errorf("%+v: accepted in a slot", c.kdf)
		}
		a := newArena(t)
		if _, err := s.Open(a, testVault, Shares{Passphrase: take(t, a, []byte("p"))}); !errors.Is(err, ErrKDF) {
			t.Errorf("%+v: opening a slot gave %v", c.kdf, err)
		}
	}
}

func TestSealSlotRefuses(t *testing.T) {
	k := newKeys(t)
	passphrase := take(t, k.arena, []byte("p"))
	empty, err := k.arena.Alloc(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		kind   Kind
		kdf    KDF
		shares Shares
		want   error
	}{
		{"no passphrase", KindPassphrase, KDFLow, Shares{}, ErrInput},
		{"empty passphrase", KindPassphrase, KDFLow, Shares{Passphrase: empty}, ErrInput},
		{"no share", KindKeyring, KDF{}, Shares{}, ErrInput},
		{"share of wrong length", KindKeyring, KDF{}, Shares{Keyring: passphrase}, ErrInput},
		{"one of two", KindKeyringPassphrase, KDFLow, Shares{Passphrase: passphrase}, ErrInput},
		{"no code", KindRecovery, KDF{}, Shares{}, ErrInput},
		{"code of wrong length", KindRecovery, KDF{}, Shares{Key: passphrase}, ErrInput},
		{"key file of wrong length", KindKeyFile, KDF{}, Shares{Key: passphrase}, ErrInput},
		{"unknown kind", "age", KDFLow, Shares{Passphrase: passphrase}, ErrInput},
		{"cheap", KindPassphrase, KDF{1024, 1, 1}, Shares{Passphrase: passphrase}, ErrKDF},
	} {
		if s, err := SealSlot(k.arena, rand.Reader, testVault, k.vrk, c.kind, c.kdf, c.shares); !errors.Is(err, c.want) || s != nil {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := SealSlot(k.arena, bytes.NewReader(nil), testVault, k.vrk, KindPassphrase, KDFLow, Shares{Passphrase: passphrase}); err == nil {
		t.Error("sealed a slot without randomness")
	}
}
