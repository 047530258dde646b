package occi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// The media types.
const (
	TextPlain     = "text/plain"
	TextOCCI      = "text/occi"
	TextURIList   = "text/uri-list"
	TextOCCIPlain = "text/occi+plain" // another name of text/plain
	JSON          = "application/occi+json"
	PlainJSON     = "application/json" // another name of application/occi+json
)

// offered are the types of answers; of those that a client likes equally, the earlier is better.
var offered = []string{TextPlain, TextOCCI, JSON, PlainJSON, TextURIList, TextOCCIPlain}

// negotiate returns the type of the answer to a request that accepts those of the header, or "" if there is none. byDefault is
// what answers a client that does not care.
func negotiate(accept []string, byDefault string) string {
	if len(accept) == 0 {
		return byDefault
	}
	best, bestQ, said := "", 0.0, false
	offer := func(name string, q float64) {
		if q > bestQ {
			best, bestQ = name, q
		}
	}
	for _, line := range accept {
		for item := range strings.SplitSeq(line, ",") {
			media, parameters, _ := strings.Cut(item, ";")
			if media = trim(media); media == "" {
				continue
			}
			said = true
			q := quality(parameters)
			switch {
			case media == "*/*" || media == "*":
				offer(byDefault, q)
			case strings.EqualFold(media, "text/*"):
				offer(TextPlain, q)
			case strings.EqualFold(media, "application/*"):
				offer(JSON, q)
			default:
				for _, name := range offered {
					if strings.EqualFold(media, name) {
						offer(name, q)
					}
				}
			}
		}
	}
	if !said {
		return byDefault
	}
	return best
}

// quality returns the q of an item's parameters.
func quality(parameters string) float64 {
	if parameters == "" {
		return 1
	}
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(trim(name), "q") {
			q, err := strconv.ParseFloat(trim(value), 64)
			if err != nil || q < 0 || q > 1 {
				return 1
			}
			return q
		}
	}
	return 1
}

// mediaType returns the type of a Content-Type, without its parameters.
func mediaType(h http.Header) string {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(trim(media))
}

// read reads what a request or an answer says.
func (m *message) read(media string, h http.Header, body []byte) ([]*message, error) {
	switch media {
	case TextOCCI:
		return []*message{m}, m.readHeaders(h)
	case TextPlain, TextOCCIPlain:
		return []*message{m}, m.readPlain(string(body))
	case TextURIList:
		return []*message{m}, m.readURIs(string(body))
	case JSON, PlainJSON:
		return m.readJSON(body)
	}
	return nil, Errorf(http.StatusUnsupportedMediaType, "this service does not read %s; send %s, %s or %s",
		fmt.Sprintf("%.60q", media), TextOCCI, TextPlain, JSON)
}
