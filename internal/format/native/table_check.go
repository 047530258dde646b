package native

import (
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

func checkField[T any](at func(*T) *[]service.Check) field[T] {
	return field[T]{
		key: "check", spec: "checks", shape: checkShape, example: "http :8080/healthz",
		help: "One health check or a list: as text (tcp :80, http :8080/healthz, exec COMMAND, ping) or as a map. An instance is up when all its checks pass.",
		read: func(d *decoder, n *tree.Node, t *T) {
			var checks []service.Check
			d.each(n, func(item *tree.Node) {
				var c service.Check
				readCheck(d, item, &c)
				checks = append(checks, c)
			})
			*at(t) = checks
		},
		write: func(t *T) any {
			checks := *at(t)
			all := make([]any, len(checks))
			for i := range checks {
				all[i] = writeCheck(&checks[i])
			}
			switch len(all) {
			case 0:
				return nil
			case 1:
				return all[0]
			}
			return all
		},
	}
}

// checkFields are the keys of a health check.
var checkFields = []field[service.Check]{
	textField("tcp", ":5432", "Healthy when a connection opens: host:port, or :port on the instance's address.",
		func(c *service.Check) *string { return &c.TCP }),
	textField("http", ":8080/healthz", "Healthy when it is answered with 200 to 399: a URL, or :port/path on the instance's address.",
		func(c *service.Check) *string { return &c.HTTP }),
	{
		key: "exec", shape: execShape, example: "pg_isready -q",
		help: "Healthy when this command exits with 0 inside the machine: words, or one text for /bin/sh -c.",
		read: func(d *decoder, n *tree.Node, c *service.Check) {
			if n.Kind != tree.List {
				if s, ok := d.text(n); ok {
					c.Exec = shell(s)
				}
				return
			}
			d.each(n, func(item *tree.Node) {
				if s, ok := d.text(item); ok {
					c.Exec = append(c.Exec, s)
				}
			})
		},
		write: func(c *service.Check) any {
			if len(c.Exec) == 3 && c.Exec[0] == "/bin/sh" && c.Exec[1] == "-c" {
				return c.Exec[2]
			}
			if len(c.Exec) == 0 {
				return nil
			}
			return c.Exec
		},
	},
	textField("method", "HEAD", "GET, or HEAD, which asks for no body.", func(c *service.Check) *string { return &c.Method }),
	{
		key: "mysql", shape: ref("mysql"), example: "{database: shop, user: probe, password: \"{{ inputs.PASSWORD }}\"}",
		help: "Healthy when this MySQL database accepts a connection and answers.",
		read: func(d *decoder, n *tree.Node, c *service.Check) {
			c.MySQL = &service.MySQL{}
			read(d, mysqlFields, n, c.MySQL)
		},
		write: func(c *service.Check) any {
			if c.MySQL == nil {
				return nil
			}
			return write(mysqlFields, c.MySQL)
		},
	},
	boolField("ping", "Healthy when the instance answers an ICMP echo.", func(c *service.Check) *bool { return &c.Ping }),
	intField("status", "200 to 399", "204", "The one HTTP status that is healthy.", func(c *service.Check) *int { return &c.Status }),
	durationField("interval", "10s", "5s", "The pause between two rounds.", func(c *service.Check) *time.Duration { return &c.Interval }),
	durationField("timeout", "5s", "2s", "How long a round may take.", func(c *service.Check) *time.Duration { return &c.Timeout }),
	durationField("down", "failures decide", "10m", "How long the check may fail, from the first failure on, until the instance is unhealthy; a success ends that time, a restart of the server does not.", func(c *service.Check) *time.Duration { return &c.Down }),
	intField("failures", "3, with down no number", "5", "Failed rounds in a row until the instance is unhealthy.", func(c *service.Check) *int { return &c.Failures }),
	intField("successes", "1", "2", "Good rounds in a row until the instance is healthy.", func(c *service.Check) *int { return &c.Successes }),
	durationField("start_period", "none", "30s", "Failures in this time after the start do not count.", func(c *service.Check) *time.Duration { return &c.StartPeriod }),
}

// mysqlFields are the keys of a MySQL check.
var mysqlFields = []field[service.MySQL]{
	textField("host", "db.lab", "Where it listens; without one, the instance's address.", func(m *service.MySQL) *string { return &m.Host }),
	textField("port", "3307", "Its port; without one, 3306.", func(m *service.MySQL) *string { return &m.Port }),
	textField("database", "shop", "The database to open.", func(m *service.MySQL) *string { return &m.Database }),
	textField("user", "probe", "Who connects.", func(m *service.MySQL) *string { return &m.User }),
	textField("password", "\"{{ inputs.PASSWORD }}\"", "The password: a template that names a secret input, or a text, which is never shown.", func(m *service.MySQL) *string { return &m.Password }),
}

func shell(command string) []string { return []string{"/bin/sh", "-c", command} }

func readCheck(d *decoder, n *tree.Node, c *service.Check) {
	if n.Kind == tree.Mapping {
		read(d, checkFields, n, c)
		return
	}
	s, ok := d.text(n)
	if !ok {
		return
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case word == "ping" && rest == "":
		c.Ping = true
	case word == "tcp" && rest != "":
		c.TCP = rest
	case word == "http" && rest != "":
		c.HTTP = rest
	case word == "exec" && rest != "":
		c.Exec = shell(rest)
	default:
		d.fail(n.At, "%s is no check: write tcp :80, http :8080/healthz, exec COMMAND or ping", n.Found())
	}
}

// writeCheck returns the text of a check that is all defaults, otherwise its map.
func writeCheck(c *service.Check) any {
	out := write(checkFields, c)
	if len(out) != 1 {
		return out
	}
	if c.Ping {
		return "ping"
	}
	value, ok := out[0].Value.(string)
	key, isKey := out[0].Key.(string)
	if !ok || !isKey || value == "" || value != strings.TrimSpace(value) {
		return out
	}
	return key + " " + value
}
