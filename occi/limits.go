package occi

import "net/http"

// Limits bound what one request may hold and what one answer may be. Zero fields mean the defaults.
type Limits struct {
	Body       int64 // bytes of a request; 1 MiB
	Categories int   // 1,000
	Links      int   // 1,000
	Attributes int   // 1,000
	Locations  int   // 10,000
	Value      int   // bytes of an attribute's value; 256 KiB
	// HeaderValue is how many bytes of one header an answer of text/occi may have; 60 KiB, which is what most clients read.
	// Longer answers are refused with 406, never cut.
	HeaderValue int
	Page        int // entities; 1,000
	// Mixins is how many mixins of their own the users of one tenant may have; 20,000.
	Mixins int
	// Members is how many entities may carry one such mixin; 10,000.
	Members int
	// Tags is how many of its users' mixins an entity may carry; 100.
	Tags int
}

func (l Limits) withDefaults() Limits {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	if l.Body == 0 {
		l.Body = 1 << 20
	}
	set(&l.Categories, 1000)
	set(&l.Links, 1000)
	set(&l.Attributes, 1000)
	set(&l.Locations, 10000)
	set(&l.HeaderValue, 60<<10)
	set(&l.Page, 1000)
	set(&l.Mixins, 20000)
	set(&l.Value, 256<<10)
	set(&l.Members, 10000)
	set(&l.Tags, 100)
	return l
}

// check refuses what goes beyond a limit.
func (l *Limits) check(n, limit int, what string) error {
	if n > limit {
		return Errorf(http.StatusRequestEntityTooLarge, "a request may have at most %d %s", limit, what)
	}
	return nil
}
