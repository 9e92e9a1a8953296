package store

import (
	"fmt"
	"io"

	"github.com/nsagent/nsagent/internal/atomicfile"
)

// ReadLedger calls each with the entries of the ledger at path, in order. It takes no lock
// and no key, and waits for nobody: whoever has the ledger open may be appending, and what
// is there of that is given as well, before the head counts it. Nothing proves that the
// entries were made under the machine key, so that they are good for what only takes away.
//
// Where something damaged follows it ends there, as it does where an append was cut off:
// nobody appends behind it, since OpenLedger refuses the one and removes the other.
//
// Errors: ErrNotFound, ErrDamaged if it has no head, ErrNewer, ErrUnsafe, those of the
// medium.
func ReadLedger(path string, each func(Entry)) error {
	if err := readLedger(path, each); err != nil {
		return fmt.Errorf("reading the ledger %s: %w", path, translate(err))
	}
	return nil
}

func readLedger(path string, each func(Entry)) error {
	f, err := atomicfile.OpenRegular(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, MaxLedger))
	if err != nil {
		return err
	}
	return unproved(data, each)
}

// unproved calls each with the entries that there are in the content of a ledger.
func unproved(data []byte, each func(Entry)) error {
	if len(data) < sectorSize {
		return damaged("%d bytes, too short for a ledger", len(data))
	}
	if err := checkLedgerVersion(data[:headBodySize]); err != nil {
		return err
	}
	dec, err := decMode()
	if err != nil {
		return err
	}
	data = data[sectorSize:]
	le, size, err := firstEntry(dec, data)
	for err == nil {
		each(Entry{Kind: le.Kind, Subject: le.Subject, Value: le.Value})
		data = data[size:]
		le, size, err = firstEntry(dec, data)
	}
	return nil
}
