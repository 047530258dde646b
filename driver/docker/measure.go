package docker

import (
	"context"
	"encoding/json"
	"errors"
	"iter"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/troupe-dev/troupe/driver"
)

// measureAtOnce is how many containers are measured at a time: the daemon reads each one's figures when it is asked.
const measureAtOnce = 8

// Measure tells the figures of every running container, in the order in which the daemon answers. Memory is without
// what the kernel may drop from its caches.
func (h *host) Measure(ctx context.Context) iter.Seq2[driver.Figures, error] {
	return func(yield func(driver.Figures, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		list, err := h.cli.ContainerList(ctx, client.ContainerListOptions{Filters: h.ours(labelMachine)})
		if err != nil {
			yield(driver.Figures{}, failed(err, "measure"))
			return
		}
		figures := make(chan driver.Figures)
		var g errgroup.Group
		g.SetLimit(measureAtOnce)
		all := make(chan error, 1)
		go func() {
			for _, c := range list.Items {
				g.Go(func() error {
					f, err := h.measure(ctx, c.ID)
					if missing(err) || errdefs.IsConflict(err) {
						return nil // it has ended meanwhile
					}
					if err != nil {
						cancel()
						return err
					}
					f.ID = driver.MachineID(c.Labels[labelMachine])
					select {
					case figures <- f:
					case <-ctx.Done():
					}
					return nil
				})
			}
			all <- g.Wait()
			close(figures)
		}()
		for f := range figures {
			if !yield(f, nil) {
				cancel()
				for range figures {
				}
				return
			}
		}
		if err := <-all; err != nil {
			yield(driver.Figures{}, failed(err, "measure"))
		} else if err := ctx.Err(); err != nil {
			yield(driver.Figures{}, failed(err, "measure"))
		}
	}
}

func (h *host) measure(ctx context.Context, native string) (f driver.Figures, err error) {
	r, err := h.cli.ContainerStats(ctx, native, client.ContainerStatsOptions{})
	if err != nil {
		return f, err
	}
	var s container.StatsResponse
	err = json.NewDecoder(r.Body).Decode(&s)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return f, err
	}
	f.CPUSeconds = float64(s.CPUStats.CPUUsage.TotalUsage) / 1e9
	cache := s.MemoryStats.Stats["inactive_file"] // of the second version of control groups
	if total, first := s.MemoryStats.Stats["total_inactive_file"]; first {
		cache = total
	}
	f.MemoryBytes = int64(s.MemoryStats.Usage - min(cache, s.MemoryStats.Usage))
	for _, n := range s.Networks {
		f.NetRxBytes += int64(n.RxBytes)
		f.NetTxBytes += int64(n.TxBytes)
	}
	return f, nil
}
