package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// DecodeText adds samples in the Prometheus text exposition format (version 0.0.4, with the quoted names of 1.0.0).
// A sample without a time stamp was taken now. An error names the line.
func DecodeText(b *Batch, body []byte, now time.Time) error {
	for number := 1; len(body) > 0; number++ {
		line := body
		if end := bytes.IndexByte(body, '\n'); end >= 0 {
			line, body = body[:end], body[end+1:]
		} else {
			body = nil
		}
		p := textLine{b: b, raw: bytes.TrimSpace(line)}
		if len(p.raw) == 0 || p.raw[0] == '#' {
			continue
		}
		if err := p.sample(now); err != nil {
			if errors.Is(err, ErrTooLarge) {
				return err
			}
			return fmt.Errorf("%w: line %d: %w", ErrSyntax, number, err)
		}
	}
	return nil
}

// A textLine is one sample that is being read.
type textLine struct {
	b   *Batch
	raw []byte
}

func (p *textLine) sample(now time.Time) error {
	from := p.b.begin()
	name := view(p.word())
	p.blanks()
	if p.take('{') {
		quoted, err := p.labels()
		if err != nil {
			return err
		}
		switch {
		case name == "":
			name = quoted
		case quoted != "":
			return fmt.Errorf("the metric is named twice, %s and %s", name, quoted)
		}
	}
	if name == "" {
		return errors.New("want the name of a metric")
	}
	value, err := strconv.ParseFloat(view(p.field()), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("the value of %.80s is no number", name)
	}
	at := now.UnixMilli()
	if raw := p.field(); len(raw) > 0 {
		if at, err = strconv.ParseInt(view(raw), 10, 64); err != nil {
			return fmt.Errorf("the time stamp of %.80s is no whole number of milliseconds", name)
		}
	}
	if p.blanks(); len(p.raw) > 0 && p.raw[0] != '#' {
		return fmt.Errorf("something follows the sample of %.80s", name)
	}
	if err := p.b.end(name, from); err != nil {
		return err
	}
	return p.b.point(at, value)
}

// labels reads up to the closing brace. A quoted text that stands alone names the metric.
func (p *textLine) labels() (metric string, err error) {
	for {
		if p.blanks(); p.take('}') {
			return metric, nil
		}
		var name string
		quoted := len(p.raw) > 0 && p.raw[0] == '"'
		if quoted {
			if name, err = p.quoted(); err != nil {
				return "", err
			}
		} else {
			name = view(p.word())
		}
		p.blanks()
		switch {
		case name == "":
			return "", errors.New("want the name of a label")
		case p.take('='):
			p.blanks()
			value, err := p.quoted()
			if err != nil {
				return "", fmt.Errorf("label %.80s: %w", name, err)
			}
			p.b.label(name, value)
		case quoted && metric == "":
			metric = name
		default:
			return "", fmt.Errorf("label %.80s has no value", name)
		}
		if p.blanks(); !p.take(',') && (len(p.raw) == 0 || p.raw[0] != '}') {
			return "", errors.New("want , or } after a label")
		}
	}
}

// quoted reads a text in quotes; \\ \" and \n are escapes.
func (p *textLine) quoted() (string, error) {
	if !p.take('"') {
		return "", errors.New(`want "`)
	}
	plain := bytes.IndexAny(p.raw, `"\`)
	if plain >= 0 && p.raw[plain] == '"' {
		out := view(p.raw[:plain])
		p.raw = p.raw[plain+1:]
		return out, nil
	}
	from := len(p.b.text)
	for i := 0; i < len(p.raw); i++ {
		switch c := p.raw[i]; c {
		case '"':
			p.raw = p.raw[i+1:]
			return view(p.b.text[from:]), nil
		case '\\':
			if i++; i == len(p.raw) {
				return "", errors.New("the closing quote is missing")
			}
			switch c := p.raw[i]; c {
			case 'n':
				p.b.text = append(p.b.text, '\n')
			case '"', '\\':
				p.b.text = append(p.b.text, c)
			default:
				return "", fmt.Errorf(`unknown escape \%c`, c)
			}
		default:
			p.b.text = append(p.b.text, c)
		}
	}
	return "", errors.New("the closing quote is missing")
}

func (p *textLine) blanks() {
	for len(p.raw) > 0 && (p.raw[0] == ' ' || p.raw[0] == '\t') {
		p.raw = p.raw[1:]
	}
}

func (p *textLine) take(c byte) bool {
	if len(p.raw) == 0 || p.raw[0] != c {
		return false
	}
	p.raw = p.raw[1:]
	return true
}

// word takes what may stand in an unquoted name.
func (p *textLine) word() []byte {
	i := 0
	for ; i < len(p.raw); i++ {
		c := p.raw[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' || i > 0 && c >= '0' && c <= '9') {
			break
		}
	}
	out := p.raw[:i]
	p.raw = p.raw[i:]
	return out
}

// field takes what stands up to the next blank.
func (p *textLine) field() []byte {
	p.blanks()
	end := bytes.IndexAny(p.raw, " \t")
	if end < 0 {
		end = len(p.raw)
	}
	out := p.raw[:end]
	p.raw = p.raw[end:]
	return out
}
