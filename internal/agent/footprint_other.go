//go:build !linux

package agent

import "runtime/debug"

// slim makes this process small.
func slim() { debug.SetGCPercent(25) }

func shed() {}
