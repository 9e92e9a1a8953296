package supervise

import (
	"fmt"
	"slices"
	"time"
)

// roomTime is how long a request waits where as many processes of its kind live as may.
// One that has answered takes a moment to end, so that a few calls one after the other can
// be as many at once. Who asks for a keyring helper has a second left then, to hear of it.
const roomTime = 4 * time.Second

// helpers are the processes of one kind that the agent may ask for.
type helpers struct {
	name string
	args []string
	life time.Duration // zero: as long as its connection
	most int           // at once
	live int
	// waiting are the requests for one of them that there was no room for.
	waiting []message
}

func helpersOf(cfg Config) map[byte]*helpers {
	return map[byte]*helpers{
		kindKeyring:   {name: "keyring helper", args: cfg.KeyringArgs, life: helperTime, most: maxHelpers},
		kindGateway:   {name: "gateway", args: cfg.GatewayArgs, most: maxGateways},
		kindExchanger: {name: "exchanger", args: cfg.ExchangerArgs, life: exchangerTime, most: maxExchangers},
		kindPrompter:  {name: "prompter", args: cfg.PrompterArgs, most: maxPrompters},
	}
}

// askHelper starts a process for a request, or has it wait until there is room for one.
func (s *supervisor) askHelper(m message) error {
	h := s.helpers[m.kind]
	switch {
	case h.args == nil:
		return fmt.Errorf("there is no %s", h.name)
	case h.live < h.most:
		return s.startHelper(m)
	case len(h.waiting) == h.most:
		return h.full()
	}
	h.waiting = append(h.waiting, m)
	time.AfterFunc(roomTime, func() {
		select {
		case s.late <- m:
		case <-s.over:
		}
	})
	return nil
}

func (h *helpers) full() error { return fmt.Errorf("%d %ss at once already", h.most, h.name) }

// helpNext starts processes of that kind for the requests that wait longest, as long as
// there is room.
func (s *supervisor) helpNext(kind byte) {
	for h := s.helpers[kind]; len(h.waiting) > 0 && h.live < h.most; {
		m := h.waiting[0]
		h.waiting = h.waiting[1:]
		s.limitWrite()
		s.refuse(m, s.startHelper(m))
	}
}

// helpNoMore refuses a request that has waited its time, if it still waits.
func (s *supervisor) helpNoMore(m message) {
	h := s.helpers[m.kind]
	i := slices.IndexFunc(h.waiting, func(w message) bool { return w.seq == m.seq })
	if i < 0 {
		return
	}
	h.waiting = slices.Delete(h.waiting, i, i+1)
	s.limitWrite()
	s.refuse(m, h.full())
}

// startHelper starts a process and hands the agent the connection to it.
func (s *supervisor) startHelper(m message) error {
	h := s.helpers[m.kind]
	end, err := startHelper(s.prog, *h, s.cfg.Env, func() { s.reaped <- m.kind })
	if err != nil {
		return err
	}
	h.live++
	defer func() { _ = end.Close() }()
	file, err := end.File()
	if err != nil {
		return fmt.Errorf("handing over the %s: %w", h.name, err)
	}
	defer func() { _ = file.Close() }()
	m.body = nil
	return s.hand(m, file)
}
