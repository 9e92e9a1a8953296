package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// sshAgent is a real OpenSSH ssh-agent with one ed25519 key.
type sshAgent struct {
	cmd    *exec.Cmd
	socket string
	key    *agent.Key
}

func (w *world) sshAgent() (*sshAgent, error) {
	path, err := exec.LookPath("ssh-agent")
	if err != nil {
		return nil, err
	}
	s := &sshAgent{socket: filepath.Join(w.dir, "ssh.sock")}
	_ = os.Remove(s.socket)
	s.cmd = exec.Command(path, "-D", "-a", s.socket) // #nosec G204 -- the peer to measure
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	for range 1000 {
		var c net.Conn
		if c, err = net.Dial("unix", s.socket); err == nil {
			a := agent.NewClient(c)
			if err = a.Add(agent.AddedKey{PrivateKey: private}); err == nil {
				var keys []*agent.Key
				if keys, err = a.List(); err == nil {
					s.key = keys[0]
				}
			}
			_ = c.Close()
			return s, err
		}
		time.Sleep(time.Millisecond)
	}
	return nil, err
}

func (s *sshAgent) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// load returns signatures a second by 64 clients.
func (s *sshAgent) load() (float64, error) {
	public, err := ssh.ParsePublicKey(s.key.Blob)
	if err != nil {
		return 0, err
	}
	agents := make([]agent.Agent, clients)
	for i := range agents {
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			return 0, err
		}
		defer func() { _ = c.Close() }()
		agents[i] = agent.NewClient(c)
	}
	message := make([]byte, 600)
	return burstOf(clients, func(i int) error {
		_, err := agents[i].Sign(public, message)
		return err
	})
}

func sshAgentRows(ctx context.Context, w *world) ([]row, error) {
	s, err := w.sshAgent()
	if err != nil {
		return nil, err
	}
	defer s.stop()
	var ratio []float64
	var ours, theirs float64
	for range w.rounds {
		if theirs, err = s.load(); err != nil {
			return nil, err
		}
		if ours, err = w.load(ctx, (*conn).doSign); err != nil {
			return nil, err
		}
		ratio = append(ratio, ours/theirs)
	}
	return []row{{"`Sign` throughput / OpenSSH ssh-agent ed25519 signatures, 64 clients", "≥ 15", fmt.Sprintf("%.1f", median(ratio)),
		fmt.Sprintf("%.1f k/s against %.1f k/s; %s", ours/1000, theirs/1000, spread(ratio)), median(ratio) >= 15}}, nil
}
