package command

import pb "github.com/nsagent/nsagent/proto/nsagent/v1"

// codeLines are the second and third line of an error, where who made it has none of its
// own.
type codeLines struct{ why, next string }

// linesOf returns the lines for a code; for none of this program, such as one of a newer
// agent, those say so. command is the one that runs, or "".
func linesOf(code pb.Code, command string) codeLines {
	if command == "" {
		command = "nsagent"
	}
	if code == pb.CodeUsage || code == pb.CodeRequest { // it knows best what it takes
		return codeLines{"it is not what the command takes", "see:  " + command + " --help"}
	}
	for _, lines := range []map[pb.Code]codeLines{requestLines(), vaultLines(), agentLines(), netSuiteLines()} {
		if l, known := lines[code]; known {
			return l
		}
	}
	return codeLines{"the code is of a newer agent than this program", "see which it is:  nsagent status"}
}

// requestLines are about what was asked for, and who may.
func requestLines() map[pb.Code]codeLines {
	return map[pb.Code]codeLines{
		pb.CodeURL:        {"it could not be sent exactly as it stands", "see what a URL may hold:  nsagent explain NSA-URL"},
		pb.CodeAccount:    {"it is digits or letters, such as 1234567 or 1234567_SB1", "NetSuite has it at Setup > Company > Company Information"},
		pb.CodeCredential: {"it needs all of its parts, and they have to fit", "see what is wanted:  nsagent profile add --help"},
		pb.CodeNoProfile:  {"none has that name, or none was named", "list them:  nsagent profile ls"},
		pb.CodeNotFound:   {"it was removed, or is called otherwise", "see what there is:  nsagent status"},
		pb.CodeExists:     {"nothing is ever replaced in silence", "use another name, or remove what is there"},
		pb.CodeLimited:    {"the agent keeps bounds, so that it goes on answering", "try again in a moment"},
		pb.CodeDenied:     {"a limit of the profile, or the policy, does not allow it", "see its limits:  nsagent profile show NAME"},
		pb.CodeAsk:        {"a rule of the policy wants somebody to approve it", "see what waits:  nsagent requests"},
		pb.CodePolicy:     {"it is malformed, or another one is in force by now", "see line and key:  nsagent policy check"},
		pb.CodeReadOnly:   {"its access is read, and this counts as writing", "see its access:  nsagent profile show NAME"},
		pb.CodeHost:       {"a header for another host could be used there", "see account and endpoint:  nsagent profile show NAME"},
		pb.CodeDeclined:   {"who was asked said no, or did not answer in time", "see who asked, and what for:  nsagent audit query --last 5"},
		pb.CodeGrant:      {"the token is damaged, or of another vault", "see what it says:  nsagent grant show -"},
		pb.CodeGrantScope: {"the token is good, and does not allow this", "see what it allows:  nsagent grant show -"},
		pb.CodeRevoked:    {"whoever owns the vault has revoked it", "have whoever made the token make another"},
		pb.CodeCheck:      {"each finding says what to do", "begin with the first that is listed"},
	}
}

// vaultLines are about the vault and what opens it.
func vaultLines() map[pb.Code]codeLines {
	return map[pb.Code]codeLines{
		pb.CodeNoVault:    {"none was made yet, or HOME or XDG_DATA_HOME is another", "make one:  nsagent init"},
		pb.CodeLocked:     {"nobody has unlocked it, or it locked by itself", "unlock it:  nsagent unlock"},
		pb.CodePassphrase: {"it is wrong, or belongs with another keyring", "try again:  nsagent unlock"},
		pb.CodeKeyring:    {"its share of the key is needed to open the vault", "see which it is:  nsagent doctor"},
		pb.CodeKey:        {"nothing was given that opens it", "see what opens the vault:  nsagent key ls"},
		pb.CodeProof:      {"it widens a right; being unlocked is not enough for that", "type it at a terminal, or give --passphrase-file FILE"},
		pb.CodeConfirm:    {"it widens a right, and there is no passphrase to ask for", "type it at a terminal, and say yes"},
		pb.CodeTOTP:       {"it takes the six digits that the app shows now", "type it at a terminal, or give --totp-fd N"},
		pb.CodeBackoff:    {"there were several wrong ones in a row", "wait, then:  nsagent unlock"},
		pb.CodeDamaged:    {"something does not match its signature or checksum", "see what is whole:  nsagent vault fsck"},
		pb.CodeNewer:      {"a newer nsagent has written it", "use that here, too; this one is:  nsagent version"},
		pb.CodeRollback:   {"it is older than one that was seen on this machine", "see what was seen, and what to type:  nsagent vault fsck"},
		pb.CodeFull:       {"it has its largest size", "remove what is not used:  nsagent profile rm NAME"},
	}
}

// agentLines are about the agent, its sockets, log and memory.
func agentLines() map[pb.Code]codeLines {
	return map[pb.Code]codeLines{
		pb.CodeInternal: {"a file, a device, or a fault of nsagent", "see what this machine lacks:  nsagent doctor"},
		pb.CodePeer:     {"each user has an agent of their own", "start one as this user:  nsagent agent start"},
		pb.CodeAgent:    {"nobody answers at its socket", "see what is the matter:  nsagent doctor"},
		pb.CodeVersion:  {"it is older than this program", "start it again:  nsagent agent stop && nsagent agent start"},
		pb.CodeRunning:  {"there is one a user and socket", "see it:  nsagent status"},
		pb.CodeSocket:   {"it is too long for a socket address, or not absolute", "set XDG_RUNTIME_DIR or NSAGENT_SOCK to a short path"},
		pb.CodeUnsafe:   {"somebody else can read or replace it", "see which, and what to type:  nsagent doctor"},
		pb.CodeAudit:    {"what cannot be recorded is not done", "see the state:  nsagent doctor"},
		pb.CodeAuditBad: {"its lines do not fit together", "see where:  nsagent audit verify"},
		pb.CodeMemory:   {"too little may be locked to keep secrets from swap", "see limit and need:  nsagent doctor"},
	}
}

// netSuiteLines are about NetSuite, and what ends there.
func netSuiteLines() map[pb.Code]codeLines {
	return map[pb.Code]codeLines{
		pb.CodeNetSuite: {"what was sent is right as far as nsagent can tell", "see what may be missing:  nsagent profile test NAME"},
		pb.CodeNetwork:  {"it did not answer, or not to the end", "try again, and see what is lacking:  nsagent doctor"},
		pb.CodeExpired:  {"it has come to its end, or was revoked", "see the dates:  nsagent profile ls"},
		pb.CodeStale:    {"its sandbox was refreshed, and nothing new is stored", "see what to do:  nsagent profile refreshed NAME"},
		pb.CodeConsent:  {"nobody has allowed it in the browser, or not any more", "log in:  nsagent login -p NAME"},
	}
}
