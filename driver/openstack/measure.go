package openstack

import (
	"context"
	"iter"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/troupe-dev/troupe/driver"
)

// diagnosticsVersion is the first in which all hypervisors tell the same.
const diagnosticsVersion = "2.48"

// diagnostics are what Nova tells of a server's load. What its hypervisor does not know is absent.
type diagnostics struct {
	CPUs []struct {
		Time int64 `json:"time"` // ns
	} `json:"cpu_details"`
	Memory struct {
		Used int64 `json:"used"` // MiB
	} `json:"memory_details"`
	NICs []struct {
		Rx int64 `json:"rx_octets"`
		Tx int64 `json:"tx_octets"`
	} `json:"nic_details"`
}

// Measure asks Nova for each running server's diagnostics, if the account says so.
func (c *cloud) Measure(ctx context.Context) iter.Seq2[driver.Figures, error] {
	return func(yield func(driver.Figures, error) bool) {
		if !c.measures {
			return
		}
		s, err := c.connect(ctx)
		if err == nil {
			nova := *s.nova
			nova.Microversion = diagnosticsVersion
			err = c.each(ctx, s, func(v *servers.Server) bool {
				if v.Status != "ACTIVE" {
					return true
				}
				var d diagnostics
				_, err := nova.Get(ctx, nova.ServiceURL("servers", v.ID, "diagnostics"), &d, nil)
				switch {
				case missing(err) || conflict(err):
					return true // it ended meanwhile
				case err != nil:
					yield(driver.Figures{}, failed(err, "measure"))
					return false
				}
				return yield(d.figures(driver.MachineID(v.Metadata[metaMachine])), nil)
			})
		}
		if err != nil {
			yield(driver.Figures{}, failed(err, "measure"))
		}
	}
}

func (d *diagnostics) figures(id driver.MachineID) driver.Figures {
	f := driver.Figures{ID: id, MemoryBytes: d.Memory.Used << 20}
	for _, c := range d.CPUs {
		f.CPUSeconds += float64(c.Time) / 1e9
	}
	for _, n := range d.NICs {
		f.NetRxBytes += n.Rx
		f.NetTxBytes += n.Tx
	}
	return f
}
