package openstack

import (
	"encoding/base64"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/cloudinit"
)

// environmentFile is where a machine finds its environment: nothing starts its main program for it.
const environmentFile = "/etc/troupe/environment"

// writing returns a boothook that writes the machine's files and environment at its first start, before anything else of
// its user data; nil where there are none. A part of #cloud-config would take the place of the user's own write_files.
func writing(req *driver.Request) []byte {
	files := slices.Clone(req.Files)
	if len(req.Env) > 0 {
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(req.Env)) {
			fmt.Fprintf(&b, "%s=%s\n", name, cloudinit.Quote(req.Env[name]))
		}
		files = append(files, driver.File{Path: environmentFile, Mode: 0o600, Content: []byte(b.String())})
	}
	if len(files) == 0 {
		return nil
	}
	var b strings.Builder
	const done = "/var/lib/troupe/written"
	fmt.Fprintf(&b, "#cloud-boothook\n#!/bin/sh\n[ \"$(cat %s 2>/dev/null)\" = %s ] && exit 0\n", done, cloudinit.Quote(string(req.ID)))
	for _, f := range files {
		name := path.Clean("/" + f.Path)
		mode := f.Mode & 0o7777
		if mode == 0 {
			mode = 0o644
		}
		fmt.Fprintf(&b, "mkdir -p %s\n(umask 077; base64 -d > %s <<'_'\n", cloudinit.Quote(path.Dir(name)), cloudinit.Quote(name))
		text := base64.StdEncoding.EncodeToString(f.Content)
		for len(text) > 76 {
			b.WriteString(text[:76] + "\n")
			text = text[76:]
		}
		fmt.Fprintf(&b, "%s\n_\n)\nchmod %o %s\n", text, mode, cloudinit.Quote(name))
	}
	fmt.Fprintf(&b, "mkdir -p %s\necho %s > %s\n", path.Dir(done), cloudinit.Quote(string(req.ID)), done)
	return []byte(b.String())
}
