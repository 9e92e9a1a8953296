package store

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/nsagent/nsagent/internal/atomicfile"
)

// compactSlack is how many superseded entries a ledger may hold, beside as many as
// it has live ones, before Append compacts it: half a megabyte.
const compactSlack = 4096

// Compact writes the ledger anew with the entries that count. Append does so by
// itself when superseded entries prevail.
func (l *Ledger) Compact() error {
	l.write.Lock()
	defer l.write.Unlock()
	if l.guard == nil {
		return ErrClosed
	}
	path := l.guard.Path()
	if err := l.rewriteLocked(); err != nil {
		return fmt.Errorf("compacting the ledger %s: %w", path, translate(err))
	}
	return nil
}

// Forget drops the entries of a kind whose value is less than below, where that is a time
// that is over. They do not count in this process any more; in the file they stay until it
// is compacted, and may count again for whoever opens it before.
func (l *Ledger) Forget(kind Kind, below uint64) {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	maps.DeleteFunc(l.values, func(k ledgerKey, v ledgerValue) bool { return k.kind == kind && v.value < below })
	l.mu.Unlock()
	l.planCompactionLocked()
}

// rewriteLocked replaces the file by a new one with the entries that count, under
// new numbers. On error l.file is the old file if that is still in place, else nil.
func (l *Ledger) rewriteLocked() error {
	image, head, values, err := l.imageLocked()
	if err == nil {
		err = l.guard.Write(image, atomicfile.Options{NoPrevious: true})
	}
	if err != nil {
		l.compactAt = l.head.Count + compactSlack
		if l.file != nil && !l.inPlaceLocked() {
			l.giveUpLocked()
		}
		return err
	}
	l.giveUpLocked()
	l.head = head
	l.mu.Lock()
	l.values = values
	l.mu.Unlock()
	l.planCompactionLocked()
	return l.reopenLocked()
}

// reopenLocked opens the file that is in place.
func (l *Ledger) reopenLocked() error {
	f, err := l.guard.Open()
	if err != nil {
		return err // and not a nil *os.File in the interface
	}
	l.file = f
	return nil
}

// imageLocked returns the compacted file with its head and its values, the entries
// in the order in which they were made.
func (l *Ledger) imageLocked() ([]byte, ledgerHead, map[ledgerKey]ledgerValue, error) {
	keys := make([]ledgerKey, 0, len(l.values))
	for k := range l.values {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b ledgerKey) int {
		return cmp.Compare(l.values[a].sequence, l.values[b].sequence)
	})
	head := l.codec.start(l.head.Base + l.head.Count)
	values := make(map[ledgerKey]ledgerValue, len(keys))
	image := make([]byte, sectorSize, sectorSize+maxEntry*len(keys))
	for _, k := range keys {
		v := l.values[k].value
		var err error
		if image, err = l.codec.appendEntry(image, &head, Entry{k.kind, k.subject[:k.size], v}); err != nil {
			return nil, ledgerHead{}, nil, err
		}
		values[k] = ledgerValue{v, head.Base + head.Count}
	}
	sector, err := l.codec.encodeHead(head)
	if err != nil {
		return nil, ledgerHead{}, nil, err
	}
	copy(image, sector)
	if len(image) > MaxLedger {
		return nil, ledgerHead{}, nil, tooLarge("ledger", len(image), MaxLedger)
	}
	return image, head, values, nil
}

// planCompactionLocked sets when Append compacts next.
func (l *Ledger) planCompactionLocked() {
	l.compactAt = compactSlack + 2*uint64(len(l.values))
}

// inPlaceLocked says whether l.file is still what the path names.
func (l *Ledger) inPlaceLocked() bool {
	open, err := l.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(l.guard.Path())
	return err == nil && os.SameFile(open, named)
}
