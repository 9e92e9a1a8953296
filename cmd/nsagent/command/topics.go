package command

import (
	"fmt"
	"slices"
	"strings"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// topic is a page of help that belongs to no command.
type topic struct {
	name string
	// also are other names by which people look for it.
	also  []string
	short string
	text  func() string
}

func topics() []topic {
	page := func(s string) func() string { return func() string { return s } }
	return []topic{
		{"exit-codes", []string{"codes", "errors"}, "what the exit codes and the error codes are", exitCodesText},
		{"environment", []string{"config", "files", "variables"}, "variables, files and settings", page(helpEnvironment)},
		{"modes", []string{"keyring", "passphrase"}, "what opens the vault, and when the keyring does not help", page(helpModes)},
		{"security", []string{"secrets", "promises"}, "what a script can get and cannot, and where secrets are", page(helpSecurity)},
		{"clients", []string{"curl", "python", "node", "go"}, "how programs in any language sign", page(helpClients)},
		{"ci", []string{"containers", "docker"}, "jobs without a person", page(helpCI)},
		{"json", []string{"output", "colour", "color", "width"}, "output for programs, and what a terminal changes", page(helpJSON)},
		{"trouble", []string{"troubleshooting", "problems"}, "where to look when something does not work", page(helpTrouble)},
	}
}

func topicNames() []string {
	var names []string
	for _, t := range topics() {
		names = append(names, t.name)
	}
	return names
}

// findTopic returns the topic of that name, or of that other name.
func findTopic(name string) (topic, bool) {
	for _, t := range topics() {
		if t.name == name || slices.Contains(t.also, name) {
			return t, true
		}
	}
	return topic{}, false
}

// exitCodesText lists exit codes and error codes from the one table.
func exitCodesText() string {
	exits := []string{
		0: "done", 1: "other failure", 2: "usage", 3: "not found", 4: "locked, or nothing to unlock with", 5: "denied by policy or grant",
		6: "approval declined or timed out", 7: "agent not reachable or too old", 8: "NetSuite refused", 9: "a check found problems", 10: "expired or revoked",
	}
	var b strings.Builder
	b.WriteString("Exit codes\n\n")
	for n, text := range exits {
		fmt.Fprintf(&b, "  %2d  %s\n", n, text)
	}
	b.WriteString("\nnsagent exec ends with the code of the program, or 128 and the number of its\nsignal; 127 if it is not found, 126 if it cannot be run, 125 for its own failures.\n")
	b.WriteString("\nError codes, each with its exit code; more on one:  nsagent explain CODE\n\n")
	for _, m := range pb.Meanings() {
		fmt.Fprintf(&b, "  %-18s %2d  %s\n", m.Code, m.Exit, m.Text)
	}
	return b.String()
}

const helpEnvironment = `Variables

  NSAGENT_SOCK         socket of the agent
  NSAGENT_ADMIN_SOCK   socket to manage it (else admin.sock beside the other)
  NSAGENT_SOCK_UID     user ID of a server to accept beside one's own
  NSAGENT_PROFILE      profile to use
  NSAGENT_TOKEN        unlock token: its right counts, and not one's own
  NSAGENT_TOKEN_FILE   file with the unlock token
  NSAGENT_TOKEN_FD     descriptor from which to read it
  NSAGENT_CONFIG       configuration file, which has to be there then
  NSAGENT_OIDC_TOKEN_FILE   ID token of a CI job, or NSAGENT_OIDC_TOKEN_FD
  NSAGENT_NO_INPUT     never ask

A flag wins over a variable, and that over the configuration file.

Files

  $XDG_CONFIG_HOME/nsagent/config.toml   settings, see below
  $XDG_DATA_HOME/nsagent/vault.nsv       the vault
  $XDG_STATE_HOME/nsagent/audit/         the audit log
  $XDG_STATE_HOME/nsagent/agent.log      what a started agent says
  $XDG_RUNTIME_DIR/nsagent/*.sock        the sockets

Where a variable is not set to an absolute path, it stands for ~/.config,
~/.local/share and ~/.local/state; without XDG_RUNTIME_DIR the sockets are in
~/.local/state/nsagent/run.

Settings in config.toml

  default_profile = "acme-sb1"   where -p and NSAGENT_PROFILE name none
  idle_lock = "1h"               lock after this time without use
  hard_lock = "12h"              lock after this time at the latest
  durability = "strict"          no use is answered before it is on the disk
  key_file = "/etc/nsagent.key"  key file that nsagent unlock reads
  pinentry = "/usr/bin/pinentry-gnome3"
                                 program of root that asks for approvals
  memory = "auto"                kind of locked memory: auto, memfd_secret, mlock
  start_on_demand = false        let no command start the agent by itself
`

const helpModes = `What opens the vault is chosen once, by nsagent init --unlock MODE:

  keyring+passphrase   Both a passphrase and a share in the OS keyring. The
                       default where a passphrase is given. Whoever copies the
                       vault needs both.
  keyring              The OS keyring alone. Nothing to type, but any program
                       that runs as you can read the share.
  passphrase           The passphrase alone. For servers, containers and SSH
                       sessions, where there is no keyring. Older copies of the
                       vault are noticed only while the agent runs.
  key-file             A file that nsagent makes. For servers that start without
                       anybody. Whoever can read it and the vault can open it.

A recovery code, 13 words on paper, opens any of them as well. nsagent init
offers one; nsagent key add recovery makes one later. More:  nsagent key --help

The OS keyring is a Secret Service on the D-Bus session: gnome-keyring, KWallet
or KeePassXC. A passphrase is asked at the terminal; without one it is read:

  nsagent unlock --passphrase-file FILE
  nsagent unlock --passphrase-fd 3 3< FILE

When the keyring does not help

  there is no D-Bus session       log in to the desktop, or run all of it under
                                  dbus-run-session; over SSH, use a passphrase
  the bus is gone                 unset DBUS_SESSION_BUS_ADDRESS, or start the
                                  agent again from a new session
  no Secret Service runs          start gnome-keyring, KWallet or KeePassXC
  the keyring is locked           unlock it: log in, or open Passwords and Keys
  no answer within 5 seconds      look for its prompt on another screen
  no share for this vault         the vault comes from another machine, or the
                                  keyring was reset:  nsagent key recover

The machine key

Apart from the vault there is a key of this machine, under which the ledger
beside it stands: uses of grants, revocations, wrong passphrases. It opens no
vault. It is in the OS keyring where one answers when the key is first needed,
and otherwise, for good, in the file machine.key beside the vault: who can copy
that can forge the ledger. Where there is no keyring there is nothing better;
keep the file to yourself, and out of copies that others get.

There is never a vault that opens without any of the modes above.
`

const helpClients = `Any program signs through the agent's socket, as JSON over HTTP:

  curl -s --unix-socket "$NSAGENT_SOCK" http://nsagent/v1/sign \
    -d '{"profile":"acme-sb1","method":"GET","url":"https://…"}'

The answer has the header's value as "authorization", and the URL to send as
"url". The path of the socket is agent.sock in nsagent status.

  shell and curl   curl -H "$(nsagent sign "$URL")" "$URL"
                   nsagent sign -X POST "$URL" --format curl
  Go               package client: its Transport is an http.RoundTripper that
                   signs each request, and anew when it is sent again
                   client.AccessToken, oauth2adapter for golang.org/x/oauth2
  Python           package nsagent: NSAgentAuth for requests and httpx
  Node.js          package nsagent: a fetch, and an interceptor for axios
  SOAP             nsagent passport puts out the tokenPassport element
  ODBC, JDBC       user TBA, password from nsagent connect-password
  OAuth 2.0        nsagent token puts out an access token, which the agent keeps
                   until shortly before its end; POST /v1/token in JSON
                   nsagent assertion puts out the client_assertion (M2M), for
                   a program that goes to the token endpoint itself

A header is good for one send within five minutes, for its method and URL only.
A library that sends again has to sign again. To try without an account:
nsagent mock --profiles DIR.
`

const helpCI = `A job needs no vault: a bundle in the repository does, with the unlock token
that opens it in NSAGENT_TOKEN. docs/ci has templates for GitHub and GitLab.

  nsagent exec --bundle ci/nsagent.bundle -- python3 load.py
  nsagent agent start --bundle ci/nsagent.bundle

The first ends with its program. The second returns once it serves, and goes on
for the programs of the job that follow; they need no token. Bundle and token
are made where the vault is, for 30 days unless --ttl says otherwise:

  mkdir -p ci
  (umask 077; nsagent grant new -p acme-sb1 --bundle ci/nsagent.bundle > token)

Where the grant asks which job it is, NSAGENT_OIDC_TOKEN_FILE names a file with
an ID token of the job, got right before and good for one command. Its audience
is nsagent: and the vault's id.

Or a job makes a vault of its own, with a passphrase that lives as long as it:

  (umask 077; head -c 32 /dev/urandom | base64 > passphrase)
  nsagent init --unlock passphrase --passphrase-file passphrase
  nsagent unlock --passphrase-file passphrase
  printf '%s' "$PROFILE" | nsagent profile add acme-sb1 --from -
  rm passphrase

$PROFILE is the JSON of the profile, a secret of the CI system. Later steps sign
and see no secret. At the end of the job: nsagent agent stop.

A container is given a socket of its own, and nothing else (docs/containers.md):

  nsagent exec -p acme-sb1 -- sh -c 'docker run \
    -v "$NSAGENT_SOCK:/run/nsagent.sock" -e NSAGENT_SOCK=/run/nsagent.sock …'

Nothing asks where there is no terminal; NSAGENT_NO_INPUT=1 makes sure of it.
Exit codes tell what happened: nsagent help exit-codes. On a small machine,
nsagent init --kdf low makes unlocking cheaper.
`

const helpSecurity = `A script can get, while the vault is unlocked and within the profile's limits:

  an OAuth header for one method and URL, for five minutes
  a SOAP TokenPassport for one use
  a password for one SuiteAnalytics Connect session
  a client assertion (M2M), which buys one access token
  an OAuth 2.0 access token, with all rights of its role until it ends
  names, accounts and limits of the profiles

It cannot get a stored secret by any call, a signature over bytes of its own
choice, a header for a host outside the profile's account or endpoint, a write
with a profile that is limited to reading, or a use that is not in the log.

Secrets are in one encrypted file, and while the vault is unlocked in locked
memory of one process, which has no network and starts no program. They come in
by a prompt that shows nothing, a file, a descriptor or standard input: no flag
and no variable takes one. No name or account is in the vault in clear either.

Not promised: protection from root, or from a program that runs as you and asks
the agent while it is unlocked. What would help then: lock when you are done,
profiles that only read, and a look into the log. Nor that a hostile CI runner
keeps the limits of a bundle: what ends it is NetSuite's own revocation.

  nsagent lock
  nsagent audit query --since 24h
  nsagent audit verify
  nsagent doctor

All of it, with the tests behind it: docs/threat-model.md.
`

const helpJSON = `-o json prints one document, -o jsonl one a line. Each object has a schema, such
as nsagent.sign/v1, but for the lines of the audit log, which stand as they are;
keys are only ever added. Times are RFC 3339 in UTC, but for the timestamp of a
signature. Errors go to stderr as text, with a stable code at the end of the
last line; the exit code says the same.

  nsagent sign -o json "$URL" | jq -r .authorization
  nsagent profile ls -o jsonl | jq -r 'select(.state == "expired") .name'
  nsagent doctor -o json | jq -r '.findings[] | select(.level != "ok") .fix'

stdout is for data and stderr for people; -q leaves errors only.

What a terminal changes

  width     Tables fit the terminal: the widest column is cut, and ends in …
            Where stdout is no terminal, nothing is cut. Wide characters, as in
            Chinese or Japanese notes, count as two columns.
  colour    On a terminal only, stdout and stderr each for itself. Not where
            NO_COLOR is set or TERM is dumb, and never with -o json.
  control   What comes from elsewhere, such as a note, cannot move the cursor.
`

const helpTrouble = `In this order

  nsagent doctor            looks at clock, keyring, memory, files, sockets and
                            the kernel; each finding says what to type
  nsagent status            how the agent is: locked or not, and how protected
  nsagent explain CODE      what an error means, its causes, what to do
  nsagent audit query --outcome denied --last 10
                            who asked for what, and why it was refused
  agent.log                 what a started agent says, in ~/.local/state/nsagent

Often

  NetSuite answers 401      sign exactly the URL and method that are sent; a
                            header is good for one send; the clock may be off by
                            five minutes at most; a refreshed sandbox has lost
                            its tokens
  no agent, after sudo, in  HOME and XDG_RUNTIME_DIR are others there; each user
  cron or in a container    has an agent of their own. Where yours has another
                            socket, the error says what to type
  locked again              it locks after an hour without use, and after twelve
                            hours: idle_lock and hard_lock in config.toml
  it asks nothing in a      there is no terminal: --passphrase-file, see
  script                    nsagent help modes
  nsagent mock              a NetSuite for tests that says why it refuses
`
