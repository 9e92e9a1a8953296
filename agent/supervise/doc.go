// Package supervise is the parent process: it starts the agent and, when the
// agent asks, the keyring helper, and has neither keys nor network itself.
//
// A sandbox is inherited by children, so an agent that has denied itself exec and
// files could start nobody and look at nobody; what it needs of that it asks its
// parent for, over a socketpair that is descriptor 3 of the agent. The parent
// answers two questions: start a keyring helper and hand me the other end of its
// socketpair, and which program does this process run. The share in the keyring
// goes from helper to agent directly; the parent never sees it.
//
// The children die with the parent: by a signal that the kernel sends, and because
// the agent sees the socketpair end.
package supervise
