package nstest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

const maxFaults = 100

// Fault makes requests go wrong on their way, so that a client can be tried
// against it.
//
// Kinds that still carry the request out, and then spoil the answer: cut (it
// stops after After bytes of the body), drip (a byte every DelayMS), length (it
// says ContentLength, whatever is true). Kinds that do not, unless CarryOut is
// set: drop (the connection ends without an answer), hang (there is no answer
// until the client gives up or DelayMS has passed), status (Status with Body),
// html (a page with Status), redirect (to Location), rate (what NetSuite says at
// the limit of concurrent requests).
type Fault struct {
	Kind string `json:"kind"`
	// Path is that of the requests. One that ends in * stands for all that begin
	// so. Empty: any.
	Path string `json:"path"`
	// Method and Grant narrow it: HTTP method, and grant_type at the token
	// endpoint. Empty: any.
	Method string `json:"method"`
	Grant  string `json:"grant"`
	// Skip is how many such requests pass unharmed first, Times how many go wrong
	// then. Zero times: one. Below zero: all.
	Skip  int `json:"skip"`
	Times int `json:"times"`
	// CarryOut lets the request take effect, although the answer does not say so.
	CarryOut bool `json:"carry_out"`
	// After is in bytes of the body.
	After int `json:"after"`
	// DelayMS is in milliseconds. Zero: 100 for drip, without end for hang.
	DelayMS int `json:"delay_ms"`
	// ContentLength is what length says, in bytes.
	ContentLength int `json:"content_length"`
	// Status is that of status (zero: 503) and html (zero: 200), Body the text of
	// status. Body with a brace first is sent as JSON.
	Status int    `json:"status"`
	Body   string `json:"body"`
	// Location is where redirect leads.
	Location string `json:"location"`
	// RetryAfter is a header in seconds for status and rate. Zero: none.
	RetryAfter int `json:"retry_after"`
}

// ErrFault is what Inject finds wrong with a Fault.
var ErrFault = errors.New("nstest: fault")

func (f Fault) check() error {
	switch {
	case !oneOf(f.Kind, "cut", "drip", "length", "drop", "hang", "status", "html", "redirect", "rate"):
		return fmt.Errorf("%w: kind %q", ErrFault, f.Kind)
	case min(f.Skip, f.After, f.DelayMS, f.ContentLength, f.RetryAfter) < 0 || f.DelayMS > 900_000:
		return fmt.Errorf("%w: skip, after, delay_ms, content_length or retry_after out of bounds", ErrFault)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("%w: status %d", ErrFault, f.Status)
	case f.Kind == "redirect" && f.Location == "" || strings.ContainsAny(f.Location, "\r\n"):
		return fmt.Errorf("%w: location %q", ErrFault, f.Location)
	}
	return nil
}

// faults are those that wait for their request.
type faults struct {
	mu   sync.Mutex // guards all below
	left []Fault
}

// Inject lets a Fault befall requests to come. Of several that fit a request the
// oldest does. The error wraps ErrFault.
func (s *Server) Inject(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if len(s.faults.left) >= maxFaults {
		return fmt.Errorf("%w: %d wait already", ErrFault, maxFaults)
	}
	s.faults.left = append(s.faults.left, f)
	return nil
}

// Faults returns the faults that still wait.
func (s *Server) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return append([]Fault{}, s.faults.left...)
}

// ClearFaults removes them all.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.left = nil
}

// take finds the fault for a request, and counts it.
func (all *faults) take(x *exchange) *Fault {
	all.mu.Lock()
	defer all.mu.Unlock()
	for i := range all.left {
		f := &all.left[i]
		if !f.fits(x) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		out := *f
		if f.Times == 0 || f.Times == 1 {
			all.left = append(all.left[:i:i], all.left[i+1:]...)
		} else if f.Times > 1 {
			f.Times--
		}
		return &out
	}
	return nil
}

func (f Fault) fits(x *exchange) bool {
	if begin, open := strings.CutSuffix(f.Path, "*"); open {
		if !strings.HasPrefix(x.wire.path, begin) {
			return false
		}
	} else if f.Path != "" && f.Path != x.wire.path {
		return false
	}
	if f.Grant != "" {
		form, err := formPairs(string(x.body))
		if err != nil || get(form, "grant_type") != f.Grant {
			return false
		}
	}
	return f.Method == "" || f.Method == x.wire.method
}

// changeFaults serves /nstest/fault: POST adds one, GET lists those that wait,
// DELETE removes them.
func (x *exchange) changeFaults() answer {
	switch x.wire.method {
	case http.MethodPost:
		f, err := parseFault(x.body)
		if err == nil {
			err = x.server.Inject(f)
		}
		if err != nil {
			return jsonAnswer(http.StatusBadRequest, map[string]string{"error": err.Error()})
		}
	case http.MethodDelete:
		x.server.ClearFaults()
	case http.MethodGet:
	default:
		return jsonAnswer(http.StatusMethodNotAllowed, map[string]string{"error": "use GET, POST or DELETE"})
	}
	return jsonAnswer(http.StatusOK, map[string]any{"schema": "nsagent.faults/v1", "faults": x.server.Faults()})
}
