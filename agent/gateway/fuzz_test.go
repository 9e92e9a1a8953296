package gateway

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func FuzzReadRequest(f *testing.F) {
	text, err := encode(job("https://127.0.0.1", ""))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(append(requestHeader(1, len(text), 2, 3), text...), "ababc"...))
	f.Add(requestHeader(1, maxJob, maxAuthorization, maxBody))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readRequest(bytes.NewReader(b))
		if err != nil {
			return
		}
		text, err := encode(q.job)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readRequest(bytes.NewReader(append(append(requestHeader(q.id, len(text), len(q.authorization), len(q.body)), text...), append(q.authorization, q.body...)...)))
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
	f.Add([]byte(`[{"error":{"a":[1,{"b":true}]}}]`))
	f.Add([]byte(`oauth_token=a%20b&oauth_token_secret=c+d&error=`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, read := range []Read{ReadObject, ReadList, ReadForm, ReadText} {
			var a Answer
			_ = a.take(Job{Read: read, Keep: []string{"error", "expires_in", "error.a.1.b"}}, body)
			if !a.Readable && len(a.Kept)+len(a.List)+len(a.Text) > 0 {
				t.Errorf("kept %+v of what is not readable", a)
			}
			if len(a.Text) > MaxText || len(a.List) > MaxList {
				t.Errorf("too much was kept: %d, %d", len(a.Text), len(a.List))
			}
			if n, ok := a.Seconds("expires_in"); ok && n <= 0 {
				t.Errorf("%d seconds", n)
			}
			if _, err := appendReply(nil, 1, a); err != nil && len(body) < 1<<16 {
				t.Errorf("an answer that cannot be handed on: %v", err)
			}
		}
	})
}

// FuzzFormOf holds the decoder of forms against that of net/url.
func FuzzFormOf(f *testing.F) {
	f.Add([]byte("oauth_token=a%20b&oauth_token_secret=c+d&role="))
	f.Add([]byte("a=%zz"))
	f.Fuzz(func(t *testing.T, body []byte) {
		pairs, ok := formOf(body)
		if !ok {
			return
		}
		want, err := url.ParseQuery(strings.TrimRight(string(body), "\r\n"))
		if err != nil && !strings.Contains(string(body), ";") {
			t.Fatalf("read what net/url does not: %v", err)
		}
		for name, v := range want {
			if len(v) != 1 || string(pairs[name]) != v[0] {
				t.Errorf("%q: got %q, want %q", name, pairs[name], v)
			}
		}
	})
}
