// Package approval keeps the callers that wait until somebody approves what they want to
// do: one request for all who want the same thing, for a bounded time, and no more of them
// than somebody can look through.
//
// What is approved is what was shown: the same caller (user and program, or grant), the
// same profile, the same operation down to the query of its URL. An approval counts once,
// for all who wait for it then, for five minutes, or until the vault is locked.
//
// The package decides nothing and records nothing. Who may approve, and that it is written
// down before it counts, is for the agent to see to.
package approval
