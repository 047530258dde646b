package alarm

import "fmt"

// A State is that of an alarm or of a part of one. States are ordered as Monasca sorts them.
type State uint8

// The states.
const (
	StateOK State = iota
	StateUndetermined
	StateAlarm
)

var stateNames = [...]string{"OK", "UNDETERMINED", "ALARM"}

// String returns Monasca's word.
func (s State) String() string { return stateNames[s] }

// ParseState reads one of OK, ALARM and UNDETERMINED.
func ParseState(text string) (State, error) {
	for i, name := range stateNames {
		if name == text {
			return State(i), nil
		}
	}
	return 0, fmt.Errorf("state %.40q is none of OK, ALARM, UNDETERMINED", text)
}

// MarshalText writes Monasca's word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads it.
func (s *State) UnmarshalText(text []byte) (err error) {
	*s, err = ParseState(string(text))
	return err
}
