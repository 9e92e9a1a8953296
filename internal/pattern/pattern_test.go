package pattern

import (
	"sync"
	"testing"
)

// TestNew: a wrong expression is noticed where it is used, many may use one at once, and
// all of them get the same.
func TestNew(t *testing.T) {
	wrong := New("(")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic for a wrong expression")
			}
		}()
		wrong()
	}()
	digits := New("^[0-9]+$")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if re := digits(); re != digits() || !re.MatchString("42") || re.MatchString("4x") {
				t.Error("not the expression that was asked for")
			}
		})
	}
	wg.Wait()
}
