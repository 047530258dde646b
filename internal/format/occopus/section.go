package occopus

import (
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// typed returns the type that a section names; false after noting that it has none or an unknown one.
func (r *sectionReader) typed(n *tree.Node, path, section string, types []string) (string, bool) {
	name := n.Get("type")
	if name == nil || !name.Kind.Scalar() {
		r.fail(n.At, path, r.said(section, "Missing key 'type'!"), "the section needs a type: one of %s", strings.Join(types, ", "))
		return "", false
	}
	if !known(types, name.Text) {
		hint := nearest.Hint(name.Text, types)
		if hint == "" {
			hint = "; there are " + strings.Join(types, ", ")
		}
		r.fail(name.At, path+".type", r.said(section, "Unknown type '"+name.Text+"'"), "no type %q%s", name.Text, hint)
		return "", false
	}
	return name.Text, true
}

func (r *sectionReader) contextualisation(item *tree.Node, path string) service.Values {
	const section = "contextualisation"
	n := r.section(item, path, section)
	if n == nil {
		return nil
	}
	path += "." + section
	kind, ok := r.typed(n, path, section, []string{"cloudinit", "docker", "basic"})
	if !ok {
		return nil
	}
	switch kind {
	case "cloudinit":
		r.keys(n, path, section, []string{"context_template"}, []string{"attributes"})
		if t := n.Get("context_template"); t != nil && t.Kind != tree.Mapping && t.Kind != tree.Text {
			r.fail(t.At, path+".context_template", r.said(section, "context_template must be a string or a mapping"), "expected text, or keys and values, found %s", t.Kind)
		}
	case "docker":
		r.keys(n, path, section, []string{"env"}, []string{"command", "context_variables"})
		r.list(n, path, section, "env")
		if c := n.Get("command"); c != nil && c.Kind == tree.List {
			r.list(n, path, section, "command")
		} else if c != nil && c.Kind == tree.Mapping {
			r.fail(c.At, path+".command", r.said(section, "command must be a string or a list"), "expected text or a list, found %s", c.Kind)
		}
		if v := n.Get("context_variables"); v != nil && v.Kind != tree.Mapping && v.Kind != tree.Text {
			r.fail(v.At, path+".context_variables", r.said(section, "context_variables must be a string or a mapping"), "expected text, or keys and values, found %s", v.Kind)
		}
	case "basic":
		r.keys(n, path, section, []string{"attributes"}, nil)
	}
	if a := n.Get("attributes"); a != nil && a.Kind != tree.Mapping {
		r.fail(a.At, path+".attributes", r.said(section, "attributes must be a mapping"), "expected keys and values, found %s", a.Kind)
	}
	return values(n)
}

// list notes a value that is no list of scalars.
func (r *sectionReader) list(n *tree.Node, path, section, key string) {
	v := n.Get(key)
	if v == nil {
		return
	}
	if v.Kind != tree.List {
		r.fail(v.At, path+"."+key, r.said(section, "Invalid format of '"+key+"' section! Must be a list."), "expected a list, found %s", v.Found())
		return
	}
	for _, item := range v.Items {
		if !item.Kind.Scalar() || item.Kind == tree.Null {
			r.fail(item.At, path+"."+key, r.said(section, "Invalid format of '"+key+"' section! Must be a list."), "expected a list of texts or numbers, found %s in it", item.Kind)
		}
	}
}

func (r *sectionReader) configManagement(item *tree.Node, path string) service.Values {
	const section = "config_management"
	n := r.section(item, path, section)
	if n == nil {
		return nil
	}
	path += "." + section
	kind, ok := r.typed(n, path, section, []string{"chef", "puppet_solo"})
	if !ok {
		return nil
	}
	if kind == "chef" {
		r.keys(n, path, section, []string{"endpoint", "run_list"}, nil)
		r.list(n, path, section, "run_list")
		return values(n)
	}
	r.keys(n, path, section, []string{"manifests"}, []string{"modules", "attributes"})
	r.list(n, path, section, "manifests")
	r.list(n, path, section, "modules")
	if a := n.Get("attributes"); a != nil && a.Kind != tree.List {
		r.fail(a.At, path+".attributes", r.said(section, "Invalid format of 'attributes' section! Must be a list."), "expected a list, found %s", a.Found())
	}
	return values(n)
}

var healthKeys = []string{"ping", "ports", "urls", "mysqldbs", "timeout"}

func (r *sectionReader) healthCheck(item *tree.Node, path string) service.Values {
	const section = "health_check"
	n := r.section(item, path, section)
	if n == nil {
		return nil
	}
	path += "." + section
	if t := n.Get("type"); t != nil {
		if _, ok := r.typed(n, path, section, []string{"basic"}); !ok {
			return nil
		}
	}
	r.keys(n, path, section, nil, healthKeys)
	if p := n.Get("ping"); p != nil && p.Kind != tree.Boolean {
		r.fail(p.At, path+".ping", r.said(section, "Invalid value of 'ping' section! Must be True/False."), "expected true or false, found %s%s", p.Found(), truthOf(p.Text))
	}
	r.list(n, path, section, "ports")
	if ports := n.Get("ports"); ports != nil && ports.Kind == tree.List {
		for _, p := range ports.Items {
			if v, ok := p.Int(); !ok && p.Kind.Scalar() && p.Kind != tree.Null {
				r.fail(p.At, path+".ports", r.said(section, "Invalid port "+repr(p.Text)+" - must be integer"), "%s is no port: write a whole number without quotes", p.Found())
			} else if ok && (v < 1 || v > 65535) {
				r.fail(p.At, path+".ports", r.said(section, "Invalid port "+p.Text+" - must be integer"), "%d is no port: one is from 1 to 65535", v)
			}
		}
	}
	r.list(n, path, section, "urls")
	r.databases(n, path)
	if t := n.Get("timeout"); t != nil {
		if v, ok := t.Int(); !ok || v < 0 {
			r.fail(t.At, path+".timeout", r.said(section, "Invalid value of 'timeout' section! Must be integer."), "expected a number of seconds, found %s", t.Found())
		}
	}
	return values(n)
}

func truthOf(word string) string {
	switch strings.ToLower(word) {
	case "yes", "on", "1", "y":
		return "; write true"
	case "no", "off", "0", "n":
		return "; write false"
	}
	return ""
}

func (r *sectionReader) databases(n *tree.Node, path string) {
	const section = "health_check"
	list := n.Get("mysqldbs")
	if list == nil {
		return
	}
	path += ".mysqldbs"
	if list.Kind != tree.List {
		r.fail(list.At, path, r.said(section, "Invalid format of 'mysqldbs' section! Must be a list."), "expected a list, found %s", list.Found())
		return
	}
	keys := []string{"name", "user", "pass"}
	for i, db := range list.Items {
		path := path + "[" + strconv.Itoa(i) + "]"
		if db.Kind != tree.Mapping {
			r.fail(db.At, path, r.said(section, "Missing key(s) in mysqldbs: "+strings.Join(keys, ", ")), "expected name, user and pass, found %s", db.Kind)
			continue
		}
		var missing []string
		for _, k := range keys {
			if v := db.Get(k); v == nil {
				missing = append(missing, k)
			} else if !v.Kind.Scalar() {
				r.fail(v.At, path+"."+k, "", "expected text, found %s", v.Kind)
			}
		}
		if len(missing) > 0 {
			r.fail(db.At, path, r.said(section, "Missing key(s) in mysqldbs: "+strings.Join(missing, ", ")), "needs %s", strings.Join(missing, ", "))
		}
		for _, e := range db.Entries {
			if !known(keys, e.Key) {
				r.fail(e.At, path+"."+e.Key, "", "unknown key%s", nearest.Hint(e.Key, keys))
			}
		}
	}
}
