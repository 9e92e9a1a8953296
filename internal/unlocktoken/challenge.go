package unlocktoken

// labelChallenge keeps a challenge of an agent from being taken for another.
const labelChallenge = "nsagent/v1 redeem"

// challenge is what an agent asks a presentation to sign.
type challenge struct {
	_         struct{} `cbor:",toarray"`
	Label     string
	Vault     []byte
	Instance  []byte
	KeyID     []byte
	PublicKey []byte
}

// Challenge returns what Token.Prove signs for an agent: its vault, its instance, and the
// id and the public half of the one-time key to which the shares of this presentation are
// sealed. The key is good for one presentation on one connection, and so is the proof;
// whoever passes both on to another agent cannot have the shares sealed to a key of theirs.
func Challenge(vault, instance, keyID, publicKey []byte) []byte {
	return encode(challenge{Label: labelChallenge, Vault: vault, Instance: instance, KeyID: keyID, PublicKey: publicKey})
}
