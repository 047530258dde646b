package driver

import "reflect"

// ReachesHost says what gives machines with these options the reach of their host, for a message ("driver
// process", `option "privileged"`), or "" where nothing does. The options need not be checked yet; one that is of
// the wrong type counts as given.
func (k *Kind) ReachesHost(options map[string]any) string {
	if k.HostAccess {
		return "driver " + k.Name
	}
	return reaching(k.Options, options)
}

// ReachesHost is Kind.ReachesHost for the options of a resource.
func (k *ResourceKind) ReachesHost(options map[string]any) string {
	return reaching(k.Options, options)
}

func reaching(known []Option, options map[string]any) string {
	for i := range known {
		o := &known[i]
		v := options[o.Name]
		if !o.HostAccess || v == nil {
			continue
		}
		given, err := o.convert(v)
		if err == nil && (empty(given) || o.isDefault(given)) {
			continue
		}
		return `option "` + o.Name + `"`
	}
	return ""
}

func empty(v any) bool {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Slice, reflect.Map:
		return r.Len() == 0
	}
	return r.IsZero()
}

func (o *Option) isDefault(v any) bool {
	if o.Default == nil {
		return false
	}
	d, err := o.convert(o.Default)
	return err == nil && reflect.DeepEqual(d, v)
}
