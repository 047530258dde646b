package jinja

import (
	"iter"
	"regexp"
	"strings"
)

var (
	rawBegin = regexp.MustCompile(`^\{%[-+]?\s*raw\s*([-+]?)%\}`)
	rawEnd   = regexp.MustCompile(`\{%([-+]?)\s*endraw\s*([-+]?)%\}`)
)

const blanks = " \t\n\r\v\f"

// A Part is a stretch of a template: a tag with its braces, or what stands between tags.
type Part struct {
	Text string
	Tag  bool
}

// Split takes a template apart into tags and what stands between them; comments are tags, what raw encloses is
// not. A tag without an end is text.
func Split(template string) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		text := 0
		for at := 0; ; {
			begin := at + nextTag(template[at:])
			end, raw := tagEnd(template, begin)
			if begin == len(template) || end < 0 {
				if text < len(template) {
					yield(Part{template[text:], false})
				}
				return
			}
			if begin > text && !yield(Part{template[text:begin], false}) || !yield(Part{template[begin:end], true}) {
				return
			}
			at, text = end, end
			if !raw {
				continue
			}
			if m := rawEnd.FindStringIndex(template[end:]); m != nil {
				if m[0] > 0 && !yield(Part{template[end : end+m[0]], false}) || !yield(Part{template[end+m[0] : end+m[1]], true}) {
					return
				}
				at, text = end+m[1], end+m[1]
			}
		}
	}
}

// tagEnd returns where the tag ends that begins there, -1 for never, and whether it begins what is raw.
func tagEnd(s string, at int) (end int, raw bool) {
	if at >= len(s) {
		return -1, false
	}
	if m := rawBegin.FindStringIndex(s[at:]); m != nil {
		return at + m[1], true
	}
	closing := map[byte]string{'#': "#}", '%': "%}", '{': "}}"}[s[at+1]]
	open, quote := 0, byte(0)
	for i := at + 2; i < len(s); i++ {
		c := s[i]
		switch {
		case closing == "#}":
			if strings.HasPrefix(s[i:], closing) {
				return i + 2, false
			}
		case quote != 0:
			if c == '\\' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case open == 0 && strings.HasPrefix(s[i:], closing):
			return i + 2, false
		case strings.IndexByte("([{", c) >= 0:
			open++
		case strings.IndexByte(")]}", c) >= 0:
			open = max(open-1, 0)
		}
	}
	return -1, false
}

// nextTag returns where the next tag begins, or the length of the text.
func nextTag(s string) int {
	for at := 0; ; {
		i := strings.IndexByte(s[at:], '{')
		if i < 0 || at+i+1 >= len(s) {
			return len(s)
		}
		at += i
		if c := s[at+1]; c == '{' || c == '%' || c == '#' {
			return at
		}
		at++
	}
}
