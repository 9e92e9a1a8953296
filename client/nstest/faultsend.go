package nstest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// parseFault reads the JSON form of a Fault as strictly as ReadConfig.
func parseFault(data []byte) (Fault, error) {
	var f Fault
	if err := decodeStrictly(data, &f); err != nil {
		return Fault{}, fmt.Errorf("%w: %w", ErrFault, err)
	}
	if err := f.check(); err != nil {
		return Fault{}, err
	}
	return f, nil
}

// answer is what a request gets that the fault befell: its own answer, where it
// is carried out and the fault has none to put in its place.
func (f Fault) answer(x *exchange, handle func(*exchange) answer) answer {
	spoils := oneOf(f.Kind, "cut", "drip", "length")
	var own answer
	if spoils || f.CarryOut {
		own = handle(x)
	}
	if spoils || oneOf(f.Kind, "drop", "hang") {
		return own
	}
	var a answer
	switch f.Kind {
	case "html":
		a = page(f.statusOr(http.StatusOK), "Maintenance", "<h1>NetSuite is being maintained</h1>\n<p>Please try again later.</p>")
	case "redirect":
		a = answer{http.StatusFound, http.Header{"Location": {f.Location}}, nil}
	case "rate":
		isPage := x.isPage
		x.isPage = false
		a = x.deny(refuse(ReasonConcurrency, "more requests at once than allowed, says the fault"))
		x.isPage = isPage
	default:
		contentType, body := "text/plain; charset=utf-8", f.Body
		if strings.HasPrefix(body, "{") || strings.HasPrefix(body, "[") {
			contentType = "application/json"
		}
		a = textAnswer(f.statusOr(http.StatusServiceUnavailable), contentType, body)
	}
	if f.RetryAfter > 0 {
		a.header.Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	return a
}

func (f Fault) statusOr(status int) int {
	if f.Status != 0 {
		return f.Status
	}
	return status
}

// send sends the answer the way the fault wants it. Ending a connection is done
// with http.ErrAbortHandler, which net/http takes as such.
func (f Fault) send(w http.ResponseWriter, r *http.Request, a answer) {
	pause := time.Duration(f.DelayMS) * time.Millisecond
	switch f.Kind {
	case "hang":
		wait(r, pause)
		panic(http.ErrAbortHandler)
	case "drop":
		panic(http.ErrAbortHandler)
	case "cut":
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body[:min(f.After, len(a.body))])
		flush(w)
		panic(http.ErrAbortHandler)
	case "length":
		f.lie(w, a)
	case "drip":
		if pause == 0 {
			pause = 100 * time.Millisecond
		}
		w.WriteHeader(a.status)
		for i := range a.body {
			_, _ = w.Write(a.body[i : i+1])
			flush(w)
			if !wait(r, pause) {
				panic(http.ErrAbortHandler) // the answer is not whole, and must not look so
			}
		}
	default:
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body)
	}
}

// lie sends all of the body under a Content-Length that is not its own. Over
// HTTP/2 and in a test without a connection, net/http stops at a length that is
// too short.
func (f Fault) lie(w http.ResponseWriter, a answer) {
	h := w.Header()
	h.Set("Content-Length", strconv.Itoa(f.ContentLength))
	if hijacker, ok := w.(http.Hijacker); ok {
		conn, buffer, err := hijacker.Hijack()
		if err == nil {
			defer func() { _ = conn.Close() }()
			_, _ = buffer.WriteString("HTTP/1.1 " + strconv.Itoa(a.status) + " " + http.StatusText(a.status) + "\r\n")
			_ = h.Write(buffer)
			_, _ = buffer.WriteString("\r\n" + string(a.body))
			_ = buffer.Flush()
			return
		}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
	flush(w)
	panic(http.ErrAbortHandler)
}

// wait pauses, without end if pause is zero, and says whether the client is still
// there.
func wait(r *http.Request, pause time.Duration) bool {
	if pause == 0 {
		<-r.Context().Done()
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
