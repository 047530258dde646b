package hurtle

import (
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
)

// tokens are the sessions that orchestrators are given: each is of a delegation, ends with it, and is renewed long before it would end by
// itself.
type tokens struct {
	users *identity.Directory

	mu   sync.Mutex
	live map[string]session
}

type session struct {
	text  string
	renew time.Time
}

// of returns a token of a delegation. It is an error of class identity.ErrDenied when that has ended.
func (t *tokens) of(delegation string) (string, error) {
	who, err := t.users.Delegated(delegation)
	if err != nil {
		return "", err
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.live[delegation]; ok && now.Before(s.renew) {
		return s.text, nil
	}
	text, s, err := t.users.OpenSession(who, who.Group)
	if err != nil {
		return "", err
	}
	if t.live == nil || len(t.live) > maxSessions {
		t.live = make(map[string]session)
	}
	t.live[delegation] = session{text, now.Add(s.Expires.Sub(now) / 3)}
	return text, nil
}

const maxSessions = 10_000
