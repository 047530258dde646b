// Command troupe deploys, heals, scales, updates and removes services made of many machines.
package main

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver/process"
	"github.com/troupe-dev/troupe/internal/cli"
)

func main() {
	// A supervisor of the process driver is this program too; it must start and end with as little as possible.
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		unix.Exit(process.Supervise(os.Args[2:]))
	}
	os.Exit(cli.Main())
}
