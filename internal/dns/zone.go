package dns

import (
	"net/mail"
	"slices"
	"strings"
	"time"

	miekg "github.com/miekg/dns"
)

// A Zone is a domain with its records.
type Zone struct {
	Name        string    `json:"name"`
	Project     int       `json:"project"` // the group that it belongs to
	Email       string    `json:"email"`   // of who looks after it
	TTL         uint32    `json:"ttl"`     // seconds, of records that have none of their own
	Description string    `json:"description,omitempty"`
	Serial      uint32    `json:"serial"` // grows with every change
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	LastID      uint32    `json:"last_id"` // of a record
	Records     []Record  `json:"records,omitempty"`
	Maps        []Map     `json:"maps,omitempty"`
	Revision    int64     `json:"-"` // of the store; changes with every change
}

// NewZone returns an empty zone. A TTL of 0 means DefaultTTL, an empty email hostmaster@NAME.
func NewZone(name, email string, ttl uint32, now time.Time) (Zone, error) {
	full, err := CanonicalName(name)
	if err != nil {
		return Zone{}, err
	}
	if ttl == 0 {
		ttl = DefaultTTL
	}
	if email == "" {
		email = "hostmaster@" + strings.TrimSuffix(full, ".")
	}
	z := Zone{Name: full, Created: now.UTC()}
	err = z.Edit(now, func(z *Zone) { z.TTL, z.Email = ttl, email })
	return z, err
}

// Edit lets edit change email, TTL and description.
func (z *Zone) Edit(now time.Time, edit func(*Zone)) error {
	changed := *z
	edit(&changed)
	if err := checkTTL(changed.TTL); err != nil {
		return err
	}
	if err := checkDescription(changed.Description); err != nil {
		return err
	}
	if _, err := mailbox(changed.Email); err != nil {
		return err
	}
	z.TTL, z.Email, z.Description = changed.TTL, changed.Email, changed.Description
	z.touch(now)
	return nil
}

// touch notes a change: those who keep copies compare serials.
func (z *Zone) touch(now time.Time) {
	z.Updated = now.UTC()
	z.Serial = max(z.Serial+1, uint32(now.Unix()))
}

// Clone returns a copy whose records may be changed.
func (z Zone) Clone() Zone {
	z.Records, z.Maps = slices.Clone(z.Records), slices.Clone(z.Maps)
	for i := range z.Maps {
		z.Maps[i].Lines = slices.Clone(z.Maps[i].Lines)
	}
	return z
}

// mailbox writes an address of e-mail as a name, as a zone's SOA record has it.
func mailbox(email string) (string, error) {
	a, err := mail.ParseAddress(email)
	if err != nil || a.Address != email || len(email) > 200 {
		return "", invalid("%.60q is no address of e-mail", email)
	}
	at := strings.LastIndexByte(email, '@')
	local, domain := email[:at], email[at+1:]
	name := strings.ReplaceAll(escape(local), ".", `\.`) + "." + strings.ToLower(domain) + "."
	if _, ok := miekg.IsDomainName(name); !ok || len(local) > 63 || checkName(strings.ToLower(domain)+".", false) != nil {
		return "", invalid("%.60q is no address of e-mail that DNS can hold", email)
	}
	return name, nil
}
