package cli

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// networksFlag is a repeatable flag that takes networks, several with commas.
type networksFlag struct{ value *[]netip.Prefix }

// String implements pflag.Value.
func (n networksFlag) String() string { return strings.Join(n.GetSlice(), ",") }

// Type implements pflag.Value.
func (n networksFlag) Type() string { return "networks" }

// Set implements pflag.Value.
func (n networksFlag) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(part))
		if a, e := netip.ParseAddr(strings.TrimSpace(part)); err != nil && e == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return errors.New("give a network such as 127.0.0.0/8")
		}
		*n.value = append(*n.value, p.Masked())
	}
	return nil
}

// Append implements pflag.SliceValue.
func (n networksFlag) Append(text string) error { return n.Set(text) }

// Replace implements pflag.SliceValue.
func (n networksFlag) Replace(list []string) error {
	*n.value = nil
	return n.Set(strings.Join(list, ","))
}

// GetSlice implements pflag.SliceValue.
func (n networksFlag) GetSlice() (out []string) {
	for _, p := range *n.value {
		out = append(out, p.String())
	}
	return out
}

// commandsFlag is a repeatable flag that takes NAME=PROGRAM,ARGS.
type commandsFlag struct{ value *map[string][]string }

// String implements pflag.Value.
func (c commandsFlag) String() string { return strings.Join(c.GetSlice(), " ") }

// Type implements pflag.Value.
func (c commandsFlag) Type() string { return "command" }

// Set implements pflag.Value.
func (c commandsFlag) Set(text string) error {
	name, program, ok := strings.Cut(text, "=")
	if !ok || name == "" || program == "" {
		return errors.New("give a name and a program with its whole path, such as page=/usr/local/bin/page,--urgent")
	}
	if _, twice := (*c.value)[name]; twice {
		return fmt.Errorf("%s is given twice", name)
	}
	if *c.value == nil {
		*c.value = make(map[string][]string)
	}
	(*c.value)[name] = strings.Split(program, ",")
	return nil
}

// Append implements pflag.SliceValue.
func (c commandsFlag) Append(text string) error { return c.Set(text) }

// Replace implements pflag.SliceValue.
func (c commandsFlag) Replace(list []string) error {
	*c.value = nil
	for _, text := range list {
		if err := c.Set(text); err != nil {
			return err
		}
	}
	return nil
}

// GetSlice implements pflag.SliceValue.
func (c commandsFlag) GetSlice() (out []string) {
	for _, name := range slices.Sorted(maps.Keys(*c.value)) {
		out = append(out, name+"="+strings.Join((*c.value)[name], ","))
	}
	return out
}
