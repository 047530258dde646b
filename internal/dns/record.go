package dns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Record is one that a user wrote.
type Record struct {
	ID       uint32 `json:"id"`   // within the zone, never used again
	Name     string `json:"name"` // full
	Type     string `json:"type"`
	Data     string `json:"data"`               // without what stands in Priority
	Priority uint16 `json:"priority,omitempty"` // of MX and SRV; the order of NAPTR
	TTL      uint32 `json:"ttl,omitempty"`      // seconds; 0 for the zone's
	// Description is for people.
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
}

// types are those that users may write.
var types = map[string]uint16{
	"A": miekg.TypeA, "AAAA": miekg.TypeAAAA, "TXT": miekg.TypeTXT, "MX": miekg.TypeMX, "PTR": miekg.TypePTR, "SRV": miekg.TypeSRV, "NS": miekg.TypeNS,
	"CNAME": miekg.TypeCNAME, "SPF": miekg.TypeSPF, "SSHFP": miekg.TypeSSHFP, "NAPTR": miekg.TypeNAPTR,
}

// Types are the types of records that users may write, by name.
var Types = []string{"A", "AAAA", "TXT", "MX", "PTR", "SRV", "NS", "CNAME", "SPF", "SSHFP", "NAPTR"}

// Prioritised reports whether records of a type bear a priority of their own.
func Prioritised(typ string) bool { return typ == "MX" || typ == "SRV" || typ == "NAPTR" }

// settle checks a record of the zone and writes name, type, data and priority as they are kept.
func (r *Record) settle(z *Zone) (err error) {
	r.Type = strings.ToUpper(r.Type)
	if types[r.Type] == 0 {
		return invalid("no record type %.20q%s; there are %s", r.Type, nearest.Hint(r.Type, Types), strings.Join(Types, ", "))
	}
	if r.Name, err = owner(z.Name, r.Name); err != nil {
		return err
	}
	if r.TTL != 0 {
		if err := checkTTL(r.TTL); err != nil {
			return err
		}
	}
	if err := checkDescription(r.Description); err != nil {
		return err
	}
	if _, err = r.read(z.Name); err != nil {
		return fmt.Errorf("%s record of %s: %w", r.Type, r.Name, err)
	}
	return nil
}

// rr returns the record as it is answered.
func (r Record) rr(z *Zone) (miekg.RR, error) {
	rr, err := r.read(z.Name)
	if err != nil {
		return nil, err
	}
	*rr.Header() = miekg.RR_Header{Name: r.Name, Rrtype: types[r.Type], Class: miekg.ClassINET, Ttl: cmp.Or(r.TTL, z.TTL)}
	return rr, nil
}

// Add puts a new record into the zone.
func (z *Zone) Add(r Record, now time.Time) (Record, error) {
	if len(z.Records) >= MaxRecords {
		return r, fmt.Errorf("%w: %s has %d records, which is the most", ErrFull, z.Name, MaxRecords)
	}
	if err := r.settle(z); err != nil {
		return r, err
	}
	if err := z.fits(&r); err != nil {
		return r, err
	}
	z.LastID++
	r.ID, r.Created, r.Updated = z.LastID, now.UTC(), now.UTC()
	z.Records = append(z.Records, r)
	z.touch(now)
	return r, nil
}

// fits refuses a record that another of the zone excludes.
func (z *Zone) fits(r *Record) error {
	if z.mapOf(r.Name) >= 0 {
		return fmt.Errorf("%w: %s has a map, and nothing stands beside that", ErrExists, r.Name)
	}
	if r.Type == "CNAME" && r.Name == z.Name {
		return invalid("the zone itself cannot be an alias (CNAME): it has records of its own")
	}
	for i := range z.Records {
		o := &z.Records[i]
		if o.ID == r.ID || o.Name != r.Name {
			continue
		}
		switch {
		case o.Type == r.Type && o.Data == r.Data && o.Priority == r.Priority:
			return fmt.Errorf("%w: %s has this %s record", ErrExists, r.Name, r.Type)
		case o.Type == "CNAME" || r.Type == "CNAME":
			return fmt.Errorf("%w: %s has a record of type %s, and an alias (CNAME) stands alone", ErrExists, r.Name, o.Type)
		}
	}
	return nil
}

// Change lets edit change data, priority, TTL and description of a record.
func (z *Zone) Change(id uint32, now time.Time, edit func(*Record)) (Record, error) {
	i := slices.IndexFunc(z.Records, func(r Record) bool { return r.ID == id })
	if i < 0 {
		return Record{}, fmt.Errorf("%w: %s has no record %d", ErrMissing, z.Name, id)
	}
	before := z.Records[i]
	r := before
	edit(&r)
	r.ID, r.Name, r.Type, r.Created, r.Updated = before.ID, before.Name, before.Type, before.Created, now.UTC()
	if err := r.settle(z); err != nil {
		return before, err
	}
	if err := z.fits(&r); err != nil {
		return before, err
	}
	z.Records[i] = r
	z.touch(now)
	return r, nil
}

// Remove takes a record out of the zone.
func (z *Zone) Remove(id uint32, now time.Time) error {
	i := slices.IndexFunc(z.Records, func(r Record) bool { return r.ID == id })
	if i < 0 {
		return fmt.Errorf("%w: %s has no record %d", ErrMissing, z.Name, id)
	}
	z.Records = slices.Delete(z.Records, i, i+1)
	z.touch(now)
	return nil
}

// Find returns the records of a name, as users write it, and of a type unless that is "", in the order in which they were added.
func (z *Zone) Find(name, typ string) ([]Record, error) {
	full, err := owner(z.Name, name)
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, r := range z.Records {
		if r.Name == full && (typ == "" || strings.EqualFold(r.Type, typ)) {
			out = append(out, r)
		}
	}
	return out, nil
}
