package occopus

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

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

// openLog opens the outputs of the log that the configuration names; standard output without one.
func (r *run) openLog(c *occopus.Configuration) error {
	for _, name := range c.Log {
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
				return fmt.Errorf("open the log: %w", err)
			}
			r.files = append(r.files, f)
			s.out = f
		case h.Stream == "ext://sys.stderr":
			s.out = r.Err
		}
		r.sinks = append(r.sinks, s)
	}
	if r.sinks == nil {
		r.sinks = []sink{{r.Out, consoleFormat, levelInfo}}
	}
	return nil
}

// log writes a line to the log; every line of the text by itself.
func (r *run) log(format string, args ...any) { r.logAt(levelInfo, format, args...) }

func (r *run) logAt(level int, format string, args ...any) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		for _, s := range r.sinks {
			if level >= s.level {
				fmt.Fprintln(s.out, logLine(s.format, now, level, line))
			}
		}
	}
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
