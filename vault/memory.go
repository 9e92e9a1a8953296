package vault

import (
	"sync"

	"github.com/nsagent/nsagent/vault/envelope"
)

// Memory remembers, for as long as the process runs, the newest state under which it
// had each vault unlocked. Vaults that are opened one after the other with the same
// Memory refuse what is older. The zero value is ready. It is safe for concurrent use.
type Memory struct {
	mu   sync.Mutex // guards what follows
	seen map[envelope.ID]pin
}

// newest returns what is remembered of a vault, zero if nothing is.
func (m *Memory) newest(vault envelope.ID) pin {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[vault]
}

// remember takes note of a state that was verified, unless a newer one is known.
func (m *Memory) remember(vault envelope.ID, root *envelope.Root) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if root.Generation() < m.seen[vault].generation {
		return
	}
	if m.seen == nil {
		m.seen = map[envelope.ID]pin{}
	}
	m.seen[vault] = pin{generation: root.Generation(), hash: root.Hash()}
}
