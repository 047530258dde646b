package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	miekg "github.com/miekg/dns"
)

const (
	// forwardTime is how long one upstream server has.
	forwardTime = 2 * time.Second
	// mostForwarded is how many questions wait for upstream servers at once; more are refused.
	mostForwarded = 256
)

var errBusy = errors.New("too many questions wait for upstream servers")

// A forwarder asks other servers, in turn until one answers.
type forwarder struct {
	upstream []string
	allowed  []netip.Prefix
	slots    chan struct{}
}

func newForwarder(upstream []string, allowed []netip.Prefix) *forwarder {
	if len(upstream) == 0 {
		return nil
	}
	return &forwarder{upstream: upstream, allowed: allowed, slots: make(chan struct{}, mostForwarded)}
}

// serves reports whether a client may have other servers asked.
func (f *forwarder) serves(client netip.Addr) bool {
	if f == nil {
		return false
	}
	for _, p := range f.allowed {
		if p.Contains(client) {
			return true
		}
	}
	return false
}

// ask returns the first answer of an upstream server.
func (f *forwarder) ask(ctx context.Context, name string, typ uint16, checked bool) (*miekg.Msg, error) {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	default:
		return nil, errBusy
	}
	m := new(miekg.Msg)
	m.SetQuestion(name, typ)
	m.CheckingDisabled = checked
	m.SetEdns0(udpSize, false)
	var errs []error
	for _, server := range f.upstream {
		r, err := exchange(ctx, m, server)
		if err == nil {
			return r, nil
		}
		errs = append(errs, fmt.Errorf("ask %s: %w", server, err))
	}
	return nil, errors.Join(errs...)
}

// exchange asks one server: by UDP, and by TCP if the answer is too long for that.
func exchange(ctx context.Context, m *miekg.Msg, server string) (*miekg.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTime)
	defer cancel()
	m.Id = miekg.Id()
	for _, network := range [...]string{"udp", "tcp"} {
		r, _, err := (&miekg.Client{Net: network, UDPSize: udpSize, Timeout: forwardTime}).ExchangeContext(ctx, m, server)
		switch {
		case err != nil:
			return nil, err
		case len(r.Question) != 1 || !strings.EqualFold(r.Question[0].Name, m.Question[0].Name) || r.Question[0].Qtype != m.Question[0].Qtype:
			return nil, errors.New("it answered another question")
		case !r.Truncated:
			return r, nil
		}
	}
	return nil, errors.New("its answer is truncated")
}
