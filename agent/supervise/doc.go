// Package supervise is the parent process: it starts the agent and, when the
// agent asks, the keyring helper, the gateway and who asks for approvals, and has neither keys nor network
// itself.
//
// A sandbox is inherited by children, so an agent that has denied itself exec and
// files could start nobody and look at nobody; what it needs of that it asks its
// parent for, over a socketpair that is descriptor 3 of the agent. The parent
// starts what it asks for and hands it the other end of a socketpair, opens sockets for it,
// and tells which program a process runs and where it belongs. The share in the keyring
// goes from helper to agent directly; the parent never sees it.
//
// No other process of the user can read the memory of a child, at no time: children
// run a copy of the program that lies in memory and may be executed, not read, which
// the kernel takes as a reason to make the process unreadable (Linux; where memory
// cannot be executed they run the program itself, and are open until they harden
// themselves).
//
// The children die with the parent: by a signal that the kernel sends, and because
// the agent sees the socketpair end.
package supervise
