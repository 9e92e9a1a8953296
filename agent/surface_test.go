package agent

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/nsagent/nsagent/internal/rawhttp2"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// rawGRPC returns a connection that checks nothing and knows no service.
func rawGRPC(t testing.TB, path string) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// methods returns the full names of a service's methods.
func methods(d grpc.ServiceDesc) []string {
	var all []string
	for _, m := range d.Methods {
		all = append(all, "/"+d.ServiceName+"/"+m.MethodName)
	}
	for _, m := range d.Streams {
		all = append(all, "/"+d.ServiceName+"/"+m.StreamName)
	}
	return all
}

// TestEachSocketItsOwnService guards S-09: no method of Admin is there on
// agent.sock, none of Signer on admin.sock, and on neither there is reflection or
// any other service. Health answers on both.
func TestEachSocketItsOwnService(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	others := []string{
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
		"/grpc.channelz.v1.Channelz/GetServers",
		"/grpc.health.v1.Health/Watch",
		"/nsagent.v1.Signer/Nothing", "/nsagent.v2.Signer/Sign", "/Signer/Sign",
	}
	for _, s := range []struct {
		name, path string
		own        grpc.ServiceDesc
		foreign    grpc.ServiceDesc
	}{
		{"agent.sock", f.paths.Agent, pb.Signer_ServiceDesc, pb.Admin_ServiceDesc},
		{"admin.sock", f.paths.Admin, pb.Admin_ServiceDesc, pb.Signer_ServiceDesc},
	} {
		c := rawGRPC(t, s.path)
		for _, method := range append(methods(s.foreign), others...) {
			err := c.Invoke(t.Context(), method, &pb.LockRequest{}, &pb.LockResponse{})
			if got := status.Code(err); got != codes.Unimplemented {
				t.Errorf("%s: %s: got %v, want Unimplemented", s.name, method, err)
			}
		}
		h := healthpb.NewHealthClient(c)
		for _, service := range []string{"", s.own.ServiceName} {
			r, err := h.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
			if err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("%s: health of %q: got %v, %v", s.name, service, r, err)
			}
		}
		if _, err := h.Check(t.Context(), &healthpb.HealthCheckRequest{Service: s.foreign.ServiceName}); status.Code(err) != codes.NotFound {
			t.Errorf("%s: health of the other service: got %v, want NotFound", s.name, err)
		}
	}
	if f.locked() {
		t.Fatal("something locked the agent")
	}
	f.sign("acme")

	// admin.sock speaks nothing but gRPC.
	for _, hello := range []string{"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"} {
		conn := rawDial(t, f.paths.Admin)
		if _, err := conn.Write([]byte(hello)); err != nil {
			t.Fatal(err)
		}
		if n, err := rawhttp2.AwaitClose(conn, promptly); n != 0 || err != nil {
			t.Errorf("admin.sock answers %.20q with %d bytes, %v", hello, n, err)
		}
	}
}

// TestMethodNames guards S-11: only the exact names of methods are answered. grpc-go
// before 1.79.3 took a path without its slash for the method.
func TestMethodNames(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	before := len(f.entries())
	body, err := proto.Marshal(&pb.SignRequest{Url: sandboxURL})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"nsagent.v1.Signer/Sign", "//nsagent.v1.Signer/Sign", "/nsagent.v1.Signer//Sign", "/nsagent.v1.Signer/Sign/",
		"/nsagent.v1.Signer/sign", "/nsagent.v1.signer/Sign", "/NSAGENT.v1.Signer/Sign", "/nsagent.v1.Signer/Sign ",
		"/nsagent.v1.Signer/Sign?x", "/x/../nsagent.v1.Signer/Sign", "/nsagent.v1.Signer%2FSign", "/Sign", "Sign", "/", "",
		"http://nsagent/nsagent.v1.Signer/Sign", "*",
	} {
		w := http2Dial(t, f.paths.Agent)
		w.send(t, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, rawhttp2.CallHeaders(path)), rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 1, rawhttp2.Message(body, false, len(body))))
		g, err := w.AwaitEnd(1, inTime)
		if err != nil {
			t.Errorf("%q: %v", path, err)
		}
		if g.Kind == rawhttp2.FrameData || bytes.Contains(g.Payload, []byte("OAuth")) {
			t.Errorf("%q: answered with data", path)
		}
		_ = w.Close()
	}
	if got := len(f.entries()); got != before {
		t.Errorf("%d of these calls reached the agent", got-before)
	}
	// The control: the same call by its right name does.
	w := http2Dial(t, f.paths.Agent)
	w.send(t, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 1, rawhttp2.CallHeaders(pb.Signer_Sign_FullMethodName)), rawhttp2.Frame(rawhttp2.FrameData, rawhttp2.FlagEndStream, 1, rawhttp2.Message(body, false, len(body))))
	if _, err := w.AwaitEnd(1, inTime); err != nil || len(f.entries()) != before+1 {
		t.Errorf("control: %v, %d entries more", err, len(f.entries())-before)
	}
}

// TestContract guards G-01, G-02 and A-10: the contract has these methods and no
// other, bytes go in and out in these fields and no other, what could be a secret is
// sealed, and no request names a file or says where the log goes. Who adds to the contract adds here, and thinks about it.
func TestContract(t *testing.T) {
	wantMethods := []string{
		"Admin.AddKeySlot", "Admin.AddProfile", "Admin.AddTOTP", "Admin.AdoptPolicy", "Admin.ApproveRequest", "Admin.BeginLogin", "Admin.ChangePassphrase", "Admin.CheckVault", "Admin.DenyRequest", "Admin.DropCertificate", "Admin.EditProfile", "Admin.FinishLogin", "Admin.ListCertificates", "Admin.ListGrants", "Admin.ListIntegrations", "Admin.ListKeySlots", "Admin.ListRequests", "Admin.Lock", "Admin.MarkRefreshed", "Admin.MigrateProfile",
		"Admin.NewCertificate", "Admin.NewGrant", "Admin.Recover",
		"Admin.RemoveKeySlot", "Admin.RemoveProfile", "Admin.RenameProfile", "Admin.RevokeCertificate", "Admin.RevokeGrant", "Admin.RotateCertificate", "Admin.RotateIntegration", "Admin.RotateProfile", "Admin.SealKey", "Admin.ShowGrant", "Admin.ShowPolicy", "Admin.ShowProfile", "Admin.Stop", "Admin.TestProfile",
		"Admin.Unlock", "Admin.Upload", "Admin.UploadCertificate",
		"Signer.AccessToken", "Signer.Assertion", "Signer.ConnectPassword", "Signer.ListProfiles", "Signer.OpenSocket", "Signer.Passport", "Signer.Redeem", "Signer.SealKey", "Signer.Sign", "Signer.SignStream", "Signer.Status",
	}
	wantBytesIn := []string{"AdoptPolicyRequest.packed", "FinishLoginRequest.id", "NewGrantRequest.next", "RedeemRequest.chain", "RedeemRequest.proof", "Sealed.box", "Sealed.key_id", "SignRequest.body", "UploadRequest.piece", "UploadStart.key_id"}
	wantBytesOut := []string{"BeginLoginResponse.id", "NewGrantResponse.bundle", "NewGrantResponse.chain", "NewGrantResponse.credentials", "NewGrantResponse.issuer", "SealKey.id", "SealKey.public_key", "SealKeyResponse.instance", "SealKeyResponse.vault_id", "ShowPolicyResponse.packed", "UploadResponse.id"}

	var got []string
	in, out := make(map[protoreflect.FullName]protoreflect.FieldDescriptor), make(map[protoreflect.FullName]protoreflect.FieldDescriptor)
	services := pb.File_nsagent_v1_nsagent_proto.Services()
	for i := range services.Len() {
		s := services.Get(i)
		for j := range s.Methods().Len() {
			m := s.Methods().Get(j)
			got = append(got, fmt.Sprintf("%s.%s", s.Name(), m.Name()))
			collectFields(in, m.Input())
			collectFields(out, m.Output())
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, wantMethods) {
		t.Errorf("methods: got %v, want %v", got, wantMethods)
	}
	if got := bytesFields(in); !slices.Equal(got, wantBytesIn) {
		t.Errorf("bytes in requests: got %v, want %v", got, wantBytesIn)
	}
	if got := bytesFields(out); !slices.Equal(got, wantBytesOut) {
		t.Errorf("bytes in answers: got %v, want %v", got, wantBytesOut)
	}
	for _, f := range in {
		for _, word := range []string{"audit", "log", "sink", "path", "dir", "filename"} {
			if strings.Contains(string(f.Name()), word) && f.Name() != "redirect_uri" && f.FullName() != "nsagent.v1.GrantLimits.paths" {
				t.Errorf("a request may say %s", f.FullName())
			}
		}
	}
	for _, side := range []map[protoreflect.FullName]protoreflect.FieldDescriptor{in, out} {
		for _, f := range side {
			name := string(f.Name())
			secretish := strings.Contains(name, "secret") || strings.Contains(name, "passphrase") || strings.Contains(name, "private") || strings.Contains(name, "digest") || strings.Contains(name, "to_sign")
			if secretish && (f.Kind() != protoreflect.MessageKind || f.Message().Name() != "Sealed") {
				t.Errorf("%s is not sealed", f.FullName())
			}
		}
	}
}

// collectFields adds the fields of a message, and of those inside it.
func collectFields(to map[protoreflect.FullName]protoreflect.FieldDescriptor, m protoreflect.MessageDescriptor) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if _, seen := to[f.FullName()]; seen {
			continue
		}
		to[f.FullName()] = f
		if f.Kind() == protoreflect.MessageKind {
			collectFields(to, f.Message())
		}
	}
}

func bytesFields(fields map[protoreflect.FullName]protoreflect.FieldDescriptor) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name].Kind() == protoreflect.BytesKind {
			all = append(all, strings.TrimPrefix(string(name), "nsagent.v1."))
		}
	}
	return all
}
