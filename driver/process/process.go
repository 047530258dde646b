// Package process runs machines as supervised processes on this host.
//
// Each machine has a folder, a session of its own, a loopback address of its own (127.x.y.z), its
// environment, files, rotated logs and limits. A tiny supervisor, one for each run of a machine's main
// program, outlives the server, collects the descendants that daemonise, ends what is left of the tree
// when the main program ends, and records how it ended. No root is needed; as root the machines run as
// an unprivileged user.
//
// Three records describe a machine, each with one writer, so that a crash between any two steps leaves a
// state from which a repeated call goes on:
//
//	plan.json    what the machine is; written once, before its folder gets its name (driver)
//	intent.json  what is wanted of it: phase, run number, tokens (driver)
//	run.json     what became of the run: process ids, start times, boot id, end (supervisor)
//
// The supervisor holds a lock on the file "lock" for its whole life. The kernel frees it when the
// supervisor ends in whatever way, and names its holder, so a lock and not a process id says what lives.
package process

import (
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// Kind describes the driver. Its account option "user" matters only to a server that runs as root.
func Kind() *driver.Kind {
	return &driver.Kind{
		Name:         "process",
		Help:         "Supervised processes on the server's own host.",
		Account:      accountOptions,
		Options:      machineOptions,
		Guarantee:    driver.Token,
		VisibleAfter: 0,
		Addresses:    "127.0.0.0/8",
		Limits:       driver.Limits{Concurrency: 16, Deadline: 2 * time.Minute},
		HostAccess:   true,
		Actions: []driver.Action{
			driver.Hold, driver.Release, driver.Stop, driver.Suspend, driver.Resume, driver.Reboot, driver.RebootHard,
			driver.Poweroff, driver.PoweroffHard, driver.Undeploy, driver.UndeployHard,
			driver.SnapshotCreate, driver.SnapshotRevert, driver.SnapshotDelete,
			driver.DiskSnapshotCreate, driver.DiskSnapshotRevert, driver.DiskSnapshotDelete,
		},
		Verify: verify,
		New:    open,
	}
}
