package secret

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func collections() uint32 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.NumGC
}

// Many requests in a burst are one pass; a steady stream is one about every half
// second; delayed, they wait for the end, and not for long; afterwards nothing runs.
func TestReleaseMemory(t *testing.T) {
	a := newArena(t, ArenaConfig{Size: minSize})
	synctest.Test(t, func(t *testing.T) {
		const onePass = passes + 1 // FreeOSMemory collects too
		before := collections()
		for range 1000 {
			a.ReleaseMemory()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := collections() - before; n < onePass || n >= 2*onePass {
			t.Errorf("%d collections for a burst, want those of one pass, %d", n, onePass)
		}
		if a.releases.running {
			t.Error("still running")
		}

		before = collections()
		for range 300 {
			a.ReleaseMemory()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := collections() - before; n < 4*onePass || n > 8*onePass {
			t.Errorf("%d collections for 3 seconds of requests, want those of 4 to 8 passes", n)
		}

		before = collections()
		end := a.DelayRelease()
		a.ReleaseMemory()
		time.Sleep(3 * quiet)
		a.ReleaseMemory()
		time.Sleep(3 * quiet)
		if n := collections() - before; n != 0 {
			t.Errorf("%d collections while they were delayed", n)
		}
		end()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := collections() - before; n < onePass || n >= 2*onePass {
			t.Errorf("%d collections after a delay, want those of one pass, %d", n, onePass)
		}

		before = collections()
		end = a.DelayRelease()
		a.ReleaseMemory()
		time.Sleep(patience + time.Second)
		synctest.Wait()
		if n := collections() - before; n < onePass || a.releases.running {
			t.Errorf("%d collections while delayed for long, want those of one pass, %d", n, onePass)
		}
		end()

		before = collections()
		a.ReleaseMemoryNow()
		if n := collections() - before; n < onePass {
			t.Errorf("%d collections at once, want %d", n, onePass)
		}
	})
}
