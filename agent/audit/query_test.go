package audit

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// mixed returns a log of several profiles, events and outcomes.
func mixed(t testing.TB) string {
	t.Helper()
	dir := newDir(t)
	l := mustOpen(t, dir)
	for i, c := range []struct {
		event, outcome, profile, reason string
		uid                             int
	}{
		{EventAgentStart, OutcomeOK, "", "", 1000},
		{EventSign, OutcomeOK, "acme-sb1", "", 1000},
		{EventSign, OutcomeDenied, "acme-prod", "NSA-READONLY", 1000},
		{EventPassport, OutcomeOK, "acme-prod", "", 1000},
		{EventProfileRemove, OutcomeOK, "acme-sb1", "", 1000},
		{EventSign, OutcomeFailed, "acme-sb1", "NSA-INTERNAL", 1000},
		{EventPeerRefused, OutcomeDenied, "", "NSA-PEER", 1001},
		{EventToken, OutcomeOK, `odd "name"`, "", 0},
	} {
		e := use(i)
		e.Event, e.Outcome, e.Profile, e.Reason, e.UID = c.event, c.outcome, c.profile, c.reason, c.uid
		e.Grant = map[string]string{EventPassport: "g_mfzwizlt", EventToken: "g_mfzwaaaa"}[c.event]
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, l)
	return dir
}

func TestQueryFilters(t *testing.T) {
	log := contents(t, mixed(t))
	root := 0
	for what, c := range map[string]struct {
		f    Filter
		want []uint64
	}{
		"all":               {Filter{}, []uint64{1, 2, 3, 4, 5, 6, 7, 8}},
		"event":             {Filter{Event: EventSign}, []uint64{2, 3, 6}},
		"outcome":           {Filter{Outcome: OutcomeDenied}, []uint64{3, 7}},
		"reason":            {Filter{Reason: "NSA-PEER"}, []uint64{7}},
		"profile":           {Filter{Profile: "acme-sb1"}, []uint64{2, 5, 6}},
		"escaped profile":   {Filter{Profile: `odd "name"`}, []uint64{8}},
		"event and outcome": {Filter{Event: EventSign, Outcome: OutcomeOK}, []uint64{2}},
		"after":             {Filter{First: 7}, []uint64{7, 8}},
		"since":             {Filter{Since: use(5).Time.Truncate(time.Microsecond)}, []uint64{6, 7, 8}},
		"until":             {Filter{Until: use(2).Time.Truncate(time.Microsecond)}, []uint64{1, 2}},
		"root":              {Filter{UID: &root}, []uint64{8}},
		"method":            {Filter{Method: "POST"}, nil},
		"host":              {Filter{Host: "1234567-sb1.suitetalk.api.netsuite.com", First: 8}, []uint64{8}},
		"last":              {Filter{First: 2, Last: 3}, []uint64{2, 3}},
		"host pattern":      {Filter{Host: "1234567-sb1.*.netsuite.com", First: 8}, []uint64{8}},
		"other host":        {Filter{Host: "*.example.com"}, nil},
		"path":              {Filter{Path: "/services/rest/record/*/customer/5"}, []uint64{6}},
		"program":           {Filter{Exe: "python3.13", Event: EventSign}, []uint64{2, 3, 6}},
		"path of program":   {Filter{Exe: "/usr/bin/python3.13", Event: EventSign}, []uint64{2, 3, 6}},
		"other program":     {Filter{Exe: "python3"}, nil},
		"other process":     {Filter{PID: &root}, nil},
		"account":           {Filter{Account: "1234567"}, nil},
		"kind":              {Filter{Kind: "m2m"}, nil},
		"start of a grant":  {Filter{Grant: "g_mfzwi"}, []uint64{4}},
		"of two grants":     {Filter{Grant: "g_mfzw"}, []uint64{4, 8}},
		"middle of a grant": {Filter{Grant: "mfzw"}, nil},
	} {
		var got []uint64
		for e, err := range Query(bytes.NewReader(log), c.f) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", what, got, c.want)
		}
	}
}

func TestQueryStopsWhenAsked(t *testing.T) {
	n := 0
	for range Query(bytes.NewReader(sample(t, 10)), Filter{}) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
}

func TestQueryGoesOnAfterABadLine(t *testing.T) {
	lines := splitLines(sample(t, 4))
	lines[1] = []byte("rubbish\n")
	lines[3] = lines[3][:40] // being written
	var good, bad int
	for e, err := range Query(bytes.NewReader(bytes.Join(lines, nil)), Filter{}) {
		switch {
		case err == nil:
			good++
		case errors.Is(err, ErrLine) && e == (Entry{}):
			bad++
		default:
			t.Errorf("got %+v, %v", e, err)
		}
	}
	if good != 2 || bad != 1 {
		t.Errorf("%d good and %d bad lines, want 2 and 1", good, bad)
	}
	boom := errors.New("boom")
	var last error
	for _, err := range Query(&failAfter{bytes.NewReader(lines[0]), boom}, Filter{}) {
		last = err
	}
	if !errors.Is(last, boom) {
		t.Errorf("got %v, want the read error", last)
	}
}

func TestRecall(t *testing.T) {
	dir := mixed(t)
	past, err := Recall(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := past.Used
	at := func(i int) time.Time { return use(i).Time.Truncate(time.Microsecond) }
	want := map[string]time.Time{"acme-sb1": at(1), "acme-prod": at(3), `odd "name"`: at(7)}
	if !maps.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, err := Recall(newDir(t)); err != nil || len(got.Used)+len(got.Expiry) != 0 {
		t.Errorf("without a log: got %v, %v", got, err)
	}
}

// Of entries about an end the last one counts, also under a new name of its profile.
func TestRecallExpiry(t *testing.T) {
	dir := newDir(t)
	l := mustOpen(t, dir)
	for _, e := range []Event{
		{Event: EventExpiry, Outcome: OutcomeOK, Profile: "a", Detail: "within=60d"},
		{Event: EventExpiry, Outcome: OutcomeOK, Profile: "a", Detail: "within=30d"},
		{Event: EventExpiry, Outcome: OutcomeOK, Profile: "b", Detail: "within=7d"},
		{Event: EventProfileRename, Outcome: OutcomeOK, Profile: "b", Detail: "to=c"},
		{Event: EventProfileRename, Outcome: OutcomeFailed, Profile: "a", Detail: "to=d"},
	} {
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	past, err := Recall(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "within=30d", "b": "within=7d", "c": "within=7d"}
	if !maps.Equal(past.Expiry, want) || len(past.Used) != 0 {
		t.Errorf("got %v, want %v", past, want)
	}
}

func TestOpenReader(t *testing.T) {
	if _, err := OpenReader(newDir(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a log: got %v", err)
	}
	dir := place(t, nil)
	file := filepath.Join(dir, fileName)
	if err := os.Rename(file, file+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file+"2", file); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReader(dir); !errors.Is(err, ErrUnsafe) {
		t.Errorf("link: got %v, want ErrUnsafe", err)
	}
}

// Reading goes on while an agent writes, and never takes a line that is just being
// written for damage.
func TestVerifyWhileAppending(t *testing.T) {
	dir := newDir(t)
	l := mustOpen(t, dir)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 3000 {
			if _, err := l.Append(use(i)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for writing := true; writing; {
		select {
		case <-done:
			writing = false
		default:
		}
		if res, err := CheckDir(dir, Trust{}); err != nil || !res.OK {
			t.Fatalf("got %+v, %v", res, err)
		}
	}
}
