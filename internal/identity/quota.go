package identity

import (
	"errors"
	"fmt"
	"math"
)

// A Quota bounds what one project (group) may hold. A nil limit means unlimited, and of metrics, as the server has it
// for all.
type Quota struct {
	Services  *int     `json:"services,omitempty"`
	Instances *int     `json:"instances,omitempty"`
	CPUs      *float64 `json:"cpus,omitempty"`   // cores, where machines declare them
	Memory    *int64   `json:"memory,omitempty"` // bytes, where machines declare them
	// Of metrics: series at once, values of one dimension over all series, samples a second.
	Series  *int     `json:"series,omitempty"`
	Values  *int     `json:"values,omitempty"`
	Samples *float64 `json:"samples,omitempty"`
}

// A Usage is what a project holds, or what a command would add. Negative figures give back.
type Usage struct {
	Services  int     `json:"services"`
	Instances int     `json:"instances"`
	CPUs      float64 `json:"cpus"`   // cores
	Memory    int64   `json:"memory"` // bytes
}

// Add returns the sum.
func (u Usage) Add(v Usage) Usage {
	return Usage{u.Services + v.Services, u.Instances + v.Instances, u.CPUs + v.CPUs, u.Memory + v.Memory}
}

// Sub returns the difference.
func (u Usage) Sub(v Usage) Usage {
	return Usage{u.Services - v.Services, u.Instances - v.Instances, u.CPUs - v.CPUs, u.Memory - v.Memory}
}

// A QuotaError says which limit a command would pass. CPUs are cores, memory is bytes.
type QuotaError struct {
	Limit             string // "services", "instances", "cpus" or "memory"
	Max, Used, Wanted float64
}

// Error names the limit, how much of it is used and how much was asked for.
func (e *QuotaError) Error() string {
	return fmt.Sprintf("quota: %s: limit %s, used %s, asked for %s more", e.Limit, e.amount(e.Max), e.amount(e.Used), e.amount(e.Wanted))
}

func (e *QuotaError) amount(v float64) string {
	if e.Limit != "memory" {
		return fmt.Sprintf("%.10g", v)
	}
	for _, unit := range []struct {
		size float64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if math.Abs(v) >= unit.size {
			return fmt.Sprintf("%.4g %s", v/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.0f bytes", v)
}

// Is makes every QuotaError an ErrDenied.
func (e *QuotaError) Is(target error) bool { return target == ErrDenied }

// Check returns nil, or a joined error with one QuotaError for each limit that used plus wanted
// would pass. What is not asked for is not checked: a project above a lowered limit may shrink.
func (q Quota) Check(used, wanted Usage) error {
	var errs []error
	check := func(limit string, bound bool, top, used, wanted float64) {
		// A millionth of a core is forgiven: sums of decimal fractions drift.
		if bound && wanted > 0 && used+wanted > top+1e-6 {
			errs = append(errs, &QuotaError{limit, top, used, wanted})
		}
	}
	check("services", q.Services != nil, float64(deref(q.Services)), float64(used.Services), float64(wanted.Services))
	check("instances", q.Instances != nil, float64(deref(q.Instances)), float64(used.Instances), float64(wanted.Instances))
	check("cpus", q.CPUs != nil, deref(q.CPUs), used.CPUs, wanted.CPUs)
	check("memory", q.Memory != nil, float64(deref(q.Memory)), float64(used.Memory), float64(wanted.Memory))
	return errors.Join(errs...)
}

// validate refuses limits below zero and figures that are no numbers.
func (q Quota) validate() error {
	for _, limit := range []struct {
		name  string
		value float64
	}{{"services", float64(deref(q.Services))}, {"instances", float64(deref(q.Instances))},
		{"cpus", deref(q.CPUs)}, {"memory", float64(deref(q.Memory))},
		{"series", float64(deref(q.Series))}, {"values", float64(deref(q.Values))}, {"samples", deref(q.Samples)}} {
		if !(limit.value >= 0) || math.IsInf(limit.value, 0) {
			return fmt.Errorf("quota.%s: %w: %v is no limit; give 0 or more, or leave it out for none", limit.name, ErrInvalid, limit.value)
		}
	}
	return nil
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
