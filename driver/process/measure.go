//go:build linux

package process

import (
	"context"
	"fmt"
	"iter"
	"os"

	"github.com/troupe-dev/troupe/driver"
)

// ticks is how many clock ticks /proc counts in a second: the same on every Linux that Go supports.
const ticks = 100

// Measure tells the CPU time and the resident memory of every running machine, from one reading of the process
// table. Pages that processes share count for each of them. Network and disk cannot be told apart by machine.
func (h *host) Measure(ctx context.Context) iter.Seq2[driver.Figures, error] {
	return func(yield func(driver.Figures, error) bool) {
		ids, err := h.list()
		if err != nil {
			yield(driver.Figures{}, fmt.Errorf("process: measure: %w: %w", driver.ErrUnavailable, err))
			return
		}
		all := table()
		below := map[int][]int{}
		for _, s := range all {
			below[s.Parent] = append(below[s.Parent], s.PID)
		}
		for _, id := range ids {
			if err := ctx.Err(); err != nil {
				yield(driver.Figures{}, fmt.Errorf("process: measure: %w", err))
				return
			}
			if !h.owns(h.folder(id).plan()) {
				continue
			}
			r, ok := h.alive(id)
			if !ok {
				continue
			}
			// What the supervisor has collected was the machine's too.
			f := driver.Figures{ID: id, CPUSeconds: float64(all[r.Supervisor.PID].Reaped) / ticks}
			for _, pid := range walk(r.Supervisor.PID, func(pid int) []int { return below[pid] }) {
				f.CPUSeconds += float64(all[pid].Ticks) / ticks
				f.MemoryBytes += all[pid].Pages * int64(os.Getpagesize())
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}
