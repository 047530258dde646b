package occopus

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// options are those of all programs; each knows some.
type options struct {
	config, auth string
	parallel     bool
	sequential   bool
	infra        string

	list, report bool
	cyclic       bool
	interval     float64 // seconds
	output       string
	filter       string

	node           string
	count, scaleTo string

	host  string
	port  int
	guest string

	lenient  bool // exit codes of 1.10 where they say that all went well although it did not
	tearDown bool
	simulate bool

	needed []string
}

func (o *options) addOrder(f *pflag.FlagSet) {
	f.BoolVar(&o.parallel, "parallelize", false, "work in parallel where the order allows (always done; taken for compatibility)")
	f.BoolVar(&o.sequential, "sequential", false, "make and remove machines one at a time")
}

func (o *options) addInfra(f *pflag.FlagSet, long, help string) {
	f.StringVarP(&o.infra, long, "i", "", help)
}

func (o *options) addLenient(f *pflag.FlagSet) {
	f.BoolVar(&o.lenient, "occopus-exit-codes", false, "exit codes of Occopus 1.10, which are 0 for some failures")
}

// need marks options without which a program cannot work.
func (o *options) need(names ...string) { o.needed = append(o.needed, names...) }

// check says what is missing or does not go together.
func (o *options) check(f *pflag.FlagSet) error {
	var missing []string
	for _, name := range o.needed {
		if flag := f.Lookup(name); !flag.Changed {
			missing = append(missing, fmt.Sprintf("-%s/--%s", flag.Shorthand, name))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the following arguments are required: %s", strings.Join(missing, ", "))
	}
	if o.parallel && o.sequential {
		return errors.New("argument --sequential: not allowed with argument --parallelize")
	}
	return nil
}
