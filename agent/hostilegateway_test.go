package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// takenOver is a gateway process that an enemy controls: it sees every byte that the agent
// sends, and answers what it likes.
type takenOver struct {
	answer func(conn net.Conn, id uint32, j gateway.Job)

	mu   sync.Mutex // guards seen
	seen bytes.Buffer
}

// start is a Config.Gateway.
func (g *takenOver) start(context.Context) (*net.UnixConn, error) {
	ends, err := socketpair()
	if err != nil {
		return nil, err
	}
	go func() {
		defer func() { _ = ends[1].Close() }()
		for {
			head := make([]byte, 16)
			if _, err := io.ReadFull(ends[1], head); err != nil {
				return
			}
			n := func(i int) int { return int(binary.BigEndian.Uint32(head[4*i:])) }
			rest := make([]byte, n(1)+n(2)+n(3))
			if _, err := io.ReadFull(ends[1], rest); err != nil {
				return
			}
			g.mu.Lock()
			g.seen.Write(rest)
			g.mu.Unlock()
			var j gateway.Job
			if err := json.Unmarshal(rest[:n(1)], &j); err != nil {
				return
			}
			g.answer(ends[1], binary.BigEndian.Uint32(head), j)
		}
	}()
	return ends[0], nil
}

// say writes an answer as the agent reads it.
func say(conn net.Conn, id uint32, a any) {
	text, _ := json.Marshal(a)
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, id), uint32(len(text)))
	_, _ = conn.Write(append(head, text...))
}

// forge seals a token of the enemy's own, as NetSuite's would be.
func forge(j gateway.Job, token string) map[string]any {
	s := j.Seal[0]
	box, _ := secret.SealSlice(s.Key, secret.SealContext{Instance: s.Instance, Method: gateway.SealMethod, Profile: s.Profile, Field: s.Member}, []byte(token))
	return map[string]any{"status": 200, "readable": true, "kept": map[string]string{"expires_in": "3600"}, "sealed": map[string][]byte{s.Member: box}}
}

func startTakenOver(t *testing.T, answer func(conn net.Conn, id uint32, j gateway.Job)) (*tokenWorld, *takenOver, string) {
	t.Helper()
	g := &takenOver{answer: answer}
	w := &tokenWorld{fixture: start(t, func(c *Config) { c.Gateway = g.start })}
	w.unlock()
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour*24*300))
	w.addM2M("m2m", key, cert, "", "")
	return w, g, key
}

// TestHostileGatewaySees shows what passes through a gateway that was taken over: where to
// and as whom, an assertion that is good for one exchange within minutes, and keys to seal
// to. Neither the private key nor anything of another profile is there, in any form.
func TestHostileGatewaySees(t *testing.T) {
	w, g, key := startTakenOver(t, func(conn net.Conn, id uint32, j gateway.Job) { say(conn, id, forge(j, "made up")) })
	w.addTBA("other")
	if r, err := w.token(); err != nil || r.GetAccessToken() != "made up" {
		t.Fatalf("what a gateway makes up is believed, since it may be NetSuite's: got %v, %v", r, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := g.seen.Bytes()
	for _, want := range []string{"1234567-sb1.suitetalk.api.netsuite.com", "client_assertion=", "m2m"} {
		if !bytes.Contains(seen, []byte(want)) {
			t.Fatalf("the gateway was not asked as expected: %q", seen)
		}
	}
	block, _ := pem.Decode([]byte(key))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := parsed.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"the private key": block.Bytes, "its scalar": scalar, "the passphrase": []byte(testPassphrase),
		"another profile": []byte("other"), "its consumer secret": []byte(sample(2)), "its token secret": []byte(sample(4)),
	} {
		forms := [][]byte{secret, []byte(base64.StdEncoding.EncodeToString(secret)), fmt.Appendf(nil, "%x", secret)}
		for _, form := range forms {
			if bytes.Contains(seen, form) {
				t.Errorf("the gateway saw %s", name)
			}
		}
	}
}

// TestHostileGatewayAnswers gives the agent every kind of answer that is not the one: none
// becomes a token, none harms the agent, and it goes on signing.
func TestHostileGatewayAnswers(t *testing.T) {
	var mu sync.Mutex // guards how and old
	var how string
	var old map[string]any
	w, _, _ := startTakenOver(t, func(conn net.Conn, id uint32, j gateway.Job) {
		mu.Lock()
		defer mu.Unlock()
		a := forge(j, how)
		switch how {
		case "first":
			old = a
		case "an earlier answer again":
			a = old
		case "sealed for another profile":
			j.Seal[0].Profile = "other"
			a = forge(j, how)
		case "sealed for another field":
			j.Seal[0].Member = "refresh_token"
			box := forge(j, how)["sealed"].(map[string][]byte)["refresh_token"]
			a["sealed"] = map[string][]byte{"access_token": box}
		case "sealed for another agent":
			j.Seal[0].Instance = []byte("another")
			a = forge(j, how)
		case "in clear":
			a["sealed"] = map[string][]byte{"access_token": []byte(how)}
		case "for ever":
			a["kept"] = map[string]string{"expires_in": "99999999999999999999"}
		case "too long":
			a = forge(j, strings.Repeat("a", maxAccessToken+1))
		case "to somebody else":
			id += 1000
			say(conn, id, a)
			_ = conn.Close()
			return
		case "a huge answer":
			_, _ = conn.Write([]byte{0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
			_ = conn.Close()
			return
		case "nonsense":
			_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			_ = conn.Close()
			return
		case "unknown members":
			a["run"] = "rm -rf"
		case "a thousand answers":
			for range 1000 {
				say(conn, id+7, a)
			}
			_ = conn.Close()
			return
		}
		say(conn, id, a)
	})
	w.addTBA("tba")
	ask := func(kind string) error {
		mu.Lock()
		how = kind
		mu.Unlock()
		// A profile that changed has no token and no pause.
		w.edit("m2m", client.ProfileEdit{Profile: &pb.Profile{Note: kind}, Fields: []string{"note"}})
		_, err := w.token()
		return err
	}
	if err := ask("first"); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{
		"an earlier answer again", "sealed for another profile", "sealed for another field", "sealed for another agent", "in clear", "for ever",
		"too long", "to somebody else", "a huge answer", "nonsense", "unknown members", "a thousand answers",
	} {
		if err := ask(kind); err == nil {
			t.Errorf("%s: became a token", kind)
		} else if errors.Is(err, client.ErrAgent) {
			t.Fatalf("%s: %v", kind, err)
		}
		w.sign("tba")
	}
	if err := ask("first"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
