package hot

import (
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// A version of the language: its date, the name that also stands for it, and the functions that it has.
type version struct {
	date, name string
	added      []string // functions
	dropped    []string
}

// versions are those of the language, the oldest first; each has the functions of those before it.
var versions = []version{
	{date: "2013-05-23", added: []string{"get_attr", "get_file", "get_param", "get_resource", "list_join", "resource_facade", "str_replace",
		"Fn::Base64", "Fn::GetAZs", "Fn::Join", "Fn::MemberListToMap", "Fn::Replace", "Fn::ResourceFacade", "Fn::Select", "Fn::Split", "Ref"}},
	{date: "2014-10-16", dropped: []string{"Fn::Base64", "Fn::GetAZs", "Fn::Join", "Fn::MemberListToMap", "Fn::Replace", "Fn::ResourceFacade", "Fn::Split", "Ref"}},
	{date: "2015-04-30", added: []string{"repeat", "digest"}, dropped: []string{"Fn::Select"}},
	{date: "2015-10-15", added: []string{"str_split"}},
	{date: "2016-04-08", added: []string{"map_merge"}},
	{date: "2016-10-14", name: "newton", added: []string{"yaql", "map_replace", "if", "equals", "not", "and", "or"}},
	{date: "2017-02-24", name: "ocata", added: []string{"filter", "str_replace_strict"}},
	{date: "2017-09-01", name: "pike", added: []string{"make_url", "list_concat", "list_concat_unique", "str_replace_vstrict", "contains"}},
	{date: "2018-03-02", name: "queens"},
	{date: "2018-08-31", name: "rocky"},
	{date: "2021-04-16", name: "wallaby"},
}

// The versions from which on something is different.
var (
	versionJSON  = versionAt("2014-10-16") // str_replace and list_join take lists and mappings, as JSON
	versionLists = versionAt("2015-10-15") // list_join takes several lists
	versionOmit  = versionAt("2021-04-16") // if without a third value leaves the place out
)

func versionAt(date string) int {
	return slices.IndexFunc(versions, func(v version) bool { return v.date == date })
}

// versionNames are all texts that name a version.
func versionNames() (names []string) {
	for _, v := range versions {
		names = append(names, v.date)
		if v.name != "" {
			names = append(names, v.name)
		}
	}
	return names
}

// versionOf reads the version of a template; the newest after noting that it is none.
func (d *document) versionOf(n *tree.Node, root *tree.Node) int {
	newest := len(versions) - 1
	if n == nil {
		d.fail(tree.Place{File: root.At.File}, "", "the template needs heat_template_version: %s is the newest", versions[newest].date)
		return newest
	}
	given := d.text(n, "heat_template_version")
	day, _, _ := strings.Cut(given, "T")
	for i, v := range versions {
		if given == v.date || given == v.name && given != "" || day == v.date {
			return i
		}
	}
	d.fail(n.At, "heat_template_version", "no version %q%s; there are %s", given, nearest.Hint(given, versionNames()), strings.Join(versionNames(), ", "))
	return newest
}

// since is the version in which a function came, or -1 for a name that is no function.
func since(function string) int {
	return slices.IndexFunc(versions, func(v version) bool { return slices.Contains(v.added, function) })
}

// until is the version from which on a function is no more; the number of versions for one that stays.
func until(function string) int {
	if i := slices.IndexFunc(versions, func(v version) bool { return slices.Contains(v.dropped, function) }); i >= 0 {
		return i
	}
	return len(versions)
}

// has reports whether a version has the function.
func has(version int, function string) bool {
	from := since(function)
	return from >= 0 && version >= from && version < until(function)
}

// functionsOf returns the names of a version's functions.
func functionsOf(version int) (names []string) {
	for i := 0; i <= version; i++ {
		for _, f := range versions[i].added {
			if has(version, f) {
				names = append(names, f)
			}
		}
	}
	return names
}
