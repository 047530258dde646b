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
	Machine driver.MachineID
	Tenant  int
	Owner   *identity.Caller // of the service: requests act with the owner's rights on that service

	incarnation uint32
	owner       int
}

// InstanceToken returns the token of one incarnation of an instance. It cannot be told from a random text without the
// state's key, is good for OneGate and the instance's own samples alone, and ends with the incarnation.
func (c *Control) InstanceToken(id driver.MachineID) string {
	return base64.RawURLEncoding.EncodeToString(c.instanceMAC(id))
}

// InstanceVM returns the number by which OneGate's clients know a machine.
func (c *Control) InstanceVM(id driver.MachineID) string {
	n, serial, ok := splitVM(string(id))
	if !ok {
		return ""
	}
	return strconv.FormatInt(service.NumericID(n, serial), 10)
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
	x := c.instanceNow(id, serial)
	if x.Machine == "" || !hmac.Equal(given, c.instanceMAC(x.Machine)) {
		return nil, bad
	}
	if x.Owner, err = c.directory.As(x.owner); err != nil {
		return nil, bad
	}
	return x, nil
}

// instanceNow is an instance as it is now; its Machine is "" when it is not there or leaves.
func (c *Control) instanceNow(id uint64, serial uint32) *Instance {
	x := new(Instance)
	c.engine.View(id, func(s *service.Service) {
		i := s.Instance(serial)
		if i == nil || i.Phase == service.Stopping || i.Phase == service.Replacing {
			return
		}
		*x = Instance{Origin: metric.Origin{Service: id, Role: i.Role().Name, Serial: serial}, Machine: s.MachineID(i), Tenant: s.Meta.Group,
			incarnation: i.Incarnation, owner: s.Meta.Owner}
	})
	return x
}

// instanceOf is the instance that a machine is; false when it is another one's by now.
func (c *Control) instanceOf(id driver.MachineID) (*Instance, bool) {
	n, serial, ok := splitVM(string(id))
	if !ok {
		return nil, false
	}
	x := c.instanceNow(n, serial)
	return x, x.Machine == id
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

// ReportInstance is Report for an instance that speaks for itself. What an earlier incarnation said does not count.
func (c *Control) ReportInstance(ctx context.Context, x *Instance, attributes map[string]string) error {
	_, err := c.report(ctx, x.Owner, x.Service, service.Fact{Serial: x.Serial, Incarnation: x.incarnation}, attributes)
	return err
}

// AdmitInstance is AdmitMetrics for an instance.
func (c *Control) AdmitInstance(ctx context.Context, x *Instance) (done func(), err error) {
	return c.intake.Admit(ctx, x.Tenant, time.Now())
}

// WriteInstanceMetrics takes samples of an instance in: they are its own, whatever they say.
func (c *Control) WriteInstanceMetrics(x *Instance, b *telemetry.Batch) (telemetry.Result, error) {
	return c.intake.Write(&telemetry.Binding{Tenant: x.Tenant, Origin: x.Origin}, b, time.Now())
}
