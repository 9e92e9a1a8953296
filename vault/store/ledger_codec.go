package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// The ledger file is a head of one sector and, after it, the entries.
//
//	offset 0    448 bytes  CBOR array [magic, version, vault ID, base, count, length, chain], then zeros
//	offset 448   32 bytes  SHA-256 of the 448 bytes
//	offset 480   32 bytes  MAC("nsagent/v1 ledger head" ‖ 0 ‖ the 448 bytes)
//	offset 512   entries   each a CBOR array [sequence, kind, subject, value, chain, MAC]
//
// The head counts the entries that are acknowledged: count of them, in length
// bytes, the last with the given chain hash. Bytes after them are an append that
// was never acknowledged. The sequence number of entry i, from 1, is base + i; base
// is what the entries before the last compaction had reached. In every version the
// first two elements, the checksum and the MAC keep their places.
//
//	chain 0 = SHA-256("nsagent/v1 ledger start" ‖ 0 ‖ vault ID ‖ u64 base)
//	chain i = SHA-256("nsagent/v1 ledger chain" ‖ 0 ‖ chain i-1 ‖ u64 sequence ‖ u64 kind ‖ u64 value ‖ subject)
//	MAC i   = MAC("nsagent/v1 ledger entry" ‖ 0 ‖ chain i)
//
// u64 is big endian. Numbers of fixed size come before the subject, so that no two
// entries have the same input.
const (
	ledgerMagic   = "nsagent ledger"
	ledgerVersion = 1

	sectorSize   = 512
	headBodySize = sectorSize - 2*sha256.Size

	// maxEntry is more than the longest entry takes: three numbers of 9 bytes,
	// three strings of 34 and the array head.
	maxEntry = 160
)

// Domains of the ledger's hashes and MACs. The machine key has other uses too.
const (
	domainStart = "nsagent/v1 ledger start\x00"
	domainChain = "nsagent/v1 ledger chain\x00"
	domainEntry = "nsagent/v1 ledger entry\x00"
	domainHead  = "nsagent/v1 ledger head\x00"
)

type hash = [sha256.Size]byte

// ledgerHead is the CBOR array in the head.
type ledgerHead struct {
	_       struct{} `cbor:",toarray"`
	Magic   string
	Version uint64
	VaultID [16]byte
	Base    uint64
	Count   uint64
	Length  uint64
	Chain   hash
}

// ledgerEntry is one entry in the file.
type ledgerEntry struct {
	_        struct{} `cbor:",toarray"`
	Sequence uint64
	Kind     Kind
	Subject  []byte
	Value    uint64
	Chain    hash
	MAC      hash
}

// ledgerCodec encodes and decodes for one vault under one machine key.
type ledgerCodec struct {
	vaultID [16]byte
	mac     MAC
	dec     cbor.DecMode
}

func newLedgerCodec(vaultID []byte, mac MAC) (*ledgerCodec, error) {
	if len(vaultID) != 16 {
		return nil, fmt.Errorf("vault ID of %d bytes, 16 expected", len(vaultID))
	}
	dec, err := decMode()
	if err != nil {
		return nil, err
	}
	return &ledgerCodec{vaultID: [16]byte(vaultID), mac: mac, dec: dec}, nil
}

// start returns the head of a ledger without entries.
func (c *ledgerCodec) start(base uint64) ledgerHead {
	msg := append([]byte(domainStart), c.vaultID[:]...)
	msg = binary.BigEndian.AppendUint64(msg, base)
	return ledgerHead{Magic: ledgerMagic, Version: ledgerVersion, VaultID: c.vaultID, Base: base, Chain: sha256.Sum256(msg)}
}

// next returns the chain hash after e.
func (e *ledgerEntry) next(chain hash) hash {
	msg := make([]byte, 0, len(domainChain)+len(chain)+3*8+32)
	msg = append(msg, domainChain...)
	msg = append(msg, chain[:]...)
	msg = binary.BigEndian.AppendUint64(msg, e.Sequence)
	msg = binary.BigEndian.AppendUint64(msg, uint64(e.Kind))
	msg = binary.BigEndian.AppendUint64(msg, e.Value)
	msg = append(msg, e.Subject...)
	return sha256.Sum256(msg)
}

// appendEntry appends e to buf, which holds what follows the entries of head, and
// counts it in head.
func (c *ledgerCodec) appendEntry(buf []byte, head *ledgerHead, e Entry) ([]byte, error) {
	le := ledgerEntry{Sequence: head.Base + head.Count + 1, Kind: e.Kind, Subject: e.Subject, Value: e.Value}
	le.Chain = le.next(head.Chain)
	if err := c.macOf(&le.MAC, domainEntry, le.Chain[:]); err != nil {
		return nil, err
	}
	start := len(buf)
	buf = appendHead(buf, majorArray, 6)
	buf = appendHead(buf, majorUint, le.Sequence)
	buf = appendHead(buf, majorUint, uint64(le.Kind))
	buf = appendBytes(buf, le.Subject)
	buf = appendHead(buf, majorUint, le.Value)
	buf = appendBytes(buf, le.Chain[:])
	buf = appendBytes(buf, le.MAC[:])
	head.Count++
	head.Length += uint64(len(buf) - start)
	head.Chain = le.Chain
	return buf, nil
}

// encodeHead returns the sector of head.
func (c *ledgerCodec) encodeHead(head ledgerHead) ([]byte, error) {
	body := make([]byte, 0, sectorSize)
	body = appendHead(body, majorArray, 7)
	body = appendHead(body, majorText, uint64(len(head.Magic)))
	body = append(body, head.Magic...)
	body = appendHead(body, majorUint, head.Version)
	body = appendBytes(body, head.VaultID[:])
	body = appendHead(body, majorUint, head.Base)
	body = appendHead(body, majorUint, head.Count)
	body = appendHead(body, majorUint, head.Length)
	body = appendBytes(body, head.Chain[:])
	sector := body[:sectorSize] // the rest is zero
	body = sector[:headBodySize]
	sum := sha256.Sum256(body)
	copy(sector[headBodySize:], sum[:])
	var mac hash
	if err := c.macOf(&mac, domainHead, body); err != nil {
		return nil, err
	}
	copy(sector[headBodySize+len(sum):], mac[:])
	return sector, nil
}

// decodeHead is the inverse of encodeHead.
func (c *ledgerCodec) decodeHead(sector []byte) (ledgerHead, error) {
	if len(sector) < sectorSize {
		return ledgerHead{}, damaged("%d bytes, too short for a ledger", len(sector))
	}
	body := sector[:headBodySize]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], sector[headBodySize:headBodySize+len(sum)]) {
		return ledgerHead{}, damaged("checksum of the ledger head does not match")
	}
	if err := checkLedgerVersion(body); err != nil {
		return ledgerHead{}, err
	}
	var mac hash
	if err := c.macOf(&mac, domainHead, body); err != nil {
		return ledgerHead{}, err
	}
	if !hmac.Equal(mac[:], sector[headBodySize+sha256.Size:sectorSize]) {
		return ledgerHead{}, ErrMAC
	}
	var head ledgerHead
	if _, err := c.dec.UnmarshalFirst(body, &head); err != nil {
		return ledgerHead{}, damaged("ledger head: %v", err)
	}
	if head.VaultID != c.vaultID {
		return ledgerHead{}, fmt.Errorf("%w: it is that of another vault", ErrMAC)
	}
	again, err := c.encodeHead(head)
	switch {
	case err != nil:
		return ledgerHead{}, err
	case !bytes.Equal(again, sector[:sectorSize]):
		return ledgerHead{}, damaged("ledger head not in canonical form")
	}
	return head, nil
}

// checkLedgerVersion reads what all versions have in common: an array of at most
// 23 elements, the magic, and the version.
func checkLedgerVersion(body []byte) error {
	const start = "\x6e" + ledgerMagic // text of 14 bytes
	if !isTinyHead(body[0], majorArray) || string(body[1:1+len(start)]) != start {
		return damaged("not a ledger")
	}
	return checkVersion(body[1+len(start):], "ledger", ledgerVersion)
}

// decode checks a whole ledger file and calls each with every entry that counts,
// in order; each may not keep the entry's Subject. It returns the head.
func (c *ledgerCodec) decode(data []byte, each func(sequence uint64, e Entry)) (ledgerHead, error) {
	head, err := c.decodeHead(data)
	if err != nil {
		return ledgerHead{}, err
	}
	rest := data[sectorSize:]
	if head.Length > uint64(len(rest)) {
		return ledgerHead{}, damaged("ledger cut: %d of %d bytes of entries", len(rest), head.Length)
	}
	at, err := c.decodeEntries(head.Base, rest[:head.Length], each)
	if err != nil {
		return ledgerHead{}, err
	}
	if at != head {
		return ledgerHead{}, damaged("ledger ends at entry %d, its head at %d", at.Count, head.Count)
	}
	return head, nil
}

// decodeEntries checks the entries after base, which fill data, and returns the
// head that counts them.
func (c *ledgerCodec) decodeEntries(base uint64, data []byte, each func(sequence uint64, e Entry)) (ledgerHead, error) {
	at := c.start(base)
	again := make([]byte, 0, maxEntry)
	for len(data) > 0 {
		le, size, err := firstEntry(c.dec, data)
		if err != nil {
			return ledgerHead{}, damaged("ledger entry %d: %v", at.Count+1, err)
		}
		e := Entry{Kind: le.Kind, Subject: le.Subject, Value: le.Value}
		// Encoding it anew checks sequence, chain, MAC and form at once.
		again, err = c.appendEntry(again[:0], &at, e)
		if err != nil {
			return ledgerHead{}, err
		}
		if !bytes.Equal(again, data[:size]) {
			return ledgerHead{}, damaged("ledger entry %d changed, moved or not in canonical form", at.Count)
		}
		each(at.Base+at.Count, e)
		data = data[size:]
	}
	return at, nil
}

// firstEntry returns the entry that data begins with, whose chain and MAC it does not check,
// and how long it is.
func firstEntry(dec cbor.DecMode, data []byte) (le ledgerEntry, size int, err error) {
	data = data[:min(len(data), maxEntry)]
	rest, err := dec.UnmarshalFirst(data, &le)
	if err != nil {
		return le, 0, err
	}
	return le, len(data) - len(rest), Entry{Subject: le.Subject}.check()
}

func (c *ledgerCodec) macOf(mac *hash, domain string, msg []byte) error {
	if err := c.mac(mac, slices.Concat([]byte(domain), msg)); err != nil {
		return fmt.Errorf("computing a MAC of the ledger: %w", err)
	}
	return nil
}

// check refuses what cannot be kept.
func (e Entry) check() error {
	if n := len(e.Subject); n != 16 && n != 32 {
		return fmt.Errorf("%w: subject of %d bytes", ErrEntry, n)
	}
	return nil
}
