package vault

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/nsagent/nsagent/vault/envelope"
)

// perWorker is how many records make a goroutine of their own worth while.
const perWorker = 64

// workers returns how many goroutines work on n records.
func workers(n int) int { return min(runtime.GOMAXPROCS(0), 4, n/perWorker+1) }

// parallel calls f for each i from 0 to n-1, from goroutines that are numbered by w from 0
// to workers(n)-1. It returns the first error, and calls f no more after it.
func parallel(n int, f func(w, i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, workers(n))
	for w := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if errs[w] = f(w, i); errs[w] != nil {
					next.Store(int64(n))
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// withOpeners is parallel with an Opener for each goroutine.
func withOpeners(keys *envelope.Keys, n int, f func(o *envelope.Opener, i int) error) error {
	openers := make([]*envelope.Opener, workers(n))
	for w := range openers {
		o, err := keys.NewOpener()
		if err != nil {
			return err
		}
		defer o.Close()
		openers[w] = o
	}
	return parallel(n, func(w, i int) error { return f(openers[w], i) })
}
