package occopus

import (
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
)

// A Configuration is what occopus_config.yaml says that still has a meaning.
type Configuration struct {
	Host string // of the REST service
	Port int
	// Store is where Occopus kept its data.
	Store Store
	// DryRun: no back end is asked for anything.
	DryRun bool
	// Plugins are the names of the Python modules that were enabled.
	Plugins []string
	// Handlers are the outputs of the log by name: "console" and what else there is.
	Handlers map[string]Handler
	// Log names the handlers that the programs' log goes to, in their order.
	Log []string
	// EventLog names those of the log of events, and DataLog those of the log of data; nil for none.
	EventLog, DataLog []string
}

// A Store is the key-value store of Occopus.
type Store struct {
	Protocol string
	Host     string
	Port     int
	Database int
	// Databases are those of certain kinds of keys: node_def, infra.
	Databases map[string]int
}

// A Handler is one output of the log.
type Handler struct {
	Level    string // DEBUG, INFO, …
	Format   string // in Python's notation: %(asctime)s\t%(message)s
	Stream   string // ext://sys.stdout; "" for a file
	File     string // relative to the working folder
	Truncate bool   // the file is emptied at the start
}

// ParseConfiguration reads occopus_config.yaml. Tags of the application are read over. The error, if any, is an
// *Invalid.
func ParseConfiguration(name string, data []byte, opts Options) (*Configuration, error) {
	d := newDecoder(opts)
	imports := d.files.Tags
	d.files.Tags = func(tag string) bool { imports(tag); return true }
	root := d.load(name, data)
	if root == nil {
		return nil, d.err()
	}
	c := &Configuration{Host: "127.0.0.1", Port: 5000, Handlers: map[string]Handler{}}
	if n := root.Get("plugins"); n != nil && n.Kind == tree.List {
		for _, item := range n.Items {
			c.Plugins = append(c.Plugins, item.Text)
		}
	}
	components := root.Get("components")
	if components == nil || components.Kind != tree.Mapping {
		d.fail(root.At, "", "", "the configuration needs components")
		return nil, d.err()
	}
	for _, key := range []string{"resourcehandler", "configmanager", "infobroker", "eventlog"} {
		if components.Get(key) == nil {
			d.fail(components.At, "components", "", "needs %s", key)
		}
	}
	d.rest(components, c)
	d.store(components, c)
	if n := components.Get("dry_run"); n != nil {
		if n.Kind != tree.Boolean {
			d.fail(n.At, "components.dry_run", "", "expected true or false, found %s%s", n.Found(), truthOf(n.Text))
		}
		c.DryRun = n.True()
	}
	if n := root.Get("logging"); n != nil {
		d.logging(n, c)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return c, nil
}

func (d *decoder) rest(components *tree.Node, c *Configuration) {
	n := components.Get("rest")
	if n == nil {
		return
	}
	if v := n.Get("host"); v != nil {
		c.Host, _ = d.text(v, "components.rest.host")
	}
	d.int(n, "components.rest", "port", &c.Port)
	if c.Port < 0 || c.Port > 65535 {
		d.fail(n.Get("port").At, "components.rest.port", "", "%d is no port", c.Port)
	}
}

func (d *decoder) int(n *tree.Node, path, key string, into *int) {
	v := n.Get(key)
	if v == nil {
		return
	}
	i, ok := v.Int()
	if !ok {
		d.fail(v.At, path+"."+key, "", "expected a whole number, found %s", v.Found())
		return
	}
	*into = i
}

func (d *decoder) store(components *tree.Node, c *Configuration) {
	n := components.Get("uds")
	if n == nil {
		return
	}
	c.Store = Store{Host: "localhost", Port: 6379, Databases: map[string]int{}}
	if v := n.Get("protocol"); v != nil {
		c.Store.Protocol, _ = d.text(v, "components.uds.protocol")
	}
	if v := n.Get("host"); v != nil {
		c.Store.Host, _ = d.text(v, "components.uds.host")
	}
	d.int(n, "components.uds", "port", &c.Store.Port)
	d.int(n, "components.uds", "db", &c.Store.Database)
	if other := n.Get("altdbs"); other != nil {
		for _, e := range other.Entries {
			var db int
			d.int(other, "components.uds.altdbs", e.Key, &db)
			c.Store.Databases[e.Key] = db
		}
	}
}

// logging reads the handlers of a configuration in the form of Python's dictConfig. What is not understood is
// read over.
func (d *decoder) logging(n *tree.Node, c *Configuration) {
	formats := map[string]string{}
	if f := n.Get("formatters"); f != nil {
		for _, e := range f.Entries {
			if v := e.Value.Get("format"); v != nil {
				formats[e.Key] = v.Text
			}
		}
	}
	c.EventLog, c.DataLog = handlersOf(n, "occo.eventlog"), handlersOf(n, "occo.data")
	if c.Log = handlersOf(n, "occo"); c.Log == nil {
		c.Log = handlerNames(n.Get("root"))
	}
	handlers := n.Get("handlers")
	if handlers == nil {
		return
	}
	for _, e := range handlers.Entries {
		word := func(key string) string {
			if v := e.Value.Get(key); v != nil {
				return v.Text
			}
			return ""
		}
		c.Handlers[e.Key] = Handler{
			Level: strings.ToUpper(word("level")), Format: formats[word("formatter")], Stream: word("stream"),
			File: word("filename"), Truncate: word("mode") == "w",
		}
	}
}

// handlersOf returns the names of the handlers of a logger; nil when the configuration has none of that name.
func handlersOf(n *tree.Node, logger string) []string {
	all := n.Get("loggers")
	if all == nil {
		return nil
	}
	return handlerNames(all.Get(logger))
}

func handlerNames(logger *tree.Node) (names []string) {
	if logger == nil || logger.Get("handlers") == nil {
		return nil
	}
	for _, item := range logger.Get("handlers").Items {
		names = append(names, item.Text)
	}
	return names
}
