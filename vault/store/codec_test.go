package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"
)

// sample is a small snapshot with one of everything.
func sample() Snapshot {
	return Snapshot{
		Generation: 7,
		Root:       []byte("root"),
		Records: map[ID][]byte{
			{0: 1}:                                []byte("first"),
			{0: 1, 15: 1}:                         {},
			{15: 0xff}:                            []byte(strings.Repeat("x", 24)),
			ID(bytes.Repeat([]byte{0xff}, 16)[:]): []byte(strings.Repeat("y", 300)),
		},
	}
}

// libraryEncoding returns v in core deterministic encoding, by the CBOR library.
func libraryEncoding(t testing.TB, v any) []byte {
	t.Helper()
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	data, err := mode.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustEncode(t testing.TB, s Snapshot) []byte {
	t.Helper()
	data, err := encodeFile(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// withChecksum returns body, which ends with the head of the checksum, as a file.
func withChecksum(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(bytes.Clone(body), sum[:]...)
}

func TestRoundTrip(t *testing.T) {
	empty := Snapshot{Generation: 1, Root: []byte{}, Records: map[ID][]byte{}}
	for _, s := range []Snapshot{sample(), empty} {
		got, err := decodeFile(mustEncode(t, s))
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("got %+v, %v; want %+v", got, err, s)
		}
	}
}

// TestFormIsCoreDeterministicCBOR compares our piecewise encoding with the encoder
// of the CBOR library.
func TestFormIsCoreDeterministicCBOR(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		id := rapid.Custom(func(r *rapid.T) ID {
			return ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(r, "id"))
		})
		length := rapid.SampledFrom([]int{0, 1, 22, 23, 24, 25, 254, 255, 256, 257, 65535, 65536})
		blob := rapid.Custom(func(r *rapid.T) []byte { return make([]byte, length.Draw(r, "length")) })
		s := Snapshot{
			Generation: rapid.Uint64Min(1).Draw(r, "generation"),
			Root:       blob.Draw(r, "root"),
			Records:    rapid.MapOfN(id, blob, -1, 40).Draw(r, "records"),
		}
		data := mustEncode(t, s)
		want := libraryEncoding(t, document{
			Magic: fileMagic, Version: fileVersion, Generation: s.Generation, Root: s.Root, Records: s.Records,
			Checksum: [32]byte(data[len(data)-32:]),
		})
		if !bytes.Equal(data, want) {
			r.Fatalf("got %x, want %x", data, want)
		}
		got, err := decodeFile(data)
		if err != nil || !reflect.DeepEqual(got, s) {
			r.Fatalf("decoding gives %+v, %v; want %+v", got, err, s)
		}
	})
}

// TestEveryChangeOfOneByteIsSeen tries all 255 other values of every byte, every
// cut and every prolongation by a byte.
func TestEveryChangeOfOneByteIsSeen(t *testing.T) {
	data := mustEncode(t, Snapshot{Generation: 2, Root: []byte("root"), Records: map[ID][]byte{{1}: []byte("a"), {2}: {}}})
	for i := range data {
		changed := bytes.Clone(data)
		for x := 1; x < 256; x++ {
			changed[i] = data[i] ^ byte(x)
			wantRefused(t, changed, ErrDamaged)
		}
		wantRefused(t, data[:i], ErrDamaged)
	}
	for x := range 256 {
		wantRefused(t, append(bytes.Clone(data), byte(x)), ErrDamaged)
	}
}

func wantRefused(t *testing.T, data []byte, want error) {
	t.Helper()
	s, err := decodeFile(data)
	if !errors.Is(err, want) || s.Root != nil || s.Records != nil || s.Generation != 0 {
		t.Fatalf("%x: got %+v, %v; want nothing and %v", data, s, err, want)
	}
}

// TestOtherFormsAreRefused gives the decoder files with a right checksum that a
// lenient decoder would accept, or that claim more than they hold.
func TestOtherFormsAreRefused(t *testing.T) {
	const (
		head     = "a6 00 6d 6e73 6167 656e 7420 7661 756c 74 01 01"
		id1      = "50 01000000000000000000000000000000"
		id2      = "50 02000000000000000000000000000000"
		checksum = "17 58 20"
		hash     = "58 20 0100000000000000000000000000000000000000000000000000000000000000"
	)
	for name, c := range map[string]struct {
		body string
		want error // nil: accepted
	}{
		"good":                      {head + "02 01  03 41 aa  04 a1" + id1 + "41 bb" + checksum, nil},
		"no records":                {head + "02 01  03 40  04 a0" + checksum, nil},
		"two records":               {head + "02 01  03 40  04 a2" + id1 + "40" + id2 + "40" + checksum, nil},
		"records out of order":      {head + "02 01  03 40  04 a2" + id2 + "40" + id1 + "40" + checksum, ErrDamaged},
		"record twice":              {head + "02 01  03 40  04 a2" + id1 + "40" + id1 + "40" + checksum, ErrDamaged},
		"generation zero":           {head + "02 00  03 40  04 a0" + checksum, ErrDamaged},
		"generation negative":       {head + "02 20  03 40  04 a0" + checksum, ErrDamaged},
		"generation in two bytes":   {head + "02 1801  03 40  04 a0" + checksum, ErrDamaged},
		"generation as a float":     {head + "02 f93c00  03 40  04 a0" + checksum, ErrDamaged},
		"generation as a bignum":    {head + "02 c24101  03 40  04 a0" + checksum, ErrDamaged},
		"generation tagged":         {head + "02 d9d9f701  03 40  04 a0" + checksum, ErrDamaged},
		"root null":                 {head + "02 01  03 f6  04 a0" + checksum, ErrDamaged},
		"root as text":              {head + "02 01  03 61 61  04 a0" + checksum, ErrDamaged},
		"root as an array":          {head + "02 01  03 81 01  04 a0" + checksum, ErrDamaged},
		"root of unknown length":    {head + "02 01  03 5f 41 aa ff  04 a0" + checksum, ErrDamaged},
		"root length in two bytes":  {head + "02 01  03 5801 aa  04 a0" + checksum, ErrDamaged},
		"records null":              {head + "02 01  03 40  04 f6" + checksum, ErrDamaged},
		"records as an array":       {head + "02 01  03 40  04 80" + checksum, ErrDamaged},
		"records of unknown length": {head + "02 01  03 40  04 bf ff" + checksum, ErrDamaged},
		"record null":               {head + "02 01  03 40  04 a1" + id1 + "f6" + checksum, ErrDamaged},
		"record as text":            {head + "02 01  03 40  04 a1" + id1 + "60" + checksum, ErrDamaged},
		"ID of 15 bytes":            {head + "02 01  03 40  04 a1 4f 010000000000000000000000000000 40" + checksum, ErrDamaged},
		"ID of 17 bytes":            {head + "02 01  03 40  04 a1 51 0100000000000000000000000000000000 40" + checksum, ErrDamaged},
		"ID as text":                {head + "02 01  03 40  04 a1 70 61616161616161616161616161616161 40" + checksum, ErrDamaged},
		"unknown key":               {"a7" + head[2:] + "02 01  03 40  04 a0  05 00" + checksum, ErrDamaged},
		"key missing":               {"a5" + head[2:] + "02 01  04 a0" + checksum, ErrDamaged},
		"key twice":                 {"a7" + head[2:] + "02 01  03 40  03 40  04 a0" + checksum, ErrDamaged},
		"keys out of order":         {head + "03 40  02 01  04 a0" + checksum, ErrDamaged},
		"checksum not last":         {head + "02 01  03 40  17 40  04 58 20", ErrDamaged},
		"checksum too short":        {head + "02 01  03 40  04 a0  17 58 1f", ErrDamaged},
		"map of unknown length":     {"bf" + head[2:] + "02 01  03 40  04 a0" + checksum, ErrDamaged},
		"too few pairs":             {"a5" + head[2:] + "02 01  03 40  04 a0" + checksum, ErrDamaged},
		"too many pairs":            {"a7" + head[2:] + "02 01  03 40  04 a0" + checksum, ErrDamaged},
		"an array":                  {"86" + head[2:] + "02 01  03 40  04 a0" + checksum, ErrDamaged},
		"other magic":               {"a6 00 6d 6e73 6167 656e 7420 7661 756c 75 01 01 02 01  03 40  04 a0" + checksum, ErrDamaged},
		"version zero":              {head[:len(head)-1] + "0  02 01  03 40  04 a0" + checksum, ErrDamaged},
		"version in two bytes":      {head[:len(head)-2] + "1801  02 01  03 40  04 a0" + checksum, ErrDamaged},
		"version as text":           {head[:len(head)-2] + "6131  02 01  03 40  04 a0" + checksum, ErrDamaged},
		"version 2 without blobs":   {head[:len(head)-1] + "2  02 01  03 40  04 a0" + checksum, ErrDamaged},
		"version 2, no blob":        {"a7" + head[2:len(head)-1] + "2  02 01  03 40  04 a0  05 a0" + checksum, ErrDamaged},
		"version 2":                 {"a7" + head[2:len(head)-1] + "2  02 01  03 40  04 a0  05 a1" + hash + "82 01 41 aa" + checksum, nil},
		"version 1 with blobs":      {"a7" + head[2:] + "02 01  03 40  04 a0  05 a1" + hash + "82 01 41 aa" + checksum, ErrDamaged},
		"blob of three items":       {"a7" + head[2:len(head)-1] + "2  02 01  03 40  04 a0  05 a1" + hash + "83 01 41 aa 00" + checksum, ErrDamaged},
		"blob null":                 {"a7" + head[2:len(head)-1] + "2  02 01  03 40  04 a0  05 a1" + hash + "82 01 f6" + checksum, ErrDamaged},
		"blob named by 16 bytes":    {"a7" + head[2:len(head)-1] + "2  02 01  03 40  04 a0  05 a1" + id1 + "82 01 41 aa" + checksum, ErrDamaged},
		"blob twice":                {"a7" + head[2:len(head)-1] + "2  02 01  03 40  04 a0  05 a2" + hash + "82 01 41 aa" + hash + "82 01 41 aa" + checksum, ErrDamaged},
		"version 3":                 {head[:len(head)-1] + "3  02 01  03 40  04 a0" + checksum, ErrNewer},
		"version 3 of another form": {"b7" + head[2:len(head)-1] + "3  61 61 f5 bf ff" + checksum, ErrNewer},
		"version 2^64-1":            {head[:len(head)-2] + "1b ffffffffffffffff" + checksum, ErrNewer},
		"nothing but a head":        {head, ErrDamaged},
		"2^32 records claimed":      {head + "02 01  03 40  04 ba ffffffff" + checksum, ErrDamaged},
		"2^63 records claimed":      {head + "02 01  03 40  04 bb 7fffffffffffffff" + checksum, ErrDamaged},
		"100,001 records claimed":   {head + "02 01  03 40  04 ba 000186a1" + checksum, ErrDamaged},
		"root of 2^40 claimed":      {head + "02 01  03 5b 0000010000000000  04 a0" + checksum, ErrDamaged},
		"nested 1,000 deep":         {head + "02 01  03 " + strings.Repeat("81", 1000) + "00  04 a0" + checksum, ErrDamaged},
		"array of 2^32 claimed":     {head + "02 01  03 9a ffffffff  04 a0" + checksum, ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := hex.DecodeString(strings.ReplaceAll(c.body, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			data := withChecksum(body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s, err := decodeFile(data)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 256<<10 {
				t.Errorf("%d bytes allocated for a file of %d", got, len(data))
			}
			if c.want != nil {
				wantRefused(t, data, c.want)
				return
			}
			if err != nil || !bytes.Equal(mustEncode(t, s), data) {
				t.Errorf("got %+v, %v; want the same bytes back", s, err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	base := func() Snapshot { return Snapshot{Generation: 1, Root: []byte{}, Records: map[ID][]byte{}} }
	many := func(n int) map[ID][]byte {
		records := make(map[ID][]byte, n)
		for i := range n {
			records[ID{byte(i), byte(i >> 8), byte(i >> 16)}] = []byte{}
		}
		return records
	}
	for name, c := range map[string]struct {
		change func(*Snapshot)
		want   error
	}{
		"largest root":          {func(s *Snapshot) { s.Root = make([]byte, MaxRoot) }, nil},
		"root too large":        {func(s *Snapshot) { s.Root = make([]byte, MaxRoot+1) }, ErrTooLarge},
		"largest record":        {func(s *Snapshot) { s.Records[ID{}] = make([]byte, MaxRecord) }, nil},
		"record too large":      {func(s *Snapshot) { s.Records[ID{}] = make([]byte, MaxRecord+1) }, ErrTooLarge},
		"most records":          {func(s *Snapshot) { s.Records = many(MaxRecords) }, nil},
		"too many records":      {func(s *Snapshot) { s.Records = many(MaxRecords + 1) }, ErrTooLarge},
		"file too large in sum": {func(s *Snapshot) { s.Records = manyLarge(65) }, ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			s := base()
			c.change(&s)
			data, err := encodeFile(s)
			if !errors.Is(err, c.want) {
				t.Fatalf("encoding: got %v, want %v", err, c.want)
			}
			if c.want != nil {
				return
			}
			got, err := decodeFile(data)
			if err != nil || len(got.Records) != len(s.Records) || len(got.Root) != len(s.Root) {
				t.Errorf("decoding: %v", err)
			}
		})
	}
	// The same limits hold for a file that another program wrote.
	for name, doc := range map[string]document{
		"root too large":   {Root: make([]byte, MaxRoot+1), Records: map[ID][]byte{}},
		"record too large": {Root: []byte{}, Records: map[ID][]byte{{}: make([]byte, MaxRecord+1)}},
		"too many records": {Root: []byte{}, Records: many(MaxRecords + 1)},
	} {
		doc.Magic, doc.Version, doc.Generation = fileMagic, fileVersion, 1
		data := libraryEncoding(t, doc)
		if _, err := decodeFile(withChecksum(data[:len(data)-32])); !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s in a file: got %v", name, err)
		}
	}
	if _, err := decodeFile(make([]byte, MaxFile+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a file too large: got %v", err)
	}
}

func manyLarge(n int) map[ID][]byte {
	record := make([]byte, 1<<20)
	records := map[ID][]byte{}
	for i := range n {
		records[ID{byte(i)}] = record
	}
	return records
}

// TestGoldenFile opens the file that version 1 of the format wrote, and writes it.
func TestGoldenFile(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "v1.nsv"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeFile(data)
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Errorf("got %+v, %v; want %+v", got, err, sample())
	}
	if again := mustEncode(t, sample()); !bytes.Equal(again, data) {
		t.Errorf("writing it gives %x, want %x", again, data)
	}
}

// FuzzDecodeFile gives the decoder files with their own checksum and with a right
// one. What it accepts must come back as the same bytes; on error nothing comes.
func FuzzDecodeFile(f *testing.F) {
	f.Add(mustEncode(f, sample()))
	f.Add(mustEncode(f, Snapshot{Generation: 1, Root: []byte{}, Records: map[ID][]byte{}, recent: map[BlobHash]recentBlob{{1}: {Since: 7, Blob: []byte("x")}, {2}: {Blob: []byte{}}}}))
	f.Add(mustEncode(f, Snapshot{Generation: 1 << 63, Root: []byte{}, Records: map[ID][]byte{}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		files := [][]byte{data}
		if len(data) >= checksumSize {
			files = append(files, withChecksum(data[:len(data)-checksumSize]))
		}
		for _, file := range files {
			s, err := decodeFile(file)
			if err != nil {
				if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) && !errors.Is(err, ErrTooLarge) {
					t.Fatalf("an error of no kind: %v", err)
				}
				if s.Records != nil || s.Root != nil {
					t.Fatalf("content beside the error %v", err)
				}
				continue
			}
			if again := mustEncode(t, s); !bytes.Equal(again, file) {
				t.Fatalf("got %x, want %x", again, file)
			}
			// The library alone reads the same.
			var doc document
			if err := cbor.Unmarshal(file, &doc); err != nil || len(doc.Records) != len(s.Records) {
				t.Fatalf("plain decoding differs: %v", err)
			}
		}
	})
}
