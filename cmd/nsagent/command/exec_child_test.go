package command

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// TestSocketThatEndsWithItsProgram: what is asked of a socket that has ended fails, and often
// ends the program. That the socket has ended is said all the same, and once.
func TestSocketThatEndsWithItsProgram(t *testing.T) {
	for range 50 { // of what has come, select takes any
		ended, gone, over := make(chan struct{}), make(chan struct{}), make(chan time.Time, 1)
		close(ended)
		close(gone)
		over <- time.Now()
		var said bytes.Buffer
		e := &env{stderr: &said}
		e.awaitEnd(ended, over, gone, nil, func(os.Signal) {})
		for _, note := range []string{"the time of the socket is over;", "the agent has closed the socket, or gone;"} {
			if strings.Count(said.String(), note) != 1 {
				t.Fatalf("said %q, want %q once", said.String(), note)
			}
		}
	}
}
