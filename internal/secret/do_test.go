package secret

import (
	"errors"
	"testing"
)

// Do calls its function once, passes panics on, and nests.
func TestDo(t *testing.T) {
	n := 0
	Do(func() { Do(func() { n++ }) })
	if n != 1 {
		t.Errorf("called %d times", n)
	}
	boom := errors.New("boom")
	func() {
		defer func() {
			if got := recover(); got != boom {
				t.Errorf("recovered %v", got)
			}
		}()
		Do(func() { panic(boom) })
	}()
}
