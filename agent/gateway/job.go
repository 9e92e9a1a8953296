package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
)

// Limits of a job and its answer, in bytes.
const (
	maxJob  = 128 << 10
	maxBody = 64 << 10
	// maxAuthorization is the longest header of that name. NetSuite's access tokens have
	// about 1,000 bytes.
	maxAuthorization = 24 << 10
	// MaxAnswer is the longest body that is read of an answer.
	MaxAnswer = 1 << 20
	// maxReply is the longest answer between two processes: the members of a body, sealed
	// ones in base64.
	maxReply = 2 << 20
)

// MaxTime is the longest that a job may take.
const MaxTime = 60 * time.Second

// Job is a request, and what is wanted of its answer.
type Job struct {
	// Method is GET or POST.
	Method string `json:"method"`
	// URL is absolute, https, or http on a loopback address.
	URL string `json:"url"`
	// CA is one more certificate to trust for this job, as PEM; empty: none.
	CA string `json:"ca,omitempty"`
	// Milliseconds is how long all of it may take, at most MaxTime.
	Milliseconds int64 `json:"milliseconds"`
	// ContentType is that of the body; empty where there is none.
	ContentType string `json:"content_type,omitempty"`
	// Header are headers besides; what authorizes is part of the Payload.
	Header map[string]string `json:"header,omitempty"`
	// Read says what the body of the answer is.
	Read Read `json:"read"`
	// Keep names members of the answer that are handed on as text (texts, numbers and
	// truth values), and Seal those that are handed on sealed. The rest stays behind. A
	// member of a member is named by both, with a dot between them, and one of a list by
	// its number from 0: "role.id", "errors.0.code".
	Keep []string  `json:"keep,omitempty"`
	Seal []Sealing `json:"seal,omitempty"`
}

// Form is the media type of a form.
const Form = "application/x-www-form-urlencoded"

// Read is how the body of an answer is read.
type Read string

// What bodies are.
const (
	ReadObject Read = "object" // one JSON object
	ReadList   Read = "list"   // a JSON array of objects, at most MaxList; nothing is sealed
	ReadForm   Read = "form"   // application/x-www-form-urlencoded, each name once
	ReadText   Read = "text"   // UTF-8, of which the first MaxText bytes count
)

// MaxList is the most objects that are read of a list, and MaxText the most bytes of a
// text.
const (
	MaxList = 1000
	MaxText = 16 << 10
)

// Part is bytes that are lent, as a secret.Bytes lends its own.
type Part interface {
	Len() int
	Use(f func(p []byte) error) error
}

// Plain is a Part that is not secret.
type Plain []byte

// Len returns the length in bytes.
func (p Plain) Len() int { return len(p) }

// Use calls f with the bytes.
func (p Plain) Use(f func(p []byte) error) error { return f(p) }

// Payload is what of a request may be secret. It is written to the other process from
// where it lies, and is part of no message that is encoded.
type Payload struct {
	// Authorization is the value of that header; nil: none.
	Authorization Part
	// Body is that of the request; nil: none.
	Body Part
}

func (p Payload) lengths() (authorization, body int) {
	if p.Authorization != nil {
		authorization = p.Authorization.Len()
	}
	if p.Body != nil {
		body = p.Body.Len()
	}
	return authorization, body
}

// Sealing says to whom a member of an answer is sealed.
type Sealing struct {
	Member string `json:"member"`
	// Key is the public key of a secret.Receiver.
	Key []byte `json:"key"`
	// Instance and Profile are those of the context that it is opened under.
	Instance []byte `json:"instance"`
	Profile  string `json:"profile"`
}

// SealMethod is the method of the context under which members are sealed; the field is
// the member's name.
const SealMethod = "nsagent.gateway.v1"

// Failure is why there is no answer. The texts of the network library name hosts and
// repeat what came in, so that only this much is handed on.
type Failure string

// The failures.
const (
	FailedJob       Failure = "job"     // the job itself cannot be done
	FailedName      Failure = "name"    // the host name has no address
	FailedConnect   Failure = "connect" // nobody accepts there
	FailedUnknownCA Failure = "unknown-ca"
	FailedExpired   Failure = "expired" // the server's certificate is not valid now
	FailedHost      Failure = "host"    // the server's certificate is for another name
	FailedTLS       Failure = "tls"     // TLS 1.2 or later could not be agreed upon
	FailedTime      Failure = "time"    // not done in time
	FailedCut       Failure = "cut"     // the connection ended in the middle
	FailedAnswer    Failure = "answer"  // not what was to be read, or not HTTP
	FailedSize      Failure = "size"    // longer than MaxAnswer
	FailedGateway   Failure = "gateway" // the process that should have done it is gone
	FailedNothing   Failure = ""        // there is an answer
)

// Answer is what came back.
type Answer struct {
	// Failure is why nothing did; the rest is empty then.
	Failure Failure `json:"failure,omitempty"`
	// Status is the HTTP status.
	Status int `json:"status,omitempty"`
	// Verified is true over TLS, false over plain http.
	Verified bool `json:"verified,omitempty"`
	// Date is the header of that name in Unix seconds; zero: none that can be read.
	Date int64 `json:"date,omitempty"`
	// Took is how long the answer took, in milliseconds.
	Took int64 `json:"took,omitempty"`
	// Challenge is the header WWW-Authenticate, cut at 1 KiB.
	Challenge string `json:"challenge,omitempty"`
	// Readable is false where the body is not what was to be read, as the page of a proxy
	// is. What follows is empty then.
	Readable bool                `json:"readable,omitempty"`
	Kept     map[string]string   `json:"kept,omitempty"`
	Sealed   map[string][]byte   `json:"sealed,omitempty"`
	List     []map[string]string `json:"list,omitempty"`
	Text     string              `json:"text,omitempty"`
}

// errJob is a job or an answer that is malformed. It is a fault of the program, or of a
// process that was taken over.
var errJob = errors.New("gateway: malformed message")

// Time returns how long the job may take.
func (j Job) Time() time.Duration { return time.Duration(j.Milliseconds) * time.Millisecond }

func (j *Job) check() error {
	switch {
	case j.Milliseconds <= 0 || j.Milliseconds > MaxTime.Milliseconds():
		return fmt.Errorf("%w: time", errJob)
	case j.Method != http.MethodGet && j.Method != http.MethodPost:
		return fmt.Errorf("%w: method", errJob)
	}
	switch j.Read {
	case ReadObject, ReadForm:
		return nil
	case ReadList, ReadText:
		if len(j.Seal) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: what is to be read", errJob)
}

// decode reads a JSON object with the members of v and nothing else.
func decode(b []byte, v any) error {
	if err := json.Unmarshal(b, v, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("%w: %w", errJob, err)
	}
	return nil
}

// encode writes v as JSON.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := json.MarshalWrite(&b, v, json.Deterministic(true)); err != nil {
		return nil, fmt.Errorf("encoding a message: %w", err)
	}
	return b.Bytes(), nil
}
