package command

import (
	"context"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/agent/supervise"
	"github.com/nsagent/nsagent/internal/harden"
)

// resolving are the files of name resolution, by directory: the files themselves are
// replaced whenever the network changes.
func resolving() []string {
	return []string{"/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"}
}

// newGateway is the process that talks to NetSuite for the agent, which started it
// through the supervisor.
func newGateway(*env) *cobra.Command {
	return forAgent("gateway", func(ctx context.Context, conn net.Conn) error {
		return gateway.Serve(ctx, conn, func() error { return confineNetwork(nil) })
	})
}

// newExchanger is the process that makes one request to NetSuite for the agent.
func newExchanger(*env) *cobra.Command {
	return forAgent("exchanger", func(ctx context.Context, conn net.Conn) error {
		return gateway.ServeOnce(ctx, conn, func(port uint16) error { return confineNetwork([]uint16{port, dnsPort}) })
	})
}

// forAgent is a command that the agent has started, which talks to it by conn.
func forAgent(name string, serve func(ctx context.Context, conn net.Conn) error) *cobra.Command {
	return &cobra.Command{
		Use:    name,
		Hidden: true,
		Args:   takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			conn, err := supervise.ParentConn()
			if err != nil {
				return usage("this command is for the agent", "the agent starts it, with descriptors that nobody else has", "start the agent:  nsagent agent run")
			}
			return serve(c.Context(), conn)
		},
	}
}

// dnsPort is where names are asked for over TCP, where an answer is too long for UDP.
const dnsPort = 53

// confineNetwork puts up the sandbox of a process that talks to NetSuite; nil ports means
// all.
func confineNetwork(ports []uint16) error {
	if _, err := harden.Network(harden.NetworkSandbox{ReadOnly: resolving(), Ports: ports}); err != nil {
		return fmt.Errorf("putting up the sandbox: %w", err)
	}
	return nil
}
