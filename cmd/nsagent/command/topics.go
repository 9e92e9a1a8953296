package command

import (
	"fmt"
	"strings"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// topic is a page of help that belongs to no command.
type topic struct {
	name string
	text func() string
}

func topics() []topic {
	page := func(s string) func() string { return func() string { return s } }
	return []topic{
		{"exit-codes", exitCodesText},
		{"environment", page(helpEnvironment)},
		{"modes", page(helpModes)},
		{"clients", page(helpClients)},
		{"ci", page(helpCI)},
	}
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
	b.WriteString("\nError codes, each with its exit code\n\n")
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
  NSAGENT_CONFIG       configuration file
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
  no share for this vault         the vault comes from another machine; it opens
                                  there only

There is never a vault that opens without a passphrase or a keyring.
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
  Python, Node     an HTTP connection over the Unix socket, as above
  SOAP             nsagent passport puts out the tokenPassport element
  ODBC, JDBC       user TBA, password from nsagent connect-password
  OAuth 2.0 M2M    nsagent assertion puts out the client_assertion to post to
                   the token endpoint

A header is good for one send within five minutes, for its method and URL only.
A library that sends again has to sign again. To try without an account:
nsagent mock --profiles DIR.
`

const helpCI = `A job makes a vault of its own, with a passphrase that lives as long as the job:

  (umask 077; head -c 32 /dev/urandom | base64 > passphrase)
  nsagent init --unlock passphrase --passphrase-file passphrase
  nsagent unlock --passphrase-file passphrase
  printf '%s' "$PROFILE" | nsagent profile add acme-sb1 --from -
  rm passphrase

$PROFILE is the JSON of the profile, a secret of the CI system. Later steps sign
and see no secret. At the end of the job: nsagent agent stop.

Nothing asks where there is no terminal; NSAGENT_NO_INPUT=1 makes sure of it.
Exit codes tell what happened: nsagent help exit-codes. On a small machine,
nsagent init --kdf low makes unlocking cheaper.
`
