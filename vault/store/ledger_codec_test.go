package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustCodec(t testing.TB) *ledgerCodec {
	t.Helper()
	codec, err := newLedgerCodec(testVaultID(), testMAC)
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// encodeLedger returns a ledger file of the given entries after base.
func encodeLedger(t testing.TB, codec *ledgerCodec, base uint64, entries []Entry) []byte {
	t.Helper()
	head := codec.start(base)
	file := make([]byte, sectorSize)
	var err error
	for _, e := range entries {
		if file, err = codec.appendEntry(file, &head, e); err != nil {
			t.Fatal(err)
		}
	}
	sector, err := codec.encodeHead(head)
	if err != nil {
		t.Fatal(err)
	}
	copy(file, sector)
	return file
}

func sampleEntries() []Entry {
	return []Entry{{0, subject(16, 0), 0}, {24, subject(32, 0xff), 1 << 40}, {1<<64 - 1, subject(16, 1), 1<<64 - 1}}
}

// sealHead returns a sector with the given start, and a right checksum and MAC.
func sealHead(t testing.TB, body []byte) []byte {
	t.Helper()
	sector := make([]byte, sectorSize)
	copy(sector[:headBodySize], body)
	sum := sha256.Sum256(sector[:headBodySize])
	copy(sector[headBodySize:], sum[:])
	var mac hash
	if err := testMAC(&mac, append([]byte(domainHead), sector[:headBodySize]...)); err != nil {
		t.Fatal(err)
	}
	copy(sector[headBodySize+32:], mac[:])
	return sector
}

// TestLedgerHeads gives the decoder heads with a right checksum and MAC.
func TestLedgerHeads(t *testing.T) {
	codec := mustCodec(t)
	const (
		magic = "6e 6e736167656e74 206c6564676572"
		vault = "50 7661756c74206f662061207465737421"
	)
	chain := "5820" + hex.EncodeToString(func() []byte { c := codec.start(0).Chain; return c[:] }())
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"good":                      {"87" + magic + "01" + vault + "00 00 00" + chain, nil},
		"version 2":                 {"87" + magic + "02" + vault + "00 00 00" + chain, ErrNewer},
		"version 2 of another form": {"97" + magic + "02 f6 bf ff", ErrNewer},
		"version zero":              {"87" + magic + "00" + vault + "00 00 00" + chain, ErrDamaged},
		"version in two bytes":      {"87" + magic + "1801" + vault + "00 00 00" + chain, ErrDamaged},
		"count in two bytes":        {"87" + magic + "01" + vault + "00 1800 00" + chain, ErrDamaged},
		"one entry, no bytes":       {"87" + magic + "01" + vault + "00 01 00" + chain, ErrDamaged},
		"2^63 bytes":                {"87" + magic + "01" + vault + "00 01 1b8000000000000000" + chain, ErrDamaged},
		"another base":              {"87" + magic + "01" + vault + "05 00 00" + chain, ErrDamaged},
		"element missing":           {"86" + magic + "01" + vault + "00 00" + chain, ErrDamaged},
		"element too many":          {"88" + magic + "01" + vault + "00 00 00" + chain + "00", ErrDamaged},
		"array of unknown length":   {"9f" + magic + "01" + vault + "00 00 00" + chain + "ff", ErrDamaged},
		"a map":                     {"a7" + magic + "01" + vault + "00 00 00" + chain, ErrDamaged},
		"other magic":               {"87" + strings.Replace(magic, "72", "73", 1) + "01" + vault + "00 00 00" + chain, ErrDamaged},
		"vault ID of 15 bytes":      {"87" + magic + "01 4f" + vault[3:len(vault)-2] + "00 00 00" + chain, ErrMAC},
		"another vault":             {"87" + magic + "01" + vault[:len(vault)-1] + "0 00 00 00" + chain, ErrMAC},
		"bytes behind the array":    {"87" + magic + "01" + vault + "00 00 00" + chain + "01", ErrDamaged},
		"empty":                     {"", ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := hex.DecodeString(strings.ReplaceAll(c.body, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := codec.decode(sealHead(t, body), func(uint64, Entry) {}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestGoldenLedger opens the file that version 1 of the format wrote, and writes it.
func TestGoldenLedger(t *testing.T) {
	codec := mustCodec(t)
	data, err := os.ReadFile(filepath.Join("testdata", "v1.ledger"))
	if err != nil {
		t.Fatal(err)
	}
	var got []Entry
	head, err := codec.decode(data, func(sequence uint64, e Entry) {
		got = append(got, e)
		if want := 1000 + uint64(len(got)); sequence != want {
			t.Errorf("sequence %d, want %d", sequence, want)
		}
	})
	if err != nil || !reflect.DeepEqual(got, sampleEntries()) || head.Base != 1000 || head.Count != 3 {
		t.Errorf("got %+v of %+v, %v; want %+v", got, head, err, sampleEntries())
	}
	if again := encodeLedger(t, codec, 1000, sampleEntries()); !bytes.Equal(again, data) {
		t.Errorf("writing it gives %x, want %x", again, data)
	}
}

// TestLedgerIsCoreDeterministicCBOR compares our encoding with that of the CBOR
// library.
func TestLedgerIsCoreDeterministicCBOR(t *testing.T) {
	codec := mustCodec(t)
	rapid.Check(t, func(r *rapid.T) {
		head := codec.start(rapid.Uint64Max(1<<60).Draw(r, "base"))
		for range rapid.IntRange(0, 5).Draw(r, "entries") {
			size := rapid.SampledFrom([]int{16, 32}).Draw(r, "size")
			e := Entry{
				Kind:    Kind(rapid.Uint64().Draw(r, "kind")),
				Subject: rapid.SliceOfN(rapid.Byte(), size, size).Draw(r, "subject"),
				Value:   rapid.Uint64().Draw(r, "value"),
			}
			data, err := codec.appendEntry(nil, &head, e)
			if err != nil || len(data) > maxEntry {
				r.Fatalf("%d bytes, %v", len(data), err)
			}
			want := ledgerEntry{Sequence: head.Base + head.Count, Kind: e.Kind, Subject: e.Subject, Value: e.Value, Chain: head.Chain}
			if err := testMAC(&want.MAC, append([]byte(domainEntry), head.Chain[:]...)); err != nil {
				r.Fatal(err)
			}
			if want := libraryEncoding(t, want); !bytes.Equal(data, want) {
				r.Fatalf("entry: got %x, want %x", data, want)
			}
		}
		sector, err := codec.encodeHead(head)
		if want := sealHead(t, libraryEncoding(t, head)); err != nil || !bytes.Equal(sector, want) {
			r.Fatalf("head: got %x, want %x, %v", sector, want, err)
		}
	})
}

// FuzzDecodeLedger gives the decoder files as they are and with a right head: one
// sealed anew, and one made for the bytes as entries. What it accepts must come
// back as the same bytes.
func FuzzDecodeLedger(f *testing.F) {
	codec := mustCodec(f)
	f.Add(encodeLedger(f, codec, 0, nil))
	f.Add(encodeLedger(f, codec, 1000, sampleEntries()))
	f.Add(encodeLedger(f, codec, 0, sampleEntries())[sectorSize:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		files := [][]byte{data}
		if len(data) >= sectorSize {
			files = append(files, append(sealHead(t, data[:headBodySize]), data[sectorSize:]...))
		}
		for _, file := range files {
			var entries, read []Entry
			readErr := unproved(file, func(e Entry) { read = append(read, e) })
			head, err := codec.decode(file, func(_ uint64, e Entry) { entries = append(entries, e) })
			if err != nil {
				if !isLedgerError(err) && !errors.Is(err, ErrNewer) {
					t.Fatalf("an error of no kind: %v", err)
				}
				continue
			}
			if readErr != nil || len(read) < len(entries) || !sameEntries(read[:len(entries)], entries) {
				t.Fatalf("without a key: got %v, %v, want %v", read, readErr, entries)
			}
			if again := encodeLedger(t, codec, head.Base, entries); !bytes.Equal(again, file[:len(again)]) {
				t.Fatalf("got %x, want %x", again, file)
			}
		}
		var entries []Entry
		if _, err := codec.decodeEntries(0, data, func(_ uint64, e Entry) { entries = append(entries, e) }); err == nil {
			if again := encodeLedger(t, codec, 0, entries)[sectorSize:]; !bytes.Equal(again, data) {
				t.Fatalf("got %x, want %x", again, data)
			}
		}
	})
}
