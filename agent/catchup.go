package agent

// Several agents may serve one vault, and each has the policy and the authenticator app of
// its unlock. What a proof takes is the word of whoever owns the vault, not of the agent that
// is asked for it: before each proof, an agent goes by what the others have made of both.

// catchUp has s go by the policy and the authenticator app that the vault has. The caller
// holds its turn to change the vault.
func (a *Agent) catchUp(s *session) error {
	if err := s.vault.Refresh(); err != nil {
		return err
	}
	now := s.vault.Generation()
	if s.caughtUp == now {
		return nil
	}
	if err := a.catchUpAuthenticator(s); err != nil {
		return err
	}
	packed, ok, err := s.vault.Policy()
	if err != nil || !s.policy().are(packed) {
		a.putInForce(s, readRules(packed, ok, err))
		a.approvals.Drop() // who waits is decided on anew
	}
	if err == nil { // else the next one reads it again: room may have been short
		s.caughtUp = now
	}
	return nil
}

// catchUpAuthenticator has s take the codes of the app that the vault has, if any.
func (a *Agent) catchUpAuthenticator(s *session) error {
	id, there := s.vault.RecordID(nameTOTP)
	if old := s.authenticator; there && old != nil && old.id == id || !there && old == nil {
		return nil
	}
	if there {
		_, err := a.publishTOTP(s)
		return err
	}
	return a.forgetTOTP(s)
}
