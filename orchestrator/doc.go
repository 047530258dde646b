// Package orchestrator is for writing a service orchestrator of one's own. [Provision] runs scripts on the machines of a service.
package orchestrator
