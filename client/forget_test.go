package client

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestStreamForgets looks into a stream that has answered, refused and given up on
// requests: it keeps nothing of them, or one that lives for days would grow.
func TestStreamForgets(t *testing.T) {
	c, err := Dial(t.Context(), WithProfile("acme-sb1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	s, err := c.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for range 50 {
		if _, err := s.Sign(t.Context(), Request{URL: "https://1234567-sb1.suitetalk.api.netsuite.com/"}); err != nil {
			t.Error(err)
		}
		if _, err := s.Sign(t.Context(), Request{URL: "https://example.com/"}); !errors.Is(err, ErrHost) {
			t.Errorf("got %v, want ErrHost", err)
		}
		soon, cancel := context.WithTimeout(t.Context(), 20*time.Microsecond)
		_, _ = s.Sign(soon, Request{URL: "https://example.com/"})
		cancel()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) != 0 {
		t.Errorf("%d requests are still waited for", len(s.waiting))
	}
}
