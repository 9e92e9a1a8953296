package memscan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Scan looks for needles in all resident memory of the process pid, which must
// not be the caller and may be running or stopped. It needs root, or the right
// to trace the process.
//
// The error is ErrSelf, ErrNoNeedles, or wraps ErrNeedle, ErrPermission or
// ErrGone; a report beside an error is partial.
func Scan(pid int, needles []Needle) (Report, error) {
	s, err := New(needles)
	if err != nil {
		return Report{}, err
	}
	return s.Process(pid)
}

// Process is Scan for a prepared Scanner.
func (s *Scanner) Process(pid int) (Report, error) {
	if pid == os.Getpid() {
		return Report{}, ErrSelf
	}
	p := process{scanner: s, stream: s.newStream(piece)}
	if err := p.scan(fmt.Sprintf("/proc/%d/", pid)); err != nil {
		return p.report, fmt.Errorf("scanning process %d: %w", pid, reason(err))
	}
	p.report.finish()
	return p.report, nil
}

// reason turns what /proc answers into our errors.
func reason(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %v", ErrPermission, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH):
		return ErrGone
	default:
		return err
	}
}

// process is one scan of one process.
type process struct {
	scanner *Scanner
	stream  *stream
	mem     *os.File
	pagemap *os.File
	entries []byte // of the pagemap, one block of pages
	report  Report
}

func (p *process) scan(proc string) error {
	smaps, err := os.ReadFile(proc + "smaps")
	if err != nil {
		return err
	}
	maps, err := parseSmaps(smaps)
	if err != nil {
		return err
	}
	if len(maps) == 0 { // a zombie
		return ErrGone
	}
	if p.mem, err = os.Open(proc + "mem"); err != nil {
		return err
	}
	defer func() { _ = p.mem.Close() }()
	if p.pagemap, err = os.Open(proc + "pagemap"); err != nil {
		return err
	}
	defer func() { _ = p.pagemap.Close() }()
	p.entries = make([]byte, 8*pagesAtOnce)
	for _, m := range maps {
		if err := p.mapping(m); err != nil {
			return err
		}
	}
	return nil
}

const (
	// pagesAtOnce is how many pagemap entries are read together.
	pagesAtOnce = 16 << 10
	// present and swapped are bits of a pagemap entry.
	present = 1 << 63
	swapped = 1 << 62
)

// mapping scans the pages of m that exist. Locked ones are always tried, because
// memfd_secret pages that a page table does not show would go unmentioned.
func (p *process) mapping(m mapping) error {
	if m.resident == 0 && !m.locked {
		return nil
	}
	page := uint64(os.Getpagesize())
	p.stream.start(m.start)
	next := m.start // end of what was scanned last
	for at := m.start; at < m.end; {
		n := min((m.end-at)/page, pagesAtOnce)
		entries := p.entries[:8*n]
		if _, err := p.pagemap.ReadAt(entries, int64(at/page*8)); err != nil {
			if !errors.Is(err, io.EOF) {
				return err
			}
			clear(entries) // the vsyscall page lies past the end
		}
		for i := uint64(0); i < n; {
			run := i
			for run < n && (m.locked || binary.NativeEndian.Uint64(entries[8*run:])&(present|swapped) != 0) {
				run++
			}
			if run == i {
				i++
				continue
			}
			from, to := at+i*page, at+run*page
			if from != next {
				p.stream.start(from)
			}
			if err := p.read(m, from, to); err != nil {
				return err
			}
			next, i = to, run
		}
		at += n * page
	}
	return nil
}

// read scans from one address to another; what cannot be read is listed.
func (p *process) read(m mapping, from, to uint64) error {
	page := uint64(os.Getpagesize())
	for from < to {
		room := p.stream.room()
		room = room[:min(uint64(len(room)), to-from)]
		n, err := p.mem.ReadAt(room, int64(from))
		if n > 0 {
			p.report.Scanned += uint64(n)
			p.stream.push(n, func(needle int, at uint64) {
				nd := p.scanner.needles[needle]
				p.report.add(Hit{Name: nd.Name, Form: nd.Form, Where: m.name, At: at, Locked: m.locked})
			})
			from += uint64(n)
			continue
		}
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, io.EOF) || err == nil {
			return fmt.Errorf("reading %s: %w", m.name, errors.Join(err, syscall.ESRCH))
		}
		skip := min(page-from%page, to-from)
		p.skip(m, skip)
		from += skip
		p.stream.start(from)
	}
	return nil
}

func (p *process) skip(m mapping, n uint64) {
	if k := len(p.report.Skips); k > 0 && p.report.Skips[k-1].Where == m.name {
		p.report.Skips[k-1].Bytes += n
		return
	}
	p.report.Skips = append(p.report.Skips, Skip{Where: m.name, Bytes: n, Locked: m.locked})
}
