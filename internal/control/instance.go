package control

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// An Instance is a machine that speaks for itself, by the token that it was made with.
type Instance struct {
	metric.Origin
	Incarnation uint32
	Tenant      int
	Owner       *identity.Caller // of the service: requests act with the owner's rights on that service
}

// InstanceToken returns the token of one incarnation of an instance. It cannot be told from a random text without the
// state's key, is good for OneGate and the instance's own samples alone, and ends with the incarnation.
func (c *Control) InstanceToken(id driver.MachineID) string {
	return base64.RawURLEncoding.EncodeToString(c.instanceMAC(id))
}

func (c *Control) instanceMAC(id driver.MachineID) []byte {
	return c.macs.MAC("instance token", c.store.Installation().ID+" "+string(id))
}

// AuthenticateInstance finds the instance of a token. vm is its number, as OneGate's clients send it, or its machine id; the
// token of another instance, or of an incarnation that is no more, is refused. Errors are identity.ErrBadCredentials.
func (c *Control) AuthenticateInstance(vm, token string) (*Instance, error) {
	bad := fmt.Errorf("instance token: %w", identity.ErrBadCredentials)
	given, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(token))
	id, serial, ok := splitVM(strings.TrimSpace(vm))
	if err != nil || !ok {
		return nil, bad
	}
	var x Instance
	var machine driver.MachineID
	var owner int
	c.engine.View(id, func(s *service.Service) {
		i := s.Instance(serial)
		if i == nil || i.Phase == service.Stopping || i.Phase == service.Replacing {
			return
		}
		machine, owner = s.MachineID(i), s.Meta.Owner
		x = Instance{Origin: metric.Origin{Service: id, Role: i.Role().Name, Serial: serial}, Incarnation: i.Incarnation, Tenant: s.Meta.Group}
	})
	if machine == "" || !hmac.Equal(given, c.instanceMAC(machine)) {
		return nil, bad
	}
	if x.Owner, err = c.directory.As(owner); err != nil {
		return nil, bad
	}
	return &x, nil
}

// splitVM reads an instance's number, or "service-serial-incarnation".
func splitVM(vm string) (id uint64, serial uint32, ok bool) {
	if n, err := strconv.ParseUint(vm, 10, 64); err == nil {
		id, serial = service.ParseNumericID(int64(n))
		return id, serial, n < 1<<63
	}
	parts := strings.Split(vm, "-")
	if len(parts) != 3 {
		return 0, 0, false
	}
	a, err1 := strconv.ParseUint(parts[0], 10, 64)
	b, err2 := strconv.ParseUint(parts[1], 10, 32)
	return a, uint32(b), err1 == nil && err2 == nil
}

// AdmitInstance is AdmitMetrics for an instance.
func (c *Control) AdmitInstance(ctx context.Context, x *Instance) (done func(), err error) {
	return c.intake.Admit(ctx, x.Tenant, time.Now())
}

// WriteInstanceMetrics takes samples of an instance in: they are its own, whatever they say.
func (c *Control) WriteInstanceMetrics(x *Instance, b *telemetry.Batch) (telemetry.Result, error) {
	return c.intake.Write(&telemetry.Binding{Tenant: x.Tenant, Origin: x.Origin}, b, time.Now())
}
