package driver

import "io"

// Reader, Writer and LogReader are the streams of Command and Logger.
type (
	Reader    = io.Reader
	Writer    = io.Writer
	LogReader = io.ReadCloser
)

// OptionType is the type of an option's value.
type OptionType string

// The types of options. Durations are text such as "1m30s" or whole seconds; sizes are text such
// as "512M" or whole bytes.
const (
	String   OptionType = "string"
	Int      OptionType = "integer"
	Float    OptionType = "number"
	Bool     OptionType = "boolean"
	Duration OptionType = "duration"
	Size     OptionType = "size"
	List     OptionType = "list" // of strings
	Map      OptionType = "map"  // of strings
)

// An Option describes one setting as data: checks, forms, help, docs and redaction come from it.
type Option struct {
	Name     string
	Help     string
	Type     OptionType
	Default  any // nil for none
	Required bool
	Secret   bool // never shown, encrypted at rest
	Advanced bool
	// HostAccess: giving it needs the permission that Kind.HostAccess asks for. It does not count as given when
	// it is false, empty or its default.
	HostAccess bool
	Choices    []string
	Examples   []string
}
