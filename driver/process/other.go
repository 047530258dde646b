//go:build !linux

package process

import (
	"context"
	"fmt"
	"os"

	"github.com/troupe-dev/troupe/driver"
)

func verify(driver.Config) error {
	return fmt.Errorf("process: needs Linux: %w", driver.ErrUnsupported)
}

func open(context.Context, driver.Config) (driver.Driver, error) {
	return nil, verify(driver.Config{})
}

// Supervise is the main function of a supervisor. It needs Linux.
func Supervise([]string) int {
	fmt.Fprintln(os.Stderr, "troupe supervise: needs Linux")
	return 2
}
