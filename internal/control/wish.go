package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// Cardinality reads a wish such as "5", "+2", "-1", "+50%" or "-10%" for a role of a service that the
// caller may use. A percentage changes by one instance at least and rounds down otherwise; nothing goes
// below zero.
func (c *Control) Cardinality(who *identity.Caller, id uint64, role, wish string) (int, error) {
	bad := fmt.Errorf("%w: cardinality %q: give a number such as 5, or a change such as +2, -1 or +50%%", identity.ErrInvalid, wish)
	text, percent := strings.CutSuffix(wish, "%")
	n, err := strconv.Atoi(text)
	relative := strings.HasPrefix(text, "+") || strings.HasPrefix(text, "-")
	if err != nil || (percent && !relative) || n > service.MaxCardinality || n < -service.MaxCardinality {
		return 0, bad
	}
	if !relative {
		return n, nil
	}
	present := -1
	var names []string
	if err := c.Read(who, id, func(s *service.Service) {
		for _, r := range s.Roles {
			names = append(names, r.Name)
			if r.Name == role {
				present = r.Cardinality
			}
		}
	}); err != nil {
		return 0, err
	}
	if present < 0 {
		return 0, fmt.Errorf("%w: no role %q%s", identity.ErrNotFound, role, nearest.Hint(role, names))
	}
	if percent {
		change := math.Trunc(float64(present) * float64(n) / 100)
		if change == 0 && n != 0 {
			change = math.Copysign(1, float64(n))
		}
		n = int(change)
	}
	return max(0, present+n), nil
}

// Before returns the update that a rollback to the revision is; 0 for the last one that was in place before
// the present.
func (c *Control) Before(ctx context.Context, who *identity.Caller, id uint64, revision uint32) (*service.Update, error) {
	if revision == 0 {
		var none error
		err := c.Read(who, id, func(s *service.Service) { revision, none = s.RollbackTarget() })
		if err = errors.Join(err, none); err != nil {
			return nil, fmt.Errorf("roll back service %d: %w", id, err)
		}
	}
	spec, err := c.Spec(ctx, who, id, revision)
	return &service.Update{Spec: spec, Back: revision}, err
}
