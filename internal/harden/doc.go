// Package harden gives up rights that a process of nsagent does not need.
//
// Process comes first, before arguments are read: from then on, unless Readable undoes it,
// no other process of the same user can read the memory, environment or descriptors of this
// one; no core file is left. Agent is for the daemon once its sockets are open: it can
// then open nothing outside its directories, start no program, trace no process and
// make, bind or connect no socket of any kind, on every thread: it accepts on those
// that it has, and takes others as descriptors. Helper is the same without the
// directories and with Unix sockets, for processes that start nothing either and
// talk to the session bus.
//
// What the kernel lacks is left out and reported, so that status can say so; what
// it has and refuses is an error. Nothing here can be taken back, but for Unreadable.
//
// Under Landlock a process sees less of others: /proc/PID/exe and what else needs
// the right to trace can no longer be read of a process outside, also not by root
// or of the same user; stat, status, cgroup and cmdline can. peercred.Peer.Lookup is
// the way round.
package harden
