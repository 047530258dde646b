package control

import (
	"fmt"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/service"
)

type backendName struct{ driver, account string }

// backendsOf are the back ends that a service may have machines or resources on.
func backendsOf(s *service.Service) (names []backendName) {
	add := func(driver, account string) {
		if n := (backendName{driver, account}); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	for _, r := range s.Roles {
		for x := range r.Spec.EachImplementation {
			add(x.Driver, x.Account)
		}
	}
	for _, x := range s.Resources {
		add(x.Driver, x.Account)
	}
	return names
}

// blame tells what is wrong with a back end, and what an operator can do about it.
func blame(e *service.Explanation, b engine.BackendStatus) {
	c := b.Condition
	if b.Halted != "" {
		e.Blame(service.BackendExplanation{Name: b.Key, Since: b.HaltedAt, Why: b.Halted,
			Advice: fmt.Sprintf("see what became of back end %s; if its machines are gone indeed, an administrator says so: troupe driver accept %s", b.Key, b.Key)})
	}
	switch {
	case !c.Open.IsZero():
		why := fmt.Sprintf("it does not answer: %d calls in a row failed, the last with: %s", c.Failures, c.Last)
		if left := time.Until(c.Until).Round(time.Second); left > 0 {
			why += fmt.Sprintf("; it is asked again in %v", left)
		}
		e.Blame(service.BackendExplanation{Name: b.Key, Since: c.Open, Why: why,
			Advice: fmt.Sprintf("bring back end %s up again, or mend its account's address and credentials; Troupe goes on by itself when it answers", b.Key)})
	case b.Error != "":
		e.Blame(service.BackendExplanation{Name: b.Key, Since: b.Failing, Why: "it cannot be listed: " + b.Error,
			Advice: fmt.Sprintf("see to back end %s; until it can be listed no machine there is taken for gone", b.Key)})
	case b.Listed.IsZero():
		e.Blame(service.BackendExplanation{Name: b.Key, Why: "it has not told yet which machines it has; nothing is made there before",
			Advice: fmt.Sprintf("wait, or see whether back end %s is up", b.Key)})
	}
	if !c.Throttled.IsZero() {
		e.Blame(service.BackendExplanation{Name: b.Key, Since: c.Throttled, Why: "it says that it is asked too often",
			Advice: fmt.Sprintf("wait, ask the operator of back end %s for a higher rate, or give its account a lower one", b.Key)})
	}
}

// blameStrangers tells of machines that no record knows, where they keep stable instances from being made.
func blameStrangers(e *service.Explanation, backend string, strangers int) {
	if strangers == 0 {
		return
	}
	e.Blame(service.BackendExplanation{Name: backend,
		Why:    fmt.Sprintf("it has %d machines of this service that no record knows, perhaps of a state before a restore; no stable instance is made beside them, for they may still work on its data", strangers),
		Advice: "wait: machines that no record knows are removed a minute after they were first seen"})
}
