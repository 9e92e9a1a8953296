package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Each error comes out of an answer as it went in, with one remedy of its own.
func TestErrorsCrossTheSocket(t *testing.T) {
	remedies, numbers := map[string]error{}, map[byte]error{}
	for _, k := range kinds() {
		if other := numbers[k.status]; other != nil || k.status == statusOK {
			t.Errorf("%v has the number of %v", k.err, other)
		}
		numbers[k.status] = k.err
		for text, err := range map[string]error{
			k.err.Error():                      k.err,
			k.err.Error() + ": dial x: it is?": fmt.Errorf("%w: %w", k.err, errors.New("dial x: it is\n")),
		} {
			a, frameErr := readAnswer(bytes.NewReader(appendAnswer(nil, err, 0)))
			if frameErr != nil {
				t.Errorf("%v: %v", err, frameErr)
				continue
			}
			got := a.decodeError()
			if !errors.Is(got, k.err) || got.Error() != text {
				t.Errorf("got %v, want %s", got, text)
			}
		}
		remedy := Remedy(fmt.Errorf("reading: %w", k.err))
		if other := remedies[remedy]; other != nil || remedy == "" || strings.HasSuffix(remedy, ".") {
			t.Errorf("%v: remedy %q, also of %v", k.err, remedy, other)
		}
		remedies[remedy] = k.err
	}
	if got := Remedy(io.EOF); got != "" {
		t.Errorf("remedy of a foreign error: %q", got)
	}
	if a, err := readAnswer(bytes.NewReader(appendAnswer(nil, errors.New("secret plan \x1b[31m"), 0))); err != nil ||
		!errors.Is(a.decodeError(), ErrUnavailable) || !strings.Contains(a.text, "secret plan ?[31m") {
		t.Errorf("unknown error: got %v, %v", a, err)
	}
}

func TestPrintable(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for in, want := range map[string]string{"a b~": "a b~", "a\r\n\x1b\x7f": "a????", "é": "??", long: long[1:]} {
		if got := printable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// A panic in the keyring's client is an answer.
func TestGuard(t *testing.T) {
	value, err := guard(request{}, func(request) ([]byte, error) { panic("value") })
	if value != nil || !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "value") {
		t.Errorf("got %q, %v", value, err)
	}
}

func FuzzRequest(f *testing.F) {
	for _, r := range []request{{opGet, "a", nil}, {opSet, "0/a_b-c.d", []byte{0, 255}}, {opDelete, strings.Repeat("z", maxItem), nil}} {
		head, err := appendRequest(nil, r.op, r.item, len(r.value))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(head, r.value...))
	}
	f.Add([]byte{version, opSet, 1, 49, 'a'})
	f.Add([]byte{2, opGet, 1, 0, 'a'})
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bytes.NewReader(data)
		var buf [requestSize]byte
		r, err := readRequest(in, &buf)
		if err != nil {
			if r.item != "" || r.value != nil {
				t.Errorf("got %+v with error %v", r, err)
			}
			return
		}
		again, err := appendRequest(nil, r.op, r.item, len(r.value))
		if err != nil {
			t.Fatalf("%+v was read and cannot be written: %v", r, err)
		}
		again = append(again, r.value...)
		if want := data[:len(data)-in.Len()]; !bytes.Equal(again, want) {
			t.Errorf("got %q, want %q", again, want)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(append(appendAnswer(nil, nil, 3), "abc"...))
	for _, k := range kinds() {
		f.Add(appendAnswer(nil, k.err, 0))
		f.Add(appendAnswer(nil, fmt.Errorf("%w: because", k.err), 0))
	}
	f.Add([]byte{version, 99, 0, 0})
	f.Add([]byte{version, 1, 0, 5})
	f.Add([]byte{version, 1, 2, 0, 'a', 200})
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bytes.NewReader(data)
		a, err := readAnswer(in)
		if err != nil {
			if a != (answer{}) {
				t.Errorf("got %+v with error %v", a, err)
			}
			return
		}
		if (a.decodeError() == nil) != (a.status == statusOK) || a.value > MaxValue {
			t.Errorf("got %+v, %v", a, a.decodeError())
		}
		again := appendAnswer(nil, a.decodeError(), a.value)
		if want := data[:len(data)-in.Len()]; !bytes.Equal(again, want) {
			t.Errorf("%+v: written again as %q, want %q", a, again, want)
		}
	})
}
