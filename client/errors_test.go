package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// sentinels are all errors of this package that errors.Is may be asked for.
func sentinels() map[pb.Code]error {
	return map[pb.Code]error{
		pb.CodeLocked: ErrLocked, pb.CodePassphrase: ErrPassphrase, pb.CodeKey: ErrKey, pb.CodeBackoff: ErrBackoff, pb.CodeKeyring: ErrKeyring,
		pb.CodeNoProfile: ErrNoProfile, pb.CodeNoVault: ErrNoVault, pb.CodeExists: ErrExists, pb.CodeCredential: ErrCredential,
		pb.CodeDenied: ErrDenied, pb.CodeReadOnly: ErrReadOnly, pb.CodePolicy: ErrPolicy, pb.CodeAsk: ErrAsk, pb.CodeHost: ErrHost, pb.CodeURL: ErrURL, pb.CodeRequest: ErrRequest,
		pb.CodeExpired: ErrExpired, pb.CodeAudit: ErrAudit, pb.CodeLimited: ErrLimited, pb.CodePeer: ErrPeer, pb.CodeAgent: ErrAgent,
		pb.CodeVersion: ErrVersion, pb.CodeInternal: ErrInternal,
	}
}

// TestEveryCode sends each code both ways that it can come and compares with every
// sentinel: it matches its own and no other.
func TestEveryCode(t *testing.T) {
	for _, m := range pb.Meanings() {
		st, err := status.New(m.GRPC, "what failed").WithDetails(&errdetails.ErrorInfo{
			Reason: string(m.Code), Domain: pb.ErrorDomain, Metadata: map[string]string{"why": "since", "next": "type:  this"},
		})
		if err != nil {
			t.Fatal(err)
		}
		inStream := fromMessage(&pb.Error{Code: string(m.Code), Message: "what failed", Why: "since", Next: "type:  this"})
		for _, e := range []*Error{fromStatus(st), inStream} {
			if want := "what failed: since [" + string(m.Code) + "]"; e.Error() != want || e.Next != "type:  this" {
				t.Errorf("got %q, next %q, want %q", e, e.Next, want)
			}
			if !errors.Is(e, &Error{Code: m.Code}) {
				t.Errorf("%v does not match its code", e)
			}
			for code, s := range sentinels() {
				if got, want := errors.Is(e, s), code == m.Code; got != want {
					t.Errorf("%v is %v: got %v, want %v", e, s, got, want)
				}
			}
		}
	}
	for code, s := range sentinels() {
		if pb.Lookup(code).Code != code {
			t.Errorf("%v is for the code %s, which is not in the table", s, code)
		}
		if !strings.HasPrefix(s.Error(), "client: ") {
			t.Errorf("%v does not say whose it is", s)
		}
	}
}

// TestStatusWithoutWords turns what grpc itself says into errors.
func TestStatusWithoutWords(t *testing.T) {
	for code, want := range map[codes.Code]error{
		codes.Unavailable: ErrAgent, codes.Canceled: ErrAgent, codes.Unimplemented: ErrVersion, codes.ResourceExhausted: ErrLimited,
		codes.Internal: ErrInternal, codes.Unknown: ErrInternal, codes.PermissionDenied: ErrInternal, codes.Code(99): ErrInternal,
	} {
		if e := fromStatus(status.New(code, "text\nof grpc")); !errors.Is(e, want) || strings.Contains(e.Error(), "\n") {
			t.Errorf("%v: got %v, want %v", code, e, want)
		}
	}
}

// TestUnwrap keeps what the caller may want to look at: the cause.
func TestUnwrap(t *testing.T) {
	cause := errors.New("cause")
	if e := noAgent(cause, "why"); !errors.Is(e, cause) || !errors.Is(e, ErrAgent) {
		t.Errorf("%v lost its cause", e)
	}
	if e := ended("asking", context.Canceled); !errors.Is(e, context.Canceled) || errors.Is(e, ErrAgent) {
		t.Errorf("%v is not the context's", e)
	}
	if errors.Is(ErrLocked, errors.New("x")) || errors.Is(errors.New("x"), ErrLocked) {
		t.Error("a stranger matches ErrLocked")
	}
}

// FuzzStatus decodes the status of a call, which another process has written, and
// what came in a stream. Whatever it says, the error is a sentence in one line
// with a code, and matches at most the sentinel of that code.
func FuzzStatus(f *testing.F) {
	for _, m := range pb.Meanings() {
		st, err := status.New(m.GRPC, m.Text).WithDetails(&errdetails.ErrorInfo{Reason: string(m.Code), Domain: pb.ErrorDomain})
		if err != nil {
			f.Fatal(err)
		}
		raw, err := proto.Marshal(st.Proto())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for _, s := range []*spb.Status{
		{Code: int32(codes.Unavailable), Message: "transport is closing"},
		{Code: -1, Message: "\x1b[2J\r\nnsagent: all is well"},
	} {
		raw, err := proto.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var st spb.Status
		if proto.Unmarshal(raw, &st) == nil {
			check(t, fromStatus(status.FromProto(&st)))
		}
		var m pb.Error
		if proto.Unmarshal(raw, &m) == nil {
			check(t, fromMessage(&m))
		}
	})
}

func check(t *testing.T, e *Error) {
	t.Helper()
	if !isCode(string(e.Code)) || e.Message == "" {
		t.Fatalf("%#v lacks a code or a message", e)
	}
	for _, s := range []string{e.Message, e.Why, e.Next, e.Error()} {
		if len(s) > 3*maxText || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q is not one line of text", s)
		}
	}
	for code, s := range sentinels() {
		if errors.Is(e, s) != (e.Code == code) {
			t.Fatalf("%v and %v", e, s)
		}
	}
}
