// Package manager is the functional core of Hurtle's service managers: what a service manifest says, and how an instance of a
// service type goes through its phases while an orchestrator of its own makes it.
//
// An [Instance] is a plain value. [Instance.Observe] writes down what is now known, [Instance.Decide] says which call to the Cloud
// Controller or to the orchestrator comes next, or when to look again. Neither does I/O, reads a clock, starts a goroutine, logs
// or draws a random number. The shell (package hurtle) runs them and keeps the records.
package manager
