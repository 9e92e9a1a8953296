package memscan

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// piece is how much is read at a time.
const piece = 1 << 20

// ScanFile looks for needles in a file, for canary searches of logs and vaults.
// All its hits count as unlocked.
func ScanFile(path string, needles []Needle) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Report{}, fmt.Errorf("scanning: %w", err)
	}
	defer func() { _ = f.Close() }()
	return ScanReader(f, path, needles)
}

// ScanReader looks for needles in all that r gives; name is what hits say of
// where they are.
func ScanReader(r io.Reader, name string, needles []Needle) (Report, error) {
	s, err := New(needles)
	if err != nil {
		return Report{}, err
	}
	return s.Reader(r, name)
}

// Reader is ScanReader for a prepared Scanner.
func (s *Scanner) Reader(r io.Reader, name string) (Report, error) {
	var rep Report
	defer rep.finish()
	t := s.newStream(piece)
	for {
		n, err := r.Read(t.room())
		rep.Scanned += uint64(n)
		t.push(n, func(needle int, at uint64) {
			rep.add(Hit{Name: s.needles[needle].Name, Form: s.needles[needle].Form, Where: name, At: at})
		})
		if errors.Is(err, io.EOF) {
			return rep, nil
		}
		if err != nil {
			return rep, fmt.Errorf("scanning %s: %w", name, err)
		}
	}
}
