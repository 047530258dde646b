package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/troupe-dev/troupe/internal/identity"
)

// A request is what the server knows of one request. It is the request's context, so that the way
// down costs one allocation and what is found out on the way (face, caller) is there on the way up.
type request struct {
	context.Context
	server *Server
	id     string
	source netip.Addr
	guest  func() (*identity.Caller, error) // of the listener; see Listener.Guest
	caller *identity.Caller
	face   *Face
	route  string
	often  bool // see Often
	// What LimitBody makes another limit of.
	writer http.ResponseWriter
	body   io.ReadCloser
}

type requestKey struct{}

// Value returns the request itself for requestKey.
func (r *request) Value(key any) any {
	if key == (requestKey{}) {
		return r
	}
	return r.Context.Value(key)
}

func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// RequestID returns the id of the request that ctx belongs to, "" outside of one.
func RequestID(ctx context.Context) string {
	if r := requestOf(ctx); r != nil {
		return r.id
	}
	return ""
}

// Caller returns who made the request that ctx belongs to, or nil on public routes.
func Caller(ctx context.Context) *identity.Caller {
	if r := requestOf(ctx); r != nil {
		return r.caller
	}
	return nil
}

// FaceName returns the name of the face that serves the request that ctx belongs to.
func FaceName(ctx context.Context) string {
	if r := requestOf(ctx); r != nil && r.face != nil {
		return r.face.Name
	}
	return ""
}

// Often says that requests of this kind come so often that good ones are not worth a line of the log.
func Often(r *http.Request) {
	if req := requestOf(r.Context()); req != nil {
		req.often = true
	}
}

// The values of headers are shared by all answers: nobody changes them in place.
var (
	nosniff     = []string{"nosniff"}
	denyFrames  = []string{"DENY"}
	noReferrer  = []string{"no-referrer"}
	noStore     = []string{"no-store"}
	frameNobody = []string{"default-src 'none'; frame-ancestors 'none'"}
)

// wrap is what every request on a listener passes: id, limits, security headers, panics, log and
// metrics.
func (s *Server) wrap(listener string, guest func() (*identity.Caller, error), next http.Handler) http.Handler {
	// Browsers send remembered Basic credentials along with forms of other sites: refuse those.
	var crossOrigin http.CrossOriginProtection
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		begin := time.Now()
		req := &request{Context: hr.Context(), server: s, id: requestID(hr), source: sourceOf(hr), guest: guest, writer: w, body: hr.Body}
		h := w.Header()
		h["X-Request-Id"] = []string{req.id}
		h["X-Content-Type-Options"] = nosniff
		h["X-Frame-Options"] = denyFrames
		h["Referrer-Policy"] = noReferrer
		h["Cache-Control"] = noStore
		h["Content-Security-Policy"] = frameNobody
		rec := &recorder{ResponseWriter: w}
		inner := hr.WithContext(req)
		if hr.Body != http.NoBody {
			inner.Body = http.MaxBytesReader(w, hr.Body, maxBody)
		}
		s.metrics.inFlight.Inc()
		defer func() {
			if p := recover(); p != nil {
				s.recovered(p, rec, inner, req)
			}
			s.metrics.inFlight.Dec()
			s.finish(listener, hr, req, rec, time.Since(begin))
			if rec.broken { // the client must not take a half answer for a whole one
				panic(http.ErrAbortHandler)
			}
		}()
		if err := cmp.Or(crossOrigin.Check(hr), refuseStrangers(guest != nil, hr)); err != nil {
			writeError(rec, inner, &Problem{Status: http.StatusForbidden, Detail: "a page of another site may not send this request", cause: err})
			return
		}
		next.ServeHTTP(rec, inner)
	})
}

// refuseStrangers keeps pages in browsers away from a listener that asks for no credentials: neither a page of another
// site nor a name that somebody points at this host gets through.
func refuseStrangers(guests bool, r *http.Request) error {
	if !guests {
		return nil
	}
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return errors.New("this listener asks for no credentials and answers no pages in browsers")
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || local.Network() == "unix" {
		return nil
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = strings.Trim(r.Host, "[]"), "80"
	}
	_, own, _ := net.SplitHostPort(local.String())
	if ip, err := netip.ParseAddr(host); port != own || host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("this listener asks for no credentials and answers to loopback addresses alone, not to %.100q", r.Host)
	}
	return nil
}

// recovered answers a panic with a 500 that tells nothing, and logs it with its stack.
func (s *Server) recovered(p any, w *recorder, hr *http.Request, req *request) {
	if p != http.ErrAbortHandler {
		s.log.Error("a request handler panicked; please report this", "request", req.id, "method", hr.Method, "path", hr.URL.Path,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
	if w.status != 0 || p == http.ErrAbortHandler {
		w.broken = true
		return
	}
	writeError(w, hr, &Problem{Status: http.StatusInternalServerError, Detail: "internal error; the server's log has it under request " + req.id})
}

// finish counts and logs the request.
func (s *Server) finish(listener string, hr *http.Request, req *request, w *recorder, took time.Duration) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	face, route := "none", "unmatched"
	if req.face != nil {
		face = req.face.Name
	}
	if req.route != "" {
		route = req.route
	}
	s.metrics.observe(face, route, w.status, took)

	level := slog.LevelInfo
	switch {
	case w.status >= 500 || w.broken:
		level = slog.LevelWarn
	case w.status < 400 && (req.often || hr.Method == http.MethodGet || hr.Method == http.MethodHead):
		level = slog.LevelDebug
	}
	if !s.log.Enabled(req.Context, level) {
		return
	}
	user := ""
	if req.caller != nil {
		user = req.caller.Name
	}
	s.log.LogAttrs(req.Context, level, "request", slog.String("request", req.id), slog.String("listener", listener),
		slog.String("face", face), slog.String("method", hr.Method), slog.String("path", hr.URL.Path),
		slog.Int("status", w.status), slog.Int64("bytes", w.bytes), slog.Duration("took", took),
		slog.String("source", req.source.String()), slog.String("user", user))
}

// requestID takes over the client's X-Request-Id if it is short and plain, or makes one.
func requestID(r *http.Request) string {
	given := r.Header["X-Request-Id"]
	if len(given) == 1 && saneID(given[0]) {
		return given[0]
	}
	return ulid.Make().String()
}

func saneID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

func sourceOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// recorder notes status and size. ResponseController finds flushing, deadlines and hijacking
// through Unwrap.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	broken bool // the answer is incomplete
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Flush implements http.Flusher for libraries that look for it.
func (w *recorder) Flush() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	http.NewResponseController(w.ResponseWriter).Flush() // a lost client shows at the next write
}

// Unwrap gives http.ResponseController the way to the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
