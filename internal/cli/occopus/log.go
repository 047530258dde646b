package occopus

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/internal/format/occopus"
)

// A sink is where the log goes, besides or instead of standard output.
type sink struct {
	out    io.Writer
	format string // in Python's notation
	level  int
}

// consoleFormat is how lines look where the configuration does not say.
const consoleFormat = "** %(asctime)s\t%(message)s"

// The levels of the log, as Python numbers them.
const (
	levelInfo    = 20
	levelWarning = 30
)

var levels = map[string]int{"": 0, "NOTSET": 0, "DEBUG": 10, "INFO": levelInfo, "WARN": levelWarning, "WARNING": levelWarning, "ERROR": 40, "CRITICAL": 50}

// openLog opens the outputs of the logs that the configuration names; standard output for the log without one. The log of
// data is opened as Occopus does, and nothing is written to it.
func (r *run) openLog(c *occopus.Configuration) (err error) {
	if r.sinks, err = r.open(c, c.Log); err == nil {
		r.events, err = r.open(c, c.EventLog)
	}
	if err == nil {
		_, err = r.open(c, c.DataLog)
	}
	if r.sinks == nil {
		r.sinks = []sink{{r.Out, consoleFormat, levelInfo}}
	}
	return err
}

// open opens the handlers of these names.
func (r *run) open(c *occopus.Configuration, names []string) (sinks []sink, err error) {
	for _, name := range names {
		h, ok := c.Handlers[name]
		if !ok {
			continue
		}
		s := sink{out: r.Out, format: h.Format, level: levels[h.Level]}
		if s.format == "" {
			s.format = consoleFormat
		}
		switch {
		case h.File != "":
			mode := os.O_WRONLY | os.O_CREATE | os.O_APPEND
			if h.Truncate {
				mode |= os.O_TRUNC
			}
			f, err := os.OpenFile(h.File, mode, 0o666)
			if err != nil {
				return nil, fmt.Errorf("open the log: %w", err)
			}
			r.files = append(r.files, f)
			s.out = f
		case h.Stream == "ext://sys.stderr":
			s.out = r.Err
		}
		sinks = append(sinks, s)
	}
	return sinks, nil
}

// log writes a line to the log; every line of the text by itself.
func (r *run) log(format string, args ...any) { r.logAt(levelInfo, format, args...) }

func (r *run) logAt(level int, format string, args ...any) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		write(r.sinks, now, level, line)
	}
}

func write(sinks []sink, now time.Time, level int, line string) {
	for _, s := range sinks {
		if level >= s.level {
			fmt.Fprintln(s.out, logLine(s.format, now, level, line))
		}
	}
}

// event writes a line to the log of events, in the form that Occopus' own has. pairs are keys with their values.
func (r *run) event(infra, name string, pairs ...string) {
	if r.events == nil {
		return
	}
	data := yaml.MapSlice{{Key: "infra_id", Value: infra}}
	for n := 0; n+1 < len(pairs); n += 2 {
		data = append(data, yaml.MapItem{Key: pairs[n], Value: pairs[n+1]})
	}
	text, err := yaml.MarshalWithOptions(data, yaml.Flow(true))
	if err != nil { // texts always can be written
		panic(err)
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	write(r.events, now, levelInfo, fmt.Sprintf("%s ;; %s ;; %d ;; %s", infra, name, now.Unix(), strings.TrimSpace(string(text))))
}

var logField = regexp.MustCompile(`%\((\w+)\)[-#0-9.]*[sd]`)

// logLine fills in a format of Python's logging.
func logLine(format string, now time.Time, level int, message string) string {
	return logField.ReplaceAllStringFunc(format, func(field string) string {
		switch logField.FindStringSubmatch(field)[1] {
		case "asctime":
			return now.Format("2006-01-02 15:04:05") + fmt.Sprintf(",%03d", now.Nanosecond()/1_000_000)
		case "message":
			return message
		case "levelname":
			if level == levelWarning {
				return "WARNING"
			}
			return "INFO"
		case "processName":
			return "MainProcess"
		case "process":
			return fmt.Sprint(os.Getpid())
		case "name":
			return "occo"
		}
		return ""
	})
}
