package gateway

import (
	"bytes"
	"fmt"
	"testing"
)

func FuzzReadRequest(f *testing.F) {
	text, err := encode(job("https://127.0.0.1", ""))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(append(requestHeader(1, len(text), 3), text...), "abc"...))
	f.Add(requestHeader(1, maxJob, maxBody))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readRequest(bytes.NewReader(b))
		if err != nil {
			return
		}
		text, err := encode(q.job)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readRequest(bytes.NewReader(append(append(requestHeader(q.id, len(text), len(q.form)), text...), q.form...)))
		if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", q) {
			t.Errorf("read %+v, then %+v, %v", q, again, err)
		}
	})
}

func FuzzReadReply(f *testing.F) {
	b, err := appendReply(nil, 7, Answer{Status: 200, Kept: map[string]string{"error": "x"}, Sealed: map[string][]byte{"a": {1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		id, a, err := readReply(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := appendReply(nil, id, a)
		if err != nil {
			t.Fatal(err)
		}
		id2, a2, err := readReply(bytes.NewReader(again))
		if err != nil || id2 != id || fmt.Sprintf("%+v", a2) != fmt.Sprintf("%+v", a) {
			t.Errorf("read %d %+v, then %d %+v, %v", id, a, id2, a2, err)
		}
	})
}

func FuzzTake(f *testing.F) {
	f.Add([]byte(`{"error":"a","expires_in":3600}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var a Answer
		_ = a.take(Job{Keep: []string{"error", "expires_in"}}, body)
		if !a.Readable && len(a.Kept) > 0 {
			t.Errorf("kept %v of what is not readable", a.Kept)
		}
		if n, ok := a.Seconds("expires_in"); ok && n <= 0 {
			t.Errorf("%d seconds", n)
		}
	})
}
