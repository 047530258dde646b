// Package service is the functional core: what a service of many machines is, and every rule about it.
//
// A [Service] is a plain value. [Service.Observe] writes down a [Fact]; [Service.Decide] says what to do
// next, as [Effect] values, from state alone and never from the fact that led there. Neither does I/O, reads
// a clock, starts a goroutine, logs or draws a random number. The engine runs them, `troupe plan` and
// `troupe explain` ask them, and the simulations of the tests drive them: one rule book.
package service
