package keyring

import "errors"

// Errors of a keyring that is not there.
var (
	// ErrNoBus means that there is no D-Bus session to look for a keyring on.
	ErrNoBus = errors.New("keyring: no D-Bus session")
	// ErrStaleBus means that DBUS_SESSION_BUS_ADDRESS leads nowhere, or to a bus
	// that belongs to another user, who may have taken the address of one that
	// ended. The text says which.
	ErrStaleBus = errors.New("keyring: the D-Bus session is gone")
	// ErrNoService means that nobody offers a keyring on the bus.
	ErrNoService = errors.New("keyring: no Secret Service on the bus")
)

// Errors of a keyring that does not give access.
var (
	// ErrLocked means that the keyring is locked and nobody unlocked it.
	ErrLocked = errors.New("keyring: locked")
	// ErrNoCollection means that the keyring has no default collection yet.
	ErrNoCollection = errors.New("keyring: no default collection")
	// ErrTimeout means that no answer came in time; most often a prompt waits on a
	// screen that nobody sees.
	ErrTimeout = errors.New("keyring: no answer in time")
	// ErrUnavailable means that the call failed in another way, which the text
	// tells.
	ErrUnavailable = errors.New("keyring: not available")
)

// Errors about an item.
var (
	// ErrNotFound means that the keyring has no such item.
	ErrNotFound = errors.New("keyring: no such item")
	// ErrTooLarge means that a value has more than 48 bytes.
	ErrTooLarge = errors.New("keyring: value too large")
	// ErrForeign means that the item holds something that nsagent did not write.
	ErrForeign = errors.New("keyring: item not written by nsagent")
	// ErrRequest means that an item's name or a value is not one that a Door takes.
	ErrRequest = errors.New("keyring: bad request")
)

// kind is an error, its number between door and helper, and what to do about it.
type kind struct {
	status byte
	err    error
	remedy string
}

// kinds lists every error. Numbers are never used again for another one.
func kinds() []kind {
	return []kind{
		{1, ErrNotFound, "if the vault comes from another machine, unlock it with its passphrase or recovery code; the item cannot be made again"},
		{2, ErrNoBus, "log in to a desktop session, start the agent under dbus-run-session, or use a vault with a passphrase: nsagent init --unlock passphrase"},
		{3, ErrStaleBus, "start the agent again from a session whose DBUS_SESSION_BUS_ADDRESS is alive, or unset the variable"},
		{4, ErrNoService, "install and start a keyring such as gnome-keyring, KWallet or KeePassXC, or use a vault with a passphrase: nsagent init --unlock passphrase"},
		{5, ErrLocked, "unlock the keyring in the desktop session (log in there, or open Passwords and Keys), then try again"},
		{6, ErrNoCollection, "make a default keyring once (open Passwords and Keys, or log in to the desktop with a password), then try again"},
		{7, ErrTimeout, "look for a prompt of the keyring on the screen of this session and answer it, then try again"},
		{8, ErrTooLarge, "keep keys of at most 48 bytes in the keyring and everything else in the vault"},
		{9, ErrForeign, "look at the item in the keyring's own program; remove it there only if it is not the vault's"},
		{10, ErrUnavailable, "check the keyring with its own program, for instance: secret-tool search --all service nsagent"},
		{11, ErrRequest, "use item names of lower-case letters, digits and ./_-, and values that are not empty"},
	}
}

// Remedy says what to do about an error of this package, in one sentence without
// final dot; "" for any other error.
func Remedy(err error) string {
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			return k.remedy
		}
	}
	return ""
}
