// Package calltrap stops a running process at each of its system calls on files, for
// tests: to see them, to let one fail, to kill the process before it, or to copy what
// is on the disk at that moment.
//
// It does what strace -e inject does, with three differences. Calls are counted over
// all threads of the process, where strace counts each thread's own, so that "the 17th
// call of a commit" is one call and not as many as there are threads. A test decides by
// what the call is about, the file or the socket option. And one fault comes alone.
//
// It works by ptrace, on Linux on amd64. Only root can use it on a process that has made
// itself unreadable, as the agent does.
package calltrap
