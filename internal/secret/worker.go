package secret

import (
	"crypto/sha256"
	"encoding"
	"errors"
	"io"
	"runtime"
)

const (
	block     = sha256.BlockSize
	stateSize = sha256.Size // of one chaining value
	// marshaledSize is that of crypto/sha256's state: 4 bytes magic, chaining
	// value, one block of buffered input, 8 bytes length.
	marshaledSize = 4 + stateSize + block + 8
)

// A worker's arena memory: the digest object, its marshaled state, the last one
// or two blocks of a message, and a block for keys.
const (
	digestAt   = 0
	stateAt    = 128
	tailAt     = 256
	keyAt      = tailAt + 2*block
	workerSize = keyAt + block
)

// digest is what crypto/sha256 gives, by the interfaces it promises.
type digest interface {
	io.Writer
	Reset()
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// worker is what one SHA-256 computation needs, all in the arena. It goes from
// hand to hand through Arena.workers.
type worker struct {
	mem    *buf
	d      digest
	placed bool    // d's object lies in mem
	magic  [4]byte // how a marshaled state starts

	// For the run in progress: set by begin, cleared by end.
	state, tail, key []byte

	mid []byte // both midstates, an arena slice
	msg []byte
	err error
	mac func() // computeMAC as a value, made once so that Do allocates nothing
}

var errSelfTest = errors.New("secret: SHA-256 of this Go version does not resume as expected")

// startWorkers fills the pool and tests it. Where SHA-256 cannot run inside the
// arena it runs on digests on the heap, which Do and Reset still clean.
func (a *Arena) startWorkers() error {
	n := min(max(4, 2*runtime.GOMAXPROCS(0)), 16)
	a.workers = make(chan *worker, n)
	for i := range n {
		w, err := a.newWorker(i == 0 || a.inPlace)
		if err != nil {
			return err
		}
		if i == 0 {
			a.inPlace = w.placed
		}
		a.workers <- w
	}
	return nil
}

func (a *Arena) newWorker(inPlace bool) (*worker, error) {
	mem, err := a.alloc(workerSize)
	if err != nil {
		return nil, err
	}
	heap, ok := sha256.New().(digest)
	if !ok {
		return nil, errSelfTest
	}
	w := &worker{mem: mem, d: heap}
	w.mac = w.computeMAC
	p, ok := mem.acquire()
	if !ok {
		return nil, ErrClosed
	}
	defer mem.release()
	if inPlace {
		object := p[digestAt:stateAt:stateAt]
		if d, err := place(heap, object); err == nil {
			w.d, w.placed = d, true
			if w.selfTest(p, object) == nil {
				return w, nil
			}
		}
		w.d, w.placed = heap, false
		Wipe(object)
	}
	return w, w.selfTest(p, nil)
}

// begin borrows a worker; a MAC waits here while all are busy.
func (a *Arena) begin() (*worker, error) {
	w := <-a.workers
	p, ok := w.mem.acquire()
	if !ok {
		a.workers <- w
		return nil, ErrDestroyed
	}
	w.lay(p)
	return w, nil
}

// end wipes the worker's memory and hands it back.
func (a *Arena) end(w *worker) {
	w.clear()
	w.mem.release()
	a.workers <- w
}

// lay divides the worker's memory.
func (w *worker) lay(p []byte) {
	w.state = p[stateAt : stateAt+marshaledSize : stateAt+marshaledSize]
	w.tail = p[tailAt:keyAt:keyAt]
	w.key = p[keyAt:workerSize:workerSize]
}

func (w *worker) clear() {
	w.d.Reset()
	Wipe(w.state)
	Wipe(w.tail)
	Wipe(w.key)
	w.state, w.tail, w.key, w.mid, w.msg, w.err = nil, nil, nil, nil, nil, nil
}
