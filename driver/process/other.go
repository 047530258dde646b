//go:build !linux

package process

import (
	"context"
	"fmt"
	"os"

	"github.com/troupe-dev/troupe/driver"
)

func open(context.Context, driver.Config) (driver.Driver, error) {
	return nil, fmt.Errorf("process: needs Linux: %w", driver.ErrUnsupported)
}

// Supervise is the main function of a supervisor. It needs Linux.
func Supervise([]string) int {
	fmt.Fprintln(os.Stderr, "troupe supervise: needs Linux")
	return 2
}
