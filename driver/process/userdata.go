package process

import (
	"path/filepath"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/cloudinit"
)

// userDataDir holds what a machine's user data needs beside its own files, in the machine's folder.
const userDataDir = ".user-data"

// idle is the main program of a machine that has none but its user data: it stays up until it is stopped.
var idle = shell("exec sleep infinity")

// obey adds to the plan what user data asks for. Its files go below the machine's folder, which stands for /, and its
// commands run before the main program: at its place, so under its limits, as its user and into its log.
func (p *plan) obey(data *cloudinit.Plan, root string) []driver.File {
	if data.Empty() {
		return nil
	}
	files, script := data.Deliver(cloudinit.Target{Root: root, Dir: userDataDir})
	start := driver.File{Path: userDataDir + "/start", Mode: 0o700, Content: []byte(script)}
	p.Args = append([]string{"/bin/sh", "-c", `/bin/sh "$0"; exec "$@"`, filepath.Join(root, start.Path)}, p.Args...)
	return append(files, start)
}
