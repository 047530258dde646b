package dns

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/dns"
)

// success is the whole body of an answer that has nothing to tell.
const success = 1

// maxBody is as much as the largest map takes.
const maxBody = 1 << 20

// A request is the body of any: each call reads its part.
type request struct {
	Name       text            `json:"name"` // of a new domain
	Email      text            `json:"email"`
	TTL        text            `json:"ttl"`
	Domain     text            `json:"domain_name"`
	Record     text            `json:"record_name"`
	RecordType text            `json:"record_type"`
	Type       text            `json:"type"` // as the interface's manual calls it
	Data       text            `json:"data"`
	Priority   text            `json:"priority"`
	Parameter  text            `json:"parameter_to_update"`
	Geo        []text          `json:"geoInfo"`
	Remove     json.RawMessage `json:"infoToRemove"`
}

// recordType is the type that a request names, under either key; "" for none.
func (in *request) recordType() string {
	if t := strings.TrimSpace(string(in.RecordType)); t != "" {
		return strings.ToUpper(t)
	}
	return strings.ToUpper(strings.TrimSpace(string(in.Type)))
}

// A text is a string, or a number, which some clients send in its place; null is "".
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	switch {
	case bytes.Equal(b, []byte("null")):
		*t = ""
		return nil
	case len(b) > 0 && b[0] == '"':
		return json.Unmarshal(b, (*string)(t))
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return errors.New("give a text or a number")
	}
	*t = text(n)
	return nil
}

// number reads a whole number of at most so many bits; fallback where there is none.
func (t text) number(what string, bits int, fallback uint64) (uint64, error) {
	if t == "" {
		return fallback, nil
	}
	n, err := strconv.ParseUint(string(t), 10, bits)
	if err != nil {
		return 0, wrong("%s is no whole number from 0 to %d", what, uint64(1)<<bits-1)
	}
	return n, nil
}

// read reads the body of a request; none is an empty one.
func read(r *http.Request) (*request, error) {
	api.LimitBody(r, maxBody)
	body, err := api.ReadBody(r)
	in := new(request)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return in, err
	}
	return in, api.UnmarshalJSON(body, in)
}

// stamp is how times are written.
const stamp = "2006-01-02T15:04:05.000000"

// A domain is one as the interface shows it.
type domain struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Email       string  `json:"email"`
	TTL         uint32  `json:"ttl"`
	Serial      uint32  `json:"serial"`
	Description *string `json:"description"`
	Created     string  `json:"created_at"`
	Updated     string  `json:"updated_at"`
}

func zoneID(z *dns.Zone) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(z.Name)) }

func domainOf(z *dns.Zone) domain {
	return domain{ID: zoneID(z).String(), Name: z.Name, Email: z.Email, TTL: z.TTL, Serial: z.Serial, Description: orNull(z.Description), Created: z.Created.UTC().Format(stamp), Updated: z.Updated.UTC().Format(stamp)}
}

// A record is one as the interface shows it.
type record struct {
	ID          string  `json:"id"`
	Domain      string  `json:"domain_id"`
	Name        string  `json:"name"`
	Type        string  `json:"type"`
	Data        string  `json:"data"`
	Priority    *uint16 `json:"priority"`
	TTL         *uint32 `json:"ttl"`
	Description *string `json:"description"`
	Created     string  `json:"created_at"`
	Updated     string  `json:"updated_at"`
}

func recordOf(z *dns.Zone, r *dns.Record) record {
	zone := zoneID(z)
	out := record{ID: uuid.NewSHA1(zone, strconv.AppendUint(nil, uint64(r.ID), 10)).String(), Domain: zone.String(), Name: r.Name, Type: r.Type, Data: r.Data,
		Description: orNull(r.Description), Created: r.Created.UTC().Format(stamp), Updated: r.Updated.UTC().Format(stamp)}
	if dns.Prioritised(r.Type) {
		out.Priority = &r.Priority
	}
	if r.Type == "NAPTR" { // its clients write the order with the data
		out.Data = strconv.FormatUint(uint64(r.Priority), 10) + " " + r.Data
	}
	if r.TTL != 0 {
		out.TTL = &r.TTL
	}
	return out
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// now is when a change is made.
func now() time.Time { return time.Now() }
