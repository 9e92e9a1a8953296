// Package keyring is the one door to the OS keyring.
//
// A call to a keyring can block for ever on a prompt that nobody sees, it brings a
// D-Bus client with it, and it hands secrets around as Go strings. So no process
// that holds keys makes one: a Door starts a helper process for each call, speaks a
// few bytes with it over a socketpair and gives up after 5 seconds. The helper,
// which is Serve, makes the call, answers and exits; it also exits when the socket
// closes or after 6 seconds, whatever the keyring does. What is left of the value
// in its memory goes with it.
//
// An item holds at most 48 bytes: a key, or a pin, never a credential. It is kept
// under the service "nsagent" as base64, since some keyrings hold text only.
//
// On Linux the value crosses the session bus in clear, and every program of the same
// user can ask for the item while the keyring is unlocked. It is a second share, not
// a vault. It goes to a bus that this user or root serves and to no other: another user
// who takes the address of a session that ended is told nothing.
package keyring
