package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Proof shows that one entry is in the log that a checkpoint covers, and shows no other.
// As text it is a proof of C2SP (tlog-proof@v1) whose extra line holds the entry.
type Proof struct {
	// Line is the line of the entry, with its newline.
	Line []byte
	// Index is its place in the tree: its number less one.
	Index uint64
	// Path is the way through the tree, from the leaf's neighbour to the root's child.
	Path []tlog.Hash
	// Checkpoint has the root of that tree.
	Checkpoint Checkpoint
}

const (
	proofHead = "c2sp.org/tlog-proof@v1\n"
	// maxProof is more bytes than a proof can have: an entry, 64 hashes, a checkpoint.
	maxProof = 4 * maxCheckpoint
)

// AppendText appends the proof in its one form.
func (p *Proof) AppendText(dst []byte) []byte {
	dst = append(append(dst, proofHead...), "extra "...)
	dst = base64.StdEncoding.AppendEncode(dst, p.Line)
	dst = strconv.AppendUint(append(dst, "\nindex "...), p.Index, 10)
	for _, h := range p.Path {
		dst = append(append(dst, '\n'), h.String()...)
	}
	return p.Checkpoint.AppendNote(append(dst, "\n\n"...))
}

// parseProof takes the one form that a proof has: for whatever it takes, AppendText gives
// the same bytes. It does not check what the proof says.
func parseProof(text []byte) (*Proof, error) {
	var p Proof
	head, note, ok := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 {
		return nil, fmt.Errorf("%w: the proof is incomplete", ErrCheckpoint)
	}
	var err error
	if p.Line, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra ")); err != nil {
		return nil, fmt.Errorf("%w: extra line of the proof", ErrCheckpoint)
	}
	if p.Index, err = strconv.ParseUint(strings.TrimPrefix(lines[2], "index "), 10, 63); err != nil {
		return nil, fmt.Errorf("%w: index of the proof", ErrCheckpoint)
	}
	for _, s := range lines[3:] {
		h, err := tlog.ParseHash(s)
		if err != nil {
			return nil, fmt.Errorf("%w: path of the proof", ErrCheckpoint)
		}
		p.Path = append(p.Path, h)
	}
	if p.Checkpoint, err = ParseCheckpoint([]byte(note)); err != nil {
		return nil, err
	}
	if !bytes.Equal(p.AppendText(nil), text) {
		return nil, fmt.Errorf("%w: the proof is not in its one right form", ErrCheckpoint)
	}
	return &p, nil
}

// entry returns the entry if the checkpoint covers it in this place.
func (p *Proof) entry() (Entry, error) {
	e, err := ParseLine(p.Line)
	if err != nil {
		return Entry{}, err
	}
	if e.Seq != p.Index+1 {
		return Entry{}, fmt.Errorf("%w: the line is that of entry %d", ErrCheckpoint, e.Seq)
	}
	// #nosec G115 -- both are below 2^63
	if err := tlog.CheckRecord(p.Path, int64(p.Checkpoint.Size), p.Checkpoint.Root, int64(p.Index), tlog.RecordHash(p.Line)); err != nil {
		return Entry{}, fmt.Errorf("%w: it is not among the entries that the checkpoint covers", ErrCheckpoint)
	}
	return e, nil
}

// readProof reads the proof that r holds up to its end.
func readProof(r io.Reader) (item, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxProof+1))
	if err != nil {
		return item{}, readError(err)
	}
	if len(text) > maxProof {
		return item{fault: "the proof is too long"}, nil
	}
	p, err := parseProof(text)
	if err != nil {
		return item{fault: err.Error()}, nil
	}
	return item{proof: p}, nil
}

// Prove writes a proof that entry seq is in the log of dir: under the checkpoint held if
// there is one, and nothing else; else under the first that covers it, behind all those
// before, so that the first key is enough to verify it. Check does.
//
// The error wraps ErrNotCovered if no checkpoint covers the entry, ErrNoEntry if it was
// deleted with its segment, ErrCheckpoint if held is none of this log, and fs.ErrNotExist
// if there is no log.
func Prove(w io.Writer, dir string, seq uint64, held *Checkpoint) error {
	text, before, under, err := covering(dir, seq)
	switch {
	case held != nil && held.Size < seq:
		return ErrNotCovered
	case held != nil && (err == nil || errors.Is(err, ErrNotCovered)):
		text, under, err = nil, held, nil
	}
	if errors.Is(err, ErrNotCovered) {
		if _, nolog := LastSeq(dir); nolog != nil {
			err = nolog
		}
	}
	if err != nil {
		return err
	}
	p, err := proveUnder(dir, seq, before, under)
	if err != nil {
		return err
	}
	if _, err := w.Write(p.AppendText(text)); err != nil {
		return fmt.Errorf("audit: writing the proof: %w", err)
	}
	return nil
}

// covering returns the first checkpoint of dir that covers entry seq, the one before it,
// nil if it is the first, and all before it as text.
func covering(dir string, seq uint64) (text []byte, before, under *Checkpoint, err error) {
	all, err := openCheckpoints(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	defer all.Close()
	for {
		it, err := all.next()
		switch {
		case errors.Is(err, io.EOF):
			return text, before, nil, ErrNotCovered
		case err != nil:
			return nil, nil, nil, err
		case it.fault != "":
			return nil, nil, nil, fmt.Errorf("%w: %s", ErrCheckpoint, it.fault)
		case it.checkpoint.Size >= seq:
			return text, before, it.checkpoint, nil
		}
		before = it.checkpoint
		text = append(before.AppendNote(text), '\n')
	}
}

// storedHashes are hashes of a tree by their index among all that it has.
type storedHashes map[int64]tlog.Hash

// ReadHashes makes it a tlog.HashReader.
func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		h, ok := s[n]
		if !ok {
			return nil, fmt.Errorf("audit: hash %d of the tree is not known", n)
		}
		out[i] = h
	}
	return out, nil
}

// proveUnder makes the proof of entry seq under a checkpoint that covers it. It reads the
// lines behind before; for those that it covers stand the roots of their subtrees.
func proveUnder(dir string, seq uint64, before, under *Checkpoint) (*Proof, error) {
	known, size := storedHashes{}, uint64(0)
	if before != nil {
		for _, h := range before.Peaks {
			level := bits.Len64(before.Size-size) - 1
			known[tlog.StoredHashIndex(level, int64(size>>level))] = h
			size += 1 << level
		}
	}
	lines, err := newFollower(dir, size+1)
	if err != nil {
		return nil, err
	}
	defer func() { lines.close() }()
	p := &Proof{Index: seq - 1, Checkpoint: *under}
	for ; size < under.Size; size++ {
		line, err := lines.line()
		if err != nil {
			return nil, err
		}
		if seqOf(line) != size+1 {
			return nil, fmt.Errorf("%w: entry %d", ErrNoEntry, size+1)
		}
		more, err := tlog.StoredHashes(int64(size), line, known)
		if err != nil {
			return nil, fmt.Errorf("audit: computing the tree: %w", err)
		}
		at := tlog.StoredHashIndex(0, int64(size))
		for i, h := range more {
			known[at+int64(i)] = h
		}
		if size == p.Index {
			p.Line = bytes.Clone(line)
		}
	}
	if p.Path, err = tlog.ProveRecord(int64(under.Size), int64(p.Index), known); err != nil {
		return nil, fmt.Errorf("audit: computing the path: %w", err)
	}
	if _, err := p.entry(); err != nil {
		return nil, err
	}
	return p, nil
}
