package driver

import (
	"slices"
	"sync"
)

// rememberedTokens is how many actions on one machine are known again.
const rememberedTokens = 16

// Tokens remembers the last actions on each machine, in memory, for drivers whose back end has no place for them. The
// zero value is ready.
type Tokens struct {
	mu   sync.Mutex
	last map[MachineID][]string
}

// Seen reports whether the action with the token was carried out.
func (t *Tokens) Seen(id MachineID, token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.last[id], token)
}

// Keep notes that an action was carried out; one without a token is not noted.
func (t *Tokens) Keep(id MachineID, token string) {
	if token == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = make(map[MachineID][]string)
	}
	list := append(t.last[id], token)
	t.last[id] = list[max(0, len(list)-rememberedTokens):]
}

// Forget drops what is noted of a machine.
func (t *Tokens) Forget(id MachineID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.last, id)
}
