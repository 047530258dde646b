// Package dns is an authoritative name server: zones that users write, and names of instances that follow the services as
// they are. [Zone], [Record] and [Map] are the model and its rules, without I/O; [Hosts] holds the names of instances; a
// [Catalog] holds all of them and answers questions; a [Server] puts it on the network.
package dns

import (
	"errors"
	"fmt"
)

// Errors of the model. Test with errors.Is.
var (
	// ErrInvalid: a name, a type or data is not as DNS has it.
	ErrInvalid = errors.New("invalid")
	// ErrExists: there is such a record, or one that cannot stand beside it.
	ErrExists = errors.New("exists already")
	// ErrMissing: there is no such record or map.
	ErrMissing = errors.New("not found")
	// ErrFull: the zone holds as much as it may.
	ErrFull = errors.New("the zone is full")
)

// Limits of a zone. TTLs are in seconds.
const (
	MaxRecords     = 1000
	MaxMaps        = 100
	MaxLines       = 500 // of a map
	MaxTTL         = 7 * 24 * 3600
	DefaultTTL     = 3600
	maxText        = 4000 // bytes of a record's data
	maxDescription = 255
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

func checkTTL(ttl uint32) error {
	if ttl == 0 || ttl > MaxTTL {
		return invalid("a TTL of %d s; give 1 to %d", ttl, MaxTTL)
	}
	return nil
}

func checkDescription(text string) error {
	if len(text) > maxDescription {
		return invalid("a description of %d bytes; %d are the most", len(text), maxDescription)
	}
	return nil
}
