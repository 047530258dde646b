// Package policy is the arithmetic of elasticity and schedules: values and time go in, a wish for a
// cardinality comes out. It has no state, no clock and no I/O; callers keep the counters.
//
// The expressions, periods and adjustments are those of OpenNebula OneFlow, whose stored templates
// rely on every detail of them.
package policy
