package service

import (
	"fmt"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// MaxChecks is how many health checks a machine may have.
const MaxChecks = 64

// A Check is a health check of an instance. Exactly one of TCP, HTTP, Exec, MySQL and Ping is set.
// Hosts, ports, URLs, commands and credentials may be Jinja templates; "" as host means the instance's first address.
type Check struct {
	TCP  string `json:"tcp,omitempty"`  // "host:port" or ":port"
	HTTP string `json:"http,omitempty"` // URL, or ":port/path"
	// Method asks by HTTP: GET or HEAD; "" for GET.
	Method    string        `json:"method,omitempty"`
	Status    int           `json:"status,omitempty"`
	Exec      []string      `json:"exec,omitempty"` // inside the machine, healthy when it exits 0
	MySQL     *MySQL        `json:"mysql,omitempty"`
	Ping      bool          `json:"ping,omitempty"`
	Interval  time.Duration `json:"interval,omitempty"`  // 0: 10 s
	Timeout   time.Duration `json:"timeout,omitempty"`   // 0: 5 s
	Failures  int           `json:"failures,omitempty"`  // in a row until unhealthy; 0: 3, with Down no number
	Successes int           `json:"successes,omitempty"` // in a row until healthy; 0: 1
	// Down is how long the check may fail, from the first failure on, until the instance is unhealthy; a success
	// ends that time. 0 leaves it to Failures alone. An instance that starts fails when it has passed.
	Down time.Duration `json:"down,omitempty"`
	// StartPeriod: failures in this time after the start do not count.
	StartPeriod time.Duration `json:"start_period,omitempty"`
}

// MySQL is a database that must accept a connection and answer.
type MySQL struct {
	Host     string `json:"host,omitempty"`
	Port     string `json:"port,omitempty"` // "": 3306
	Database string `json:"database,omitempty"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"` // never shown, unless it is a template
}

// EachText calls f for each text of the check, with the name that it has in JSON.
func (m *MySQL) EachText(f func(name string, text *string)) {
	f("host", &m.Host)
	f("port", &m.Port)
	f("database", &m.Database)
	f("user", &m.User)
	f("password", &m.Password)
}

func isTemplate(s string) bool { return strings.Contains(s, "{{") || strings.Contains(s, "{%") }

// HidesPassword reports whether the password is one, not a template that names an input.
func (m *MySQL) HidesPassword() bool { return m.Password != "" && !isTemplate(m.Password) }

func (v *validator) check(at string, c *Check) {
	kinds := 0
	for _, set := range []bool{c.TCP != "", c.HTTP != "", len(c.Exec) > 0, c.MySQL != nil, c.Ping} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		v.fail(at, "a check is one of tcp, http, exec, mysql and ping; this one is %d of them", kinds)
	}
	if c.TCP != "" && !isTemplate(c.TCP) {
		if i := strings.LastIndexByte(c.TCP, ':'); i < 0 || !isPort(c.TCP[i+1:]) {
			v.fail(at+".tcp", "%q is no address: write host:port or :port", c.TCP)
		}
	}
	if c.HTTP != "" && !isTemplate(c.HTTP) {
		rest, local := strings.CutPrefix(c.HTTP, ":")
		number, _, _ := strings.Cut(rest, "/")
		if local && !isPort(number) || !local && !strings.HasPrefix(rest, "http://") && !strings.HasPrefix(rest, "https://") {
			v.fail(at+".http", "%q is no address: write a URL or :port/path", c.HTTP)
		}
	}
	one(v, at+".method", c.Method, "GET", "HEAD", "")
	if c.Method != "" && c.HTTP == "" {
		v.fail(at+".method", "only http checks have a method")
	}
	if c.MySQL != nil && c.MySQL.Port != "" && !isTemplate(c.MySQL.Port) && !isPort(c.MySQL.Port) {
		v.fail(at+".mysql.port", "%q is no port", c.MySQL.Port)
	}
	if c.Status != 0 && (c.Status < 100 || c.Status > 599) {
		v.fail(at+".status", "%d is no HTTP status", c.Status)
	} else if c.Status != 0 && c.HTTP == "" {
		v.fail(at+".status", "only http checks have a status")
	}
	least(v, at+".interval", c.Interval, 0)
	least(v, at+".timeout", c.Timeout, 0)
	least(v, at+".failures", c.Failures, 0)
	least(v, at+".successes", c.Successes, 0)
	least(v, at+".down", c.Down, 0)
	least(v, at+".start_period", c.StartPeriod, 0)
}

// checked writes down what the checks of an instance say together, and which of them pass and fail.
func (s *Service) checked(i *Instance, f Fact, now Time) {
	was := i.Healthy
	if i.time(f, now) || was != f.Health || !i.confirmed {
		s.dirty(i)
		s.enqueue(i)
	}
	i.role.weigh(i, -1)
	i.Healthy, i.confirmed = f.Health, true
	i.role.weigh(i, 1)
	switch {
	case f.Health == Unhealthy || f.Health == Ailing:
		i.Reason = f.Reason
	case was == Ailing && i.Phase == Up:
		i.Reason = ""
	}
	if at, down := i.endures(); f.Health == Ailing && was != Ailing && i.Phase == Up && at > now {
		s.event(now, true, i.role, i, "a check of %s fails: %s; it counts as failed if that lasts longer than %v", s.InstanceName(i), f.Reason, down)
	}
}

// time starts the clocks of the checks that fail and ends those of the checks that pass. It reports whether one changed.
func (i *Instance) time(f Fact, now Time) (changed bool) {
	checks := i.Checks()
	for n := range checks {
		bit := uint64(1) << n
		switch {
		case f.Failing&bit != 0 && checks[n].Down > 0:
			if len(i.Failing) < len(checks) {
				i.Failing = append(i.Failing, make([]Time, len(checks)-len(i.Failing))...)
			}
			if i.Failing[n] == 0 {
				i.Failing[n], changed = now, true
			}
		case f.Passing&bit != 0 && n < len(i.Failing) && i.Failing[n] != 0:
			i.Failing[n], changed = 0, true
		}
	}
	for _, t := range i.Failing {
		if t != 0 {
			return changed
		}
	}
	i.Failing, i.worn = nil, false
	return changed
}

// FailingSince returns when the first of the instance's failing checks began to fail; 0 when none does, or none that
// may for a while.
func (i *Instance) FailingSince() (since Time) {
	for _, t := range i.Failing {
		if t != 0 && (since == 0 || t < since) {
			since = t
		}
	}
	return since
}

// endures returns until when the instance is kept although a check of it fails, and how long that check may;
// 0 when none fails that may.
func (i *Instance) endures() (at Time, down time.Duration) {
	checks := i.Checks()
	for n, since := range i.Failing {
		if since == 0 || n >= len(checks) {
			continue
		}
		if end := since.Add(checks[n].Down); at == 0 || end < at {
			at, down = end, checks[n].Down
		}
	}
	return at, down
}

// wearOut makes an instance unhealthy whose check has failed for too long. A clock that ran while nobody
// looked, as during a restart, is believed once the check has failed again.
func (s *Service) wearOut(i *Instance, now Time) {
	if len(i.Failing) == 0 || i.Machine != driver.Running || !i.confirmed {
		return
	}
	at, down := i.endures()
	if at > now {
		s.wake(at, i.Serial)
		return
	}
	if !i.worn {
		i.role.weigh(i, -1)
		i.Healthy, i.worn = Unhealthy, true
		i.role.weigh(i, 1)
		i.Reason = fmt.Sprintf("a check failed for longer than %v: %s", down, i.Reason)
		s.dirty(i)
	}
}

// uncheck forgets what checks said of a machine that is no more, or that is new.
func (i *Instance) uncheck() {
	i.Healthy, i.Failing, i.confirmed, i.worn = Unchecked, nil, false, false
}
