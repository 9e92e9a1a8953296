package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Limits of a job and its answer, in bytes.
const (
	maxJob  = 128 << 10
	maxBody = 64 << 10
	// MaxAnswer is the longest body that is read of an answer.
	MaxAnswer = 1 << 20
	// maxReply is the longest answer between two processes: the members of a body, sealed
	// ones in base64.
	maxReply = 2 << 20
)

// MaxTime is the longest that a job may take.
const MaxTime = 60 * time.Second

// Job is a form to be posted, and what is wanted of the answer, which is read as one
// JSON object.
type Job struct {
	// URL is absolute, https, or http on a loopback address.
	URL string `json:"url"`
	// CA is one more certificate to trust for this job, as PEM; empty: none.
	CA string `json:"ca,omitempty"`
	// Milliseconds is how long all of it may take, at most MaxTime.
	Milliseconds int64 `json:"milliseconds"`
	// Keep names members of the answer that are handed on as text (texts, numbers and
	// truth values), and Seal those that are handed on sealed. The rest stays behind.
	Keep []string  `json:"keep,omitempty"`
	Seal []Sealing `json:"seal,omitempty"`
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
	// Readable is false where the body is no JSON object, as the page of a proxy is. Kept
	// and Sealed are empty then.
	Readable bool              `json:"readable,omitempty"`
	Kept     map[string]string `json:"kept,omitempty"`
	Sealed   map[string][]byte `json:"sealed,omitempty"`
}

// errJob is a job or an answer that is malformed. It is a fault of the program, or of a
// process that was taken over.
var errJob = errors.New("gateway: malformed message")

func (j *Job) check() error {
	if j.Milliseconds <= 0 || j.Milliseconds > MaxTime.Milliseconds() {
		return fmt.Errorf("%w: time", errJob)
	}
	return nil
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
