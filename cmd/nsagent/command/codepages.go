package command

import pb "github.com/nsagent/nsagent/proto/nsagent/v1"

// codePage explains a code beyond the one sentence of package proto.
type codePage struct {
	code pb.Code
	// why and next are the second and third line of an error, where who made it has none
	// of its own.
	why, next string
	// means says what happened, and what did not.
	means string
	// causes are the likely ones, the likeliest first.
	causes []string
	// do is what to do, one thing a line. Two blanks stand before what can be typed.
	do []string
}

// codePages returns a page for every code, in the order of the table.
func codePages() []codePage {
	return append(append(append(requestPages(), vaultPages()...), agentPages()...), grantPages()...)
}

// requestPages are about what was asked for.
func requestPages() []codePage {
	return []codePage{
		{pb.CodeInternal, "a file, a device, or a fault of nsagent", "see what this machine lacks:  nsagent doctor",
			"Something failed for which nsagent has no better name: most often a file or device, else a fault of the program. Nothing was signed.",
			[]string{"a full or failing disk", "a fault in nsagent"},
			[]string{"look at what the machine lacks:  nsagent doctor", "see what the agent wrote:  less ~/.local/state/nsagent/agent.log", "report it as SECURITY.md or CONTRIBUTING.md says, with the log"}},
		{pb.CodeUsage, "it is not what the command takes", "see:  nsagent COMMAND --help",
			"The command line, the configuration or an answer is not right. Nothing was done.",
			[]string{"a misspelt command or flag", "a secret given as a flag, which no command takes", "something had to be asked, and there is no terminal, or --no-input or NSAGENT_NO_INPUT is set", "an unknown key in config.toml"},
			[]string{"see the command's own help:  nsagent COMMAND --help", "see how to answer without a terminal:  nsagent help modes"}},
		{pb.CodeRequest, "it is not what the command takes", "see:  nsagent COMMAND --help",
			"The agent understood the call, and the request in it cannot be signed as it is.",
			[]string{"a field that is missing, unknown or given twice", "a form body that is not a form", "a profile of the wrong kind: tba signs headers, passports and Connect passwords, m2m makes assertions"},
			[]string{"see which kind the profile is:  nsagent profile ls", "see the fields of the JSON form:  docs/protocol.md"}},
		{pb.CodeURL, "it could not be sent exactly as it stands", "see what a URL may hold:  nsagent explain NSA-URL",
			"The URL cannot be signed exactly as it would be sent, so a signature would not fit.",
			[]string{"blanks, quotes or other characters that are not percent-encoded", "a user name, a port, a fragment or an IP address in the URL", "http instead of https"},
			[]string{"encode it first; in a shell:  curl -G --data-urlencode 'q=…' …", "put the URL in quotes, so that the shell leaves & and ? alone"}},
		{pb.CodeAccount, "it is digits or letters, such as 1234567 or 1234567_SB1", "NetSuite has it at Setup > Company > Company Information",
			"NetSuite's account IDs are digits or letters, with an underscore before the sandbox: 1234567 or 1234567_SB1. The form of host names, 1234567-sb1, is taken too.",
			[]string{"a URL or a company name in place of the ID", "blanks or other characters around it"},
			[]string{"look it up in NetSuite: Setup > Company > Company Information, Account ID"}},
		{pb.CodeCredential, "it needs all of its parts, and they have to fit", "see what is wanted:  nsagent profile add --help",
			"The parts of a credential are incomplete, or do not belong together. Nothing was stored.",
			[]string{"consumer and token values were exchanged, or one of the four is missing", "a certificate where the private key belongs, or the other way round", "a private key that is encrypted, or of a kind that NetSuite does not take", "a certificate that does not belong to the private key"},
			[]string{"see what is wanted:  nsagent profile add --help", "decrypt a key first:  openssl pkey -in key.pem -out plain.pem"}},
		{pb.CodeNoProfile, "none has that name, or none was named", "list them:  nsagent profile ls",
			"No profile has that name, or none was named and there is not exactly one.",
			[]string{"a misspelt name", "NSAGENT_PROFILE or default_profile names a profile that was removed or renamed", "the vault is another one than you think: HOME or XDG_DATA_HOME differ"},
			[]string{"list them:  nsagent profile ls", "name one:  nsagent -p NAME …"}},
		{pb.CodeNotFound, "it was removed, or is called otherwise", "see what there is:  nsagent status",
			"What was named is not there, or not where it is looked for.",
			[]string{"a misspelt name or code", "no agent has run here yet, so there is no audit log"},
			[]string{"see what there is:  nsagent status", "list the codes:  nsagent explain"}},
		{pb.CodeExists, "nothing is ever replaced in silence", "use another name, or remove what is there",
			"The name is taken, and nothing is ever replaced in silence. What is there stays as it is.",
			[]string{"init where there is a vault already, or the rest of an earlier one", "a profile of that name"},
			[]string{"use another name, or remove the old one:  nsagent profile rm NAME", "for another vault, set XDG_DATA_HOME and XDG_STATE_HOME"}},
		{pb.CodeLimited, "the agent keeps bounds, so that it goes on answering", "try again in a moment",
			"Too much was going on at once, and the agent keeps a bound so that it never stops answering.",
			[]string{"more than 256 connections, or 64 calls at a time on one", "another process changes the vault at this moment"},
			[]string{"wait a moment and send again; the refused call was not carried out", "use one connection for many calls; package client does"}},
		{pb.CodeDenied, "a limit of the profile, or the policy, does not allow it", "see its limits:  nsagent profile show NAME",
			"Policy or the limits of the profile do not allow this use. It is in the audit log.",
			[]string{"no rule of the policy in force allows it, or one denies it", "the profile is not meant for it", "somebody else's process asked"},
			[]string{"see the profile's limits:  nsagent profile show NAME", "see which rule decides:  nsagent policy explain --help", "see what was asked:  nsagent audit query --outcome denied --last 5"}},
		{pb.CodeAsk, "a rule of the policy wants somebody to approve it", "see what waits:  nsagent requests",
			"A rule of the policy wants a person to approve this use, and nobody has yet. Nothing was signed.",
			[]string{"nobody was there to be asked, or nobody answered in time", "the rule that asks stands before one that would allow it"},
			[]string{"see which rule asks:  nsagent policy explain --help", "see the policy in force:  nsagent policy show"}},
		{pb.CodePolicy, "it is malformed, or another one is in force by now", "see line and key:  nsagent policy check",
			"The policy, or a table of cases for it, is not well formed, or another policy is in force by now than the one that it was compared with. The policy in force stays as it is.",
			[]string{"a key that is unknown, comes twice or is written in other letters", "a rule without name, effect or what", "a time zone or an operation that does not exist", "somebody else adopted a policy meanwhile"},
			[]string{"see line and key:  nsagent policy check", "see what may stand there:  docs/policy.md", "look at the difference again:  nsagent policy edit"}},
		{pb.CodeReadOnly, "its access is read, and this counts as writing", "see its access:  nsagent profile show NAME",
			"The profile is limited to reading, and this would write. Production profiles are read-only unless somebody said otherwise. Passports, Connect passwords, assertions and access tokens count as writing: they carry the whole role.",
			[]string{"a POST, PUT, PATCH or DELETE", "a passport, Connect password or assertion", "access was left out for a production account"},
			[]string{"see its access:  nsagent profile show NAME", "if it is to write, add it with \"access\":\"write\""}},
		{pb.CodeHost, "a header for another host could be used there", "see account and endpoint:  nsagent profile show NAME",
			"The profile signs for the hosts of its own account, or for its one endpoint, and for nothing else: a header for another host could be used there.",
			[]string{"the account in the URL is not the profile's: production and sandbox have different hosts", "a misspelt host", "the URL of a mock or gateway, and no endpoint in the profile"},
			[]string{"see account and endpoint:  nsagent profile show NAME", "use the profile of that account:  nsagent -p OTHER sign URL", "for a mock or gateway, add the profile with its \"endpoint\""}},
		{pb.CodeNetSuite, "what was sent is right as far as nsagent can tell", "see what may be missing:  nsagent profile test NAME",
			"NetSuite answered, and refused. The signature that was sent is correct as far as nsagent can tell.",
			[]string{"the token or certificate was revoked, or the sandbox was refreshed, which removes both", "the role lacks a permission, or the feature is off", "too many requests at once, which NetSuite may report as an invalid login", "a clock more than five minutes off"},
			[]string{"check the clock:  nsagent doctor", "after a refresh of the sandbox:  nsagent profile refreshed NAME", "look into NetSuite: Setup > Users/Roles > User Management > View Login Audit Trail"}},
		{pb.CodeNetwork, "it did not answer, or not to the end", "try again, and see what is lacking:  nsagent doctor",
			"The agent's gateway could not reach NetSuite, or the issuer of a job's ID token, or its answer did not arrive whole. Nothing was decided there; where the message says that the connection ended, the request may have arrived.",
			[]string{"no network, or a name that does not resolve: a misspelt account ID", "a proxy of the company that puts its own certificate in the way", "a clock so far off that certificates seem out of date", "NetSuite is slow or away for the moment", "a runner without a way to the issuer whose keys verify the ID token"},
			[]string{"try again; after a failure the agent waits 1 s to 1 min before it asks NetSuite again", "see what this machine lacks:  nsagent doctor", "behind a proxy that reads along, add the profile with its \"ca_file\"", "where the issuer of ID tokens cannot be reached, pin its keys by jwks_file in the policy, and make the grant anew:  nsagent policy edit"}},
		{pb.CodeExpired, "it has come to its end, or was revoked", "see the dates:  nsagent profile ls",
			"The certificate, the access or the token has come to its end, or was revoked. Nothing was signed with it.",
			[]string{"certificates for M2M end after two years at the latest", "a clock that is far ahead"},
			[]string{"see the dates:  nsagent profile ls", "make a new certificate, and upload it:  nsagent cert new -p NAME", "check the clock:  nsagent doctor"}},
		{pb.CodeStale, "its sandbox was refreshed, and nothing new is stored", "see what to do:  nsagent profile refreshed NAME",
			"Somebody said that the sandbox was refreshed, which removes its tokens and certificate mappings. Nothing is signed with what was stored before, so that NetSuite does not lock the user out for trying again and again.",
			[]string{"a refresh of the sandbox, and no new token or certificate since", "somebody typed  nsagent profile refreshed  by mistake"},
			[]string{"see what to do in NetSuite, and enter what is new:  nsagent profile refreshed NAME", "store a new token:  nsagent profile edit NAME", "where it was no refresh, or the certificate is mapped again:  nsagent profile refreshed NAME --undo"}},
		{pb.CodeConsent, "nobody has allowed it in the browser, or not any more", "log in:  nsagent login -p NAME",
			"The profile lives on somebody's consent, given in NetSuite in the browser, and that is not there, not any more, or was refused. Nothing else can get an access token for it.",
			[]string{"nobody has logged in with it yet", "the refresh token came to its end: 7 days for a confidential client, 2 days without use for a public one, unless the integration record says otherwise", "the authorized application was revoked, or the scopes of its integration record were extended", "the agent was killed in the middle of a refresh: a public client's refresh token is good once", "whoever was asked in the browser said no"},
			[]string{"log in:  nsagent login -p NAME", "see since when:  nsagent profile show NAME", "for a program that runs without anybody, use a certificate instead (auth m2m):  docs/oauth2.md"}},
		{pb.CodeCheck, "each finding says what to do", "begin with the first that is listed",
			"A check ran to its end and found problems, which it has listed. Nothing was changed.",
			[]string{"what the listed findings say"},
			[]string{"go through them from the top: each ends with what to type", "for scripts:  nsagent doctor -o json"}},
	}
}

// vaultPages are about the vault and what opens it.
func vaultPages() []codePage {
	return []codePage{
		{pb.CodeNoVault, "none was made yet, or HOME or XDG_DATA_HOME is another", "make one:  nsagent init",
			"There is no vault for this user yet, at the place where it is looked for.",
			[]string{"init was never run", "HOME or XDG_DATA_HOME differ from those of init: another user, sudo, a container, cron"},
			[]string{"make one:  nsagent init", "see where it is looked for:  nsagent doctor"}},
		{pb.CodeLocked, "nobody has unlocked it, or it locked by itself", "unlock it:  nsagent unlock",
			"The agent runs and has no keys: the vault is locked. Nothing was signed.",
			[]string{"nobody has unlocked it since the agent started", "it was not used for an hour, or unlocked for twelve: it locks by itself then", "somebody ran  nsagent lock"},
			[]string{"unlock it:  nsagent unlock", "have its owner do that, at a socket of a grant or of exec: from there nothing is unlocked", "see or set the times:  nsagent help environment"}},
		{pb.CodePassphrase, "it is wrong, or belongs with another keyring", "try again:  nsagent unlock",
			"The vault did not open with what was given, or it needs a passphrase and none could be asked for. Wrong passphrase and wrong keyring share look the same: it would help a thief to tell them apart.",
			[]string{"a wrong passphrase, or another keyboard layout", "a passphrase file with more than the passphrase in it", "the keyring belongs to another login than at init", "no terminal to ask on"},
			[]string{"try again:  nsagent unlock", "without a terminal:  nsagent unlock --passphrase-file FILE"}},
		{pb.CodeKeyring, "its share of the key is needed to open the vault", "see which it is:  nsagent doctor",
			"The OS keyring did not give its share of the key, so the vault stays locked. Nothing gets around it but another key slot, such as the recovery code.",
			[]string{"no D-Bus session, as over SSH, in cron or in a container", "the keyring is locked, or asks something on a screen that nobody sees", "no Secret Service is installed", "the vault was copied from another machine"},
			[]string{"see which of these it is:  nsagent doctor", "see what to do about each:  nsagent help modes", "with the recovery code:  nsagent key recover"}},
		{pb.CodeKey, "nothing was given that opens it", "see what opens the vault:  nsagent key ls",
			"The vault did not open by the key file or the recovery code, or it needs one of them and none was given. A mistyped recovery code is told from one of another vault: the message says which word it is.",
			[]string{"a key file of another vault, or one that was replaced since", "a recovery code from before a new one was made and the old one removed", "the key file is not where key_file in config.toml says"},
			[]string{"see what opens the vault:  nsagent key ls", "give the key file:  nsagent unlock --key-file FILE", "by the recovery code:  nsagent unlock --recovery"}},
		{pb.CodeProof, "it widens a right; being unlocked is not enough for that", "type it at a terminal, or give --passphrase-file FILE",
			"What was asked for widens a right, or carries something out, and being unlocked is not enough for that: the passphrase has to be given again, for this one call. Nothing was changed.",
			[]string{"a profile's limits were to be widened, such as from read to write", "no terminal to ask on, or --no-input"},
			[]string{"type the same at a terminal, which asks for it", "without a terminal, give it as a file with --passphrase-file FILE"}},
		{pb.CodeConfirm, "it widens a right, and there is no passphrase to ask for", "type it at a terminal, and say yes",
			"What was asked for widens a right, and the vault has no passphrase that could be asked for: somebody at a terminal has to say yes. Nothing was changed.",
			[]string{"a vault that the keyring alone opens", "a script, which nobody watches"},
			[]string{"type the same at a terminal, and say yes", "give the vault a passphrase, so that scripts can prove it, too:  nsagent help modes"}},
		{pb.CodeTOTP, "it takes the six digits that the app shows now", "type it at a terminal, or give --totp-fd N",
			"The call needs the six digits that the authenticator app shows now, or the ones that came with it were wrong or used before. Nothing was done.",
			[]string{"no code was given, and there is no terminal to ask on", "the code was mistyped, or the app has changed it meanwhile", "the clock of the phone or of this machine is off by more than 30 seconds", "the code was used a moment ago: each counts once"},
			[]string{"wait for the next code, and type the command again", "give it without a terminal:  --totp-fd N", "where the phone is lost, the recovery code takes its place:  --recovery", "see whether an app is set up:  nsagent key ls"}},
		{pb.CodeDeclined, "who was asked said no, or did not answer in time", "see who asked, and what for:  nsagent audit query --last 5",
			"Whoever was asked said no, or nobody answered in time. Nothing was stored, and what was there before is as it was.",
			[]string{"Deny was pressed on NetSuite's page", "the page was closed, or stayed open for longer than ten minutes", "the browser has warned of the certificate of localhost, and nobody told it to go on"},
			[]string{"begin anew, and allow it:  nsagent login -p NAME", "if the browser does not get through, paste the address at which it ends up:  nsagent help login"}},
		{pb.CodeBackoff, "there were several wrong ones in a row", "wait, then:  nsagent unlock",
			"There were several wrong passphrases in a row, and the agent waits longer after each.",
			[]string{"a script that tries a wrong passphrase again and again", "somebody who guesses"},
			[]string{"wait as long as the message says, then:  nsagent unlock", "see who tried:  nsagent audit query --event vault.unlock --last 20"}},
		{pb.CodeDamaged, "something does not match its signature or checksum", "see what is whole:  nsagent vault fsck",
			"The vault, or a file beside it, does not match its signature or checksum. Nothing of it is used, since it may have been changed on purpose.",
			[]string{"a copy or sync that broke off", "a failing disk", "somebody wrote into the file", "the ledger comes from another machine", "a backup or a move without vault.nsv.blobs, which holds the secrets of more than 64 KiB"},
			[]string{"stop the agent, keep the damaged file, and look at the generation before it: vault.nsv.prev in the same directory", "put a backup in its place, or of a blob that is missing that file of vault.nsv.blobs", "see what is whole:  nsagent vault fsck"}},
		{pb.CodeNewer, "a newer nsagent has written it", "use that here, too; this one is:  nsagent version",
			"The vault was written by a newer nsagent, whose format this one does not know. It was not touched.",
			[]string{"an older nsagent first in PATH", "a home directory shared by machines with different versions"},
			[]string{"see the version:  nsagent version", "install the newer one here, too"}},
		{pb.CodeRollback, "it is older than one that was seen on this machine", "see what was seen, and what to type:  nsagent vault fsck",
			"The vault is older than one that was seen on this machine. Somebody may have put an old copy back, to bring back a secret or a right that was removed.",
			[]string{"a backup was restored", "a sync service lost the last changes"},
			[]string{"put the newer file back if there is one: from a backup, or from where it was synced", "if it is lost, or you restored the older one yourself, see what to remove so that this machine forgets the newer one:  nsagent vault fsck"}},
		{pb.CodeFull, "it has its largest size", "remove what is not used:  nsagent profile rm NAME",
			"There is no room left: the vault has its largest size, or a limit of the request was reached.",
			[]string{"very many or very large profiles"},
			[]string{"remove what is not used:  nsagent profile rm NAME"}},
	}
}

// grantPages are about unlock tokens.
func grantPages() []codePage {
	return []codePage{
		{pb.CodeGrant, "the token is damaged, or of another vault", "see what it says:  nsagent grant show --token-file F",
			"The agent could not take the unlock token for what it says it is, so the call has no right to anything. Nothing was signed.",
			[]string{"the token was copied in part, or with a line break in it", "the CI secret is empty in this job, as in the job of a fork", "the token is of another vault, or from before the vault was made anew", "a caveat that this version of nsagent does not know"},
			[]string{"see what the token says, without an agent:  nsagent grant show --token-file F", "give the job the token exactly as it was printed: one line from nst1_ on", "see which tokens are shown and refused:  nsagent audit query --reason NSA-GRANT"}},
		{pb.CodeGrantScope, "the token is good, and does not allow this", "see what it allows:  nsagent grant show --token-file F",
			"The unlock token is good, and what was asked for lies outside of it. A token never gives more than it says, and who holds it cannot widen it.",
			[]string{"another profile, host, method or path than the grant is for", "a job that runs on another branch or in another repository than the grant names", "passport, connect-password, assertion or token where the grant limits hosts, methods or paths: those carry the whole role"},
			[]string{"see what was asked for:  nsagent audit query --reason NSA-GRANT-SCOPE", "see what the token allows:  nsagent grant show --token-file F", "have whoever made the token make another, for what the job needs:  nsagent grant new"}},
		{pb.CodeRevoked, "whoever owns the vault has revoked it", "have whoever made the token make another",
			"Whoever owns the vault has revoked the grant. The token opens nothing any more, and no token that was narrowed from it does.",
			[]string{"the token had leaked, or might have", "it was replaced by another", "the grant was removed from the vault"},
			[]string{"have whoever made the token make another"}},
	}
}

// agentPages are about the agent and its sockets, log and memory.
func agentPages() []codePage {
	return []codePage{
		{pb.CodePeer, "each user has an agent of their own", "start one as this user:  nsagent agent start",
			"The agent takes the calling process for one that may not use this socket. The connection was closed.",
			[]string{"another user: each user has an agent of their own", "the process that opened the connection has ended and handed the descriptor on", "sudo, or a container with other user IDs"},
			[]string{"run as the agent's own user, or start an agent as this one:  nsagent agent start", "open a connection of its own in each process"}},
		{pb.CodeAgent, "nobody answers at its socket", "see what is the matter:  nsagent doctor",
			"Nobody answers at the agent's socket, so nothing was signed.",
			[]string{"no agent runs; one is started on demand, but not where --socket or NSAGENT_SOCK names the socket", "it runs for another user, or with another XDG_RUNTIME_DIR, as after sudo or in cron", "XDG_RUNTIME_DIR was emptied while it ran, as at a logout", "--socket or NSAGENT_SOCK names a wrong path, or the socket of a grant or of exec that has ended", "it ended and left its socket behind"},
			[]string{"use the socket that the message names:  export NSAGENT_SOCK=PATH", "end the process that it names, where its socket is gone:  kill PID", "where none was named, and it names none, start one:  nsagent agent start", "where one was given to you, ask who did", "see what is the matter:  nsagent doctor"}},
		{pb.CodeVersion, "it is older than this program", "start it again:  nsagent agent stop && nsagent agent start",
			"The running agent is older than this program and does not know the call.",
			[]string{"nsagent was updated while the agent ran"},
			[]string{"start the new one:  nsagent agent stop && nsagent agent start && nsagent unlock"}},
		{pb.CodeRunning, "there is one a user and socket", "see it:  nsagent status",
			"An agent is running already, and there is one a user and socket.",
			[]string{"it was started before, by hand or by systemd", "it serves other sockets, or they are gone, and it has this audit log open; the message says which process it is", "another nsagent exec works with the bundle, and goes on"},
			[]string{"use it:  nsagent status", "use it at another socket, which the message names:  export NSAGENT_SOCK=PATH", "or end it first:  nsagent agent stop", "end it where its socket is gone, which locks the vault:  kill PID", "serve many programs from one bundle:  nsagent agent start --bundle FILE"}},
		{pb.CodeSocket, "it is too long for a socket address, or not absolute", "set XDG_RUNTIME_DIR or NSAGENT_SOCK to a short path",
			"The path of the socket cannot be used: it is too long for a socket address (107 bytes), or not absolute, or it is that of the other socket.",
			[]string{"a long HOME without XDG_RUNTIME_DIR", "NSAGENT_SOCK with a relative path", "--socket names admin.sock, which is there to manage, for what signs"},
			[]string{"set XDG_RUNTIME_DIR, or NSAGENT_SOCK, to a short absolute path"}},
		{pb.CodeUnsafe, "somebody else can read or replace it", "see which, and what to type:  nsagent doctor",
			"A file or directory can be read or replaced by somebody else, so nsagent does not use it, and does not repair it either: it may have been read or planted.",
			[]string{"permissions that let group or others in", "a directory that belongs to another user, as after sudo", "a symbolic link where a file or directory belongs"},
			[]string{"see which, with what to type:  nsagent doctor", "look at what is in it before you change its mode"}},
		{pb.CodeAudit, "what cannot be recorded is not done", "see the state:  nsagent doctor",
			"The audit log cannot be written, and what cannot be recorded is not done. Locking works even so.",
			[]string{"a full disk", "a directory that became read-only", "audit.jsonl was removed or changed while the agent ran"},
			[]string{"make room or repair it; the agent tries again by itself", "see the state:  nsagent doctor"}},
		{pb.CodeAuditBad, "its lines do not fit together", "see where:  nsagent audit verify",
			"The audit log does not fit together: a line was changed, removed, swapped or put in. Lines before the first bad one are as they were written.",
			[]string{"somebody edited it", "a copy that broke off, or a disk that lost a write"},
			[]string{"see where:  nsagent audit verify", "move the whole audit directory aside, and keep it; the agent begins a new log", "compare with a head that you kept elsewhere"}},
		{pb.CodeMemory, "too little may be locked to keep secrets from swap", "see limit and need:  nsagent doctor",
			"The process may not lock enough memory to keep secrets from swap, so it does not take them.",
			[]string{"a low RLIMIT_MEMLOCK: 64 KiB do, 8 MiB hold 10,000 profiles", "a container or service with a limit of its own"},
			[]string{"see limit and need:  nsagent doctor", "raise it in this shell:  ulimit -l 8192", "or for good, in /etc/security/limits.conf:  YOU - memlock 8192", "under systemd:  LimitMEMLOCK=8M in the unit"}},
	}
}
