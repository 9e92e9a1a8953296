package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/nsagent/nsagent/internal/peercred"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// The JSON form of the Signer service, for curl and for scripts that have nothing
// but their standard library. Requests are strict: an unknown, duplicate or
// case-variant key is refused.

type signJSON struct {
	Profile     string `json:"profile"`
	Method      string `json:"method"`
	URL         string `json:"url"`
	ContentType string `json:"content_type"`
	Body        string `json:"body"`
}

type passportJSON struct {
	Profile string `json:"profile"`
	Version string `json:"version"`
}

type profileJSON struct {
	Profile string `json:"profile"`
}

type assertionJSON struct {
	Profile string   `json:"profile"`
	Scope   []string `json:"scope"`
	Aud     string   `json:"aud"`
}

type tokenJSON struct {
	Profile string   `json:"profile"`
	Scope   []string `json:"scope"`
}

type connectionKey struct{}

// endpoint is one path of the JSON API.
type endpoint struct {
	method string
	handle http.HandlerFunc
}

// endpoints returns the JSON API by path. A path is compared byte by byte.
func (a *Agent) endpoints() map[string]endpoint {
	return map[string]endpoint{
		"/v1/sign": {http.MethodPost, answer(a, func(ctx context.Context, c *caller, q signJSON) (any, error) {
			r, err := a.sign(ctx, c, &pb.SignRequest{Profile: q.Profile, Method: q.Method, Url: q.URL, ContentType: q.ContentType, Body: []byte(q.Body)})
			return r.JSON(), err
		})},
		"/v1/passport": {http.MethodPost, answer(a, func(ctx context.Context, c *caller, q passportJSON) (any, error) {
			r, err := a.passport(ctx, c, &pb.PassportRequest{Profile: q.Profile, Version: q.Version})
			return r.JSON(), err
		})},
		"/v1/connect-password": {http.MethodPost, answer(a, func(ctx context.Context, c *caller, q profileJSON) (any, error) {
			r, err := a.connectPassword(ctx, c, &pb.ConnectPasswordRequest{Profile: q.Profile})
			return r.JSON(), err
		})},
		"/v1/assertion": {http.MethodPost, answer(a, func(ctx context.Context, c *caller, q assertionJSON) (any, error) {
			r, err := a.assertion(ctx, c, &pb.AssertionRequest{Profile: q.Profile, Scopes: q.Scope, Audience: q.Aud})
			return r.JSON(), err
		})},
		"/v1/token": {http.MethodPost, answer(a, func(ctx context.Context, c *caller, q tokenJSON) (any, error) {
			r, err := a.accessToken(ctx, c, &pb.AccessTokenRequest{Profile: q.Profile, Scopes: q.Scope})
			return r.JSON(), err
		})},
		"/v1/profiles": {http.MethodGet, answer(a, func(_ context.Context, c *caller, _ struct{}) (any, error) {
			r, err := a.listProfiles(c)
			return r.JSON(), err
		})},
		"/v1/status": {http.MethodGet, answer(a, func(_ context.Context, c *caller, _ struct{}) (any, error) {
			r, err := a.statusFor(c)
			return r.JSON(), err
		})},
	}
}

func (a *Agent) newHTTPServer() *http.Server {
	endpoints := a.endpoints()
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			e, ok := endpoints[r.URL.EscapedPath()]
			switch {
			case !ok:
				writeError(w, refuse(ErrRequest, pb.CodeNotFound, fmt.Sprintf("there is no %.80q here", r.URL.EscapedPath()), "the API is in docs/protocol.md", ""))
			case r.Method != e.method:
				w.Header().Set("Allow", e.method)
				writeError(w, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("%s takes no %.20q", r.URL.EscapedPath(), r.Method), "it takes "+e.method, ""))
			case r.URL.RawQuery != "":
				writeError(w, refuse(ErrRequest, pb.CodeRequest, r.URL.EscapedPath()+" takes no query", "a request is one JSON object in the body", ""))
			default:
				e.handle(w, r)
			}
		}),
		ReadHeaderTimeout:            handshakeTime,
		ReadTimeout:                  handshakeTime,
		WriteTimeout:                 handshakeTime,
		IdleTimeout:                  idleTime,
		MaxHeaderBytes:               maxHeaders,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(a.log.Handler(), slog.LevelError),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if cc, ok := c.(*countedConn); ok {
				ctx = context.WithValue(ctx, connectionKey{}, cc)
			}
			return ctx
		},
	}
}

// answer reads a request of type Q, lets f answer it and writes what it said.
func answer[Q any](a *Agent, f func(context.Context, *caller, Q) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		by := &caller{peer: &peercred.Peer{}}
		if c, ok := r.Context().Value(connectionKey{}).(*countedConn); ok {
			by = c.caller()
		}
		var q Q
		var out any
		var err error
		if r.Method == http.MethodPost {
			err = readJSON(w, r, &q)
		}
		control := http.NewResponseController(w)
		if err == nil {
			// The request is here; what now takes its time is NetSuite, or who has to approve.
			_ = control.SetReadDeadline(time.Time{})
			ctx := context.WithValue(r.Context(), noticeKey{}, func() { w.WriteHeader(http.StatusContinue) })
			out, err = f(ctx, by, q)
		}
		_ = control.SetWriteDeadline(time.Now().Add(handshakeTime))
		if err != nil {
			writeError(w, a.refuse(err))
			return
		}
		writeJSON(w, http.StatusOK, out)
	}
}

// noticeKey is for what tells a caller that the answer may take a while: over HTTP an
// interim response (RFC 9110 section 15.2.1), which clients skip.
type noticeKey struct{}

// giveNotice tells the caller that it waits for somebody.
func giveNotice(ctx context.Context) {
	if tell, ok := ctx.Value(noticeKey{}).(func()); ok {
		tell()
	}
}

func readJSON(w http.ResponseWriter, r *http.Request, q any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAgentMessage))
	if err != nil {
		why := "it did not arrive whole"
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			why = fmt.Sprintf("a request has at most %d bytes", maxAgentMessage)
		}
		return refuse(errors.Join(ErrRequest, err), pb.CodeRequest, "the request cannot be read", why, "")
	}
	return decodeJSON(body, q)
}

// decodeJSON reads one JSON object with the keys of q and nothing after it. A null
// counts as a key that is not there.
func decodeJSON(body []byte, q any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return refuse(ErrRequest, pb.CodeRequest, "the request is not the JSON that is expected", "it is no object", "")
	}
	if err := json.Unmarshal(body, q, json.RejectUnknownMembers(true)); err != nil {
		return refuse(errors.Join(ErrRequest, err), pb.CodeRequest, "the request is not the JSON that is expected", jsonFault(err), "")
	}
	return nil
}

// jsonFault says where the JSON is wrong, and never repeats a value.
func jsonFault(err error) string {
	if e := new(json.SemanticError); errors.As(err, &e) && e.JSONPointer != "" {
		return fmt.Sprintf("unknown key or wrong type at %.80q", string(e.JSONPointer))
	}
	return "a key is repeated, or it is not well-formed"
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n'))
}

func writeError(w http.ResponseWriter, r *Refusal) {
	writeJSON(w, pb.Lookup(r.Code).HTTP, pb.ErrorJSON{Error: pb.ErrorBodyJSON{Code: r.Code, Message: r.Message, Why: r.Why, Next: r.Next}})
}
