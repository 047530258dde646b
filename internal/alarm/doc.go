// Package alarm holds the rules of alarms: the expression language, the windows that samples fall into, the
// states of alarms, and which actions a change of state causes. It is Monasca's language and its threshold
// semantics, and what Troupe adds to both.
//
// The package is a functional core: no I/O, no clock, no goroutine, no logger, no randomness. Times come in
// as milliseconds since 1970 (UTC), ids derive from stored serials, and what must survive a restart comes
// out as records.
//
// A [Monitor] holds the alarms of one [Definition]. Samples reach it through the [Feed] of their series, in
// O(1) and without allocation; [Monitor.Wake] tells when something must be decided next, and
// [Monitor.Decide] does so. A Monitor is used by one goroutine at a time.
package alarm
