package command

import (
	"slices"
	"testing"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// What is no line of a listening socket names none, whatever a socket was called.
func TestListeners(t *testing.T) {
	table := `Num       RefCount Protocol Flags    Type St Inode Path
00000000bd374ecf: 00000003 00000000 00000000 0001 03    44 /run/connected.sock
00000000bd374ecf: 00000002 00000000 00010000 0001 01 21731 /run/user/1000/nsagent/admin.sock
00000000bd374ecf: 00000002 00000000 00010000 0001 01    44 /home/a b/admin.sock
00000000bd374ecf: 00000002 00000000 00010000 0001 01    45 /run/user/1000/nsagent/admin.sock
00000000bd374ecf: 00000002 00000000 00010000 0005 01    46 /run/seqpacket.sock
00000000bd374ecf: 00000002 00000000 00010000 0001 01    47 @abstract
00000000bd374ecf: 00000002 00000000 00010000 0001 01    48 relative.sock
00000000bd374ecf: 00000002 00000000 00010000 0001 01    49 /run/../etc/unclean.sock
00000000bd374ecf: 00000002 00000000 00010000 0001 01    50
 00010000 0001 01 51 /run/of-a-name-with-a-newline.sock
00000000bd374ecf: 00000002 00000000 00010000 0001 01    52 /run/unfinished.sock`
	want := []string{"/run/user/1000/nsagent/admin.sock", "/home/a b/admin.sock", "/run/unfinished.sock"}
	if got := listeners(table); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Of the sockets of one agent the one counts at which it was locked.
func TestOneEach(t *testing.T) {
	l := func(socket string, locked bool, code pb.Code) agentLock {
		return agentLock{Socket: socket, Locked: locked, Code: code}
	}
	got := oneEach([]agentLock{
		l("/a/agent.sock", false, pb.CodeVersion), l("/a/control.sock", true, ""),
		l("/b/admin.sock", true, ""), l("/b/agent.sock", false, pb.CodeVersion),
		l("/c/agent.sock", false, pb.CodeVersion), l("/c/admin.sock", false, pb.CodeAgent),
		l("/d/admin.sock", false, pb.CodeAgent), l("/d/other.sock", false, pb.CodeVersion),
	})
	want := []agentLock{l("/a/control.sock", true, ""), l("/b/admin.sock", true, ""), l("/c/admin.sock", false, pb.CodeAgent), l("/d/admin.sock", false, pb.CodeAgent)}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
