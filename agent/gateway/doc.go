// Package gateway is the processes that talk to NetSuite, and the agent's end of the
// connection to them. The gateway lives on, and carries what is good for minutes. An
// exchanger carries what is of lasting worth, makes one request, and ends.
//
// The agent has no network, and these have no right of their own: they do what a Job says,
// a request to one URL that the agent has made and decided on. Secrets
// that NetSuite gives back are sealed to a key of the agent before they leave the
// process; of such an answer nothing else is handed on but the members that the job
// names.
//
// Guarantees: TLS 1.2 or later, verified against the system's roots and the CA that the
// job brings; no redirect is followed, no proxy of the environment used, no cookie kept,
// no certificate pinned (Oracle forbids it); every request ends within its time; what is
// signed by OAuth 1.0 is sent once, on a connection of its own. Plain
// http goes to this machine only, for mocks.
//
// What the user must still do: take an answer as what an enemy may have written. A
// gateway that was taken over sees and can make up every answer of its own, and
// nothing that is stored.
package gateway
