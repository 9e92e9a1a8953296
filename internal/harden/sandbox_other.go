//go:build !linux

package harden

// Agent confines nothing here and says so in the report; a caller that insists on
// a sandbox must look at it.
func Agent(AgentSandbox) (Report, error) { return unconfined(), nil }

// Helper confines nothing here and says so in the report.
func Helper() (Report, error) { return unconfined(), nil }

// Network confines nothing here and says so in the report.
func Network(NetworkSandbox) (Report, error) { return unconfined(), nil }

// unconfined is the report of a system without Landlock and seccomp.
func unconfined() Report {
	var r Report
	r.missing("it is not confined: Landlock and seccomp are not available on this system")
	return r
}
