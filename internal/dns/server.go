package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	miekg "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"
)

const (
	// udpSize is the largest message by UDP, either way: what passes through networks in one piece.
	udpSize = 1232
	// mostConnections by TCP are served at once; more wait.
	mostConnections = 256
	// tcpQuestions is how many come by one connection.
	tcpQuestions = 128
	// tcpIdle is how long a connection may be silent.
	tcpIdle = 5 * time.Second
)

// ServerOptions say how a server answers. Log must be set.
type ServerOptions struct {
	// Forward are servers, HOST:PORT each, that are asked about names that are not ours; none to refuse such questions.
	Forward []string
	// ForwardFor are the networks whose clients may ask about them.
	ForwardFor []netip.Prefix
	// Rate is how many answers a second the clients of a network get by UDP, on average; 0 for no bound.
	Rate    float64
	Metrics prometheus.Registerer // nil for none
	Log     *slog.Logger
}

// A Server answers by UDP and TCP. Make it with NewServer.
type Server struct {
	opts    ServerOptions
	catalog atomic.Pointer[Catalog]
	limiter *limiter
	forward *forwarder
	slips   atomic.Uint32
	answers *prometheus.CounterVec
	limited prometheus.Counter
	udp     net.PacketConn
	tcp     net.Listener
	ctx     context.Context // of questions to other servers; ends when Serve does
	cancel  context.CancelFunc
}

// NewServer returns a server that answers SERVFAIL until Open gives it a catalog.
func NewServer(o ServerOptions) *Server {
	s := &Server{opts: o, limiter: newLimiter(o.Rate), forward: newForwarder(o.Forward, o.ForwardFor),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "troupe_dns_answers_total", Help: "Answers to DNS questions, by their code."}, []string{"code"}),
		limited: prometheus.NewCounter(prometheus.CounterOpts{Name: "troupe_dns_limited_total", Help: "DNS questions that were left without an answer, or with a short one, since too many came from their network."})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if o.Metrics != nil {
		o.Metrics.MustRegister(s.answers, s.limited)
	}
	return s
}

// Open has a catalog answer; Shut ends that.
func (s *Server) Open(c *Catalog) { s.catalog.Store(c) }

// Shut has every question answered with SERVFAIL.
func (s *Server) Shut() { s.catalog.Store(nil) }

// Listen binds HOST:PORT for UDP and TCP; port 0 takes one that is free for both.
func (s *Server) Listen(ctx context.Context, address string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen for DNS: %w", err)
	}
	var lc net.ListenConfig
	for range 20 { // a port that is free for UDP may be taken for TCP
		if s.udp, err = lc.ListenPacket(ctx, "udp", address); err != nil {
			return netip.AddrPort{}, fmt.Errorf("listen for DNS: %w", err)
		}
		at := s.udp.LocalAddr().(*net.UDPAddr).AddrPort()
		var tcp net.Listener
		if tcp, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(at.Port())))); err == nil {
			s.tcp = netutil.LimitListener(tcp, mostConnections)
			return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
		}
		s.udp.Close()
		if port != "0" {
			break
		}
	}
	return netip.AddrPort{}, fmt.Errorf("listen for DNS: %w", err)
}

// Close gives the addresses up, of a server that never served.
func (s *Server) Close() {
	s.cancel()
	if s.tcp != nil {
		s.udp.Close()
		s.tcp.Close()
	}
}

// Serve answers until ctx ends or a listener breaks.
func (s *Server) Serve(ctx context.Context) error {
	defer s.cancel()
	answer := miekg.HandlerFunc(s.serve)
	servers := []*miekg.Server{
		{PacketConn: s.udp, Handler: answer, UDPSize: udpSize},
		{Listener: s.tcp, Handler: answer, MaxTCPQueries: tcpQuestions, ReadTimeout: tcpIdle, WriteTimeout: tcpIdle, IdleTimeout: func() time.Duration { return tcpIdle }},
	}
	var all, started sync.WaitGroup
	broken := make(chan error, len(servers))
	for _, x := range servers {
		started.Add(1)
		begun := sync.OnceFunc(started.Done)
		x.NotifyStartedFunc = begun
		all.Go(func() {
			defer begun()
			if err := x.ActivateAndServe(); err != nil {
				broken <- fmt.Errorf("serve DNS: %w", err)
			}
		})
	}
	started.Wait()
	var err error
	select {
	case <-ctx.Done():
	case err = <-broken:
	}
	s.cancel() // no answer waits for others any more
	for _, x := range servers {
		_ = x.Shutdown() // fails for one that is broken
	}
	s.Close()
	all.Wait()
	return err
}

// serve answers one message.
func (s *Server) serve(w miekg.ResponseWriter, m *miekg.Msg) {
	defer func() {
		if p := recover(); p != nil {
			s.opts.Log.Error("answering a DNS question panicked; please report this", "panic", fmt.Sprint(p))
		}
	}()
	client, datagram := clientOf(w.RemoteAddr())
	if datagram && !s.limiter.allow(client) {
		s.limited.Inc()
		if s.slips.Add(1)%2 == 0 {
			return
		}
		// Whoever really asked is told to come by TCP, in an answer no longer than the question.
		r := new(miekg.Msg)
		r.SetReply(m)
		r.Truncated = true
		_ = w.WriteMsg(r)
		return
	}
	r := s.reply(client, m)
	size := miekg.MaxMsgSize
	if datagram {
		size = miekg.MinMsgSize
	}
	if opt := m.IsEdns0(); opt != nil {
		own := &miekg.OPT{Hdr: miekg.RR_Header{Name: ".", Rrtype: miekg.TypeOPT}}
		own.SetUDPSize(udpSize)
		own.SetExtendedRcode(uint16(r.Rcode))
		own.Option = echo(opt)
		r.Extra = append(r.Extra, own)
		if datagram {
			size = min(max(size, int(opt.UDPSize())), udpSize)
		}
	}
	r.Truncate(size)
	s.answers.WithLabelValues(codeName(r.Rcode)).Inc()
	_ = w.WriteMsg(r) // a client that went away has nobody to tell
}

// codeName is a label of the metrics.
func codeName(code int) string {
	if name, ok := miekg.RcodeToString[code]; ok {
		return name
	}
	return "other"
}

func clientOf(a net.Addr) (client netip.Addr, datagram bool) {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone(""), true
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone(""), false
	}
	return netip.Addr{}, true
}

// reply answers a message, whatever its size.
func (s *Server) reply(client netip.Addr, m *miekg.Msg) *miekg.Msg {
	r := new(miekg.Msg)
	r.SetReply(m)
	r.RecursionAvailable = s.forward.serves(client)
	r.CheckingDisabled = m.CheckingDisabled
	c := s.catalog.Load()
	opt := m.IsEdns0()
	switch {
	case m.Opcode != miekg.OpcodeQuery:
		r.Rcode = miekg.RcodeNotImplemented
		return r
	case len(m.Question) != 1:
		r.Rcode = miekg.RcodeFormatError
		return r
	case opt != nil && opt.Version() != 0:
		r.Rcode = miekg.RcodeBadVers
		return r
	case c == nil:
		r.Rcode = miekg.RcodeServerFailure
		return r
	}
	q := m.Question[0]
	if q.Qclass != miekg.ClassINET || q.Qtype == miekg.TypeAXFR || q.Qtype == miekg.TypeIXFR || q.Qtype == miekg.TypeOPT {
		r.Rcode = miekg.RcodeRefused
		return r
	}
	a := c.Answer(Question{Name: q.Name, Type: q.Qtype, From: nearClient(client, opt)})
	recursive := r.RecursionAvailable && m.RecursionDesired
	switch {
	case a.Known:
		r.Rcode, r.Authoritative, r.Answer, r.Ns, r.Extra = a.Code, a.Authoritative, a.Answer, a.Authority, a.Extra
		if a.Further != "" && recursive {
			s.follow(r, a.Further, q.Qtype, m.CheckingDisabled)
		}
	case recursive:
		s.follow(r, q.Name, q.Qtype, m.CheckingDisabled)
	default:
		r.Rcode = miekg.RcodeRefused
	}
	return r
}

// follow adds what another server says.
func (s *Server) follow(r *miekg.Msg, name string, typ uint16, checked bool) {
	other, err := s.forward.ask(s.ctx, name, typ, checked)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			s.opts.Log.Warn("upstream DNS servers do not answer", "error", err)
		}
		r.Rcode = miekg.RcodeServerFailure
		return
	}
	r.Rcode = other.Rcode
	r.Answer = append(r.Answer, other.Answer...)
	r.Ns = append(r.Ns, other.Ns...)
}

// nearClient is where a question comes from: the network that a resolver tells of its own client, or who sent it.
func nearClient(client netip.Addr, opt *miekg.OPT) netip.Addr {
	if n := subnet(opt); n != nil && n.SourceNetmask > 0 {
		if a, ok := netip.AddrFromSlice(n.Address); ok {
			return a.Unmap()
		}
	}
	return client
}

func subnet(opt *miekg.OPT) *miekg.EDNS0_SUBNET {
	if opt != nil {
		for _, o := range opt.Option {
			if n, ok := o.(*miekg.EDNS0_SUBNET); ok {
				return n
			}
		}
	}
	return nil
}

// echo tells a resolver that the answer holds for the network of which it told.
func echo(opt *miekg.OPT) []miekg.EDNS0 {
	n := subnet(opt)
	if n == nil {
		return nil
	}
	own := *n
	own.SourceScope = n.SourceNetmask
	return []miekg.EDNS0{&own}
}
