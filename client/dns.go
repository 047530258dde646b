package client

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

// A DNSServer is what a server answers about by DNS.
type DNSServer struct {
	Address string `json:"address,omitempty" doc:"Where the name server is, HOST:PORT by UDP and TCP; none when it is not served."`
	Zone    string `json:"zone,omitempty" doc:"Instances are called INSTANCE.SERVICE.PROJECT below it, and those of a role that are ready ROLE.SERVICE.PROJECT."`
	// Outputs are what Hurtle's DNS service tells its users.
	Outputs map[string]string `json:"outputs,omitempty" doc:"mcn.endpoint.api and mcn.endpoint.forwarder, as services of Hurtle expect them."`
}

// A NewDNSZone makes a zone.
type NewDNSZone struct {
	Name        string `json:"name" maxLength:"254"`
	Email       string `json:"email,omitempty" doc:"Of who looks after it; hostmaster@NAME when empty." maxLength:"200"`
	TTL         uint32 `json:"ttl,omitempty" doc:"Seconds, of records that have none of their own; 3600 when 0." maximum:"604800"`
	Description string `json:"description,omitempty" maxLength:"255"`
}

// A ChangeDNSZone changes a zone; nil fields stay.
type ChangeDNSZone struct {
	Email       *string `json:"email,omitempty" maxLength:"200"`
	TTL         *uint32 `json:"ttl,omitempty" minimum:"1" maximum:"604800"`
	Description *string `json:"description,omitempty" maxLength:"255"`
}

// A DNSZone is a domain that this server answers for.
type DNSZone struct {
	NewDNSZone
	Project Party       `json:"project"`
	Serial  uint32      `json:"serial" doc:"Grows with every change."`
	Size    int         `json:"size" doc:"How many records and maps it has."`
	Created time.Time   `json:"created"`
	Updated time.Time   `json:"updated"`
	Records []DNSRecord `json:"records,omitempty" doc:"Left out of lists of zones."`
	Maps    []DNSMap    `json:"maps,omitempty" doc:"Left out of lists of zones."`
}

// A NewDNSRecord adds a record to a zone.
type NewDNSRecord struct {
	Name        string  `json:"name,omitempty" doc:"Below the zone, or a full name within it; the zone itself when empty." maxLength:"254"`
	Type        string  `json:"type" enum:"A,AAAA,TXT,MX,PTR,SRV,NS,CNAME,SPF,SSHFP,NAPTR"`
	Data        string  `json:"data" doc:"By the type. A name without a dot is one of the zone." minLength:"1" maxLength:"4000"`
	Priority    *uint16 `json:"priority,omitempty" doc:"Of MX and SRV, and the order of NAPTR, which may also stand at the beginning of data; 10 when left out."`
	TTL         uint32  `json:"ttl,omitempty" doc:"Seconds; the zone's when 0." maximum:"604800"`
	Description string  `json:"description,omitempty" maxLength:"255"`
}

// A ChangeDNSRecord changes a record; nil fields stay.
type ChangeDNSRecord struct {
	Data        *string `json:"data,omitempty" minLength:"1" maxLength:"4000"`
	Priority    *uint16 `json:"priority,omitempty"`
	TTL         *uint32 `json:"ttl,omitempty" doc:"0 for the zone's." maximum:"604800"`
	Description *string `json:"description,omitempty" maxLength:"255"`
}

// A DNSRecord is one of a zone.
type DNSRecord struct {
	ID uint32 `json:"id" doc:"Within the zone."`
	NewDNSRecord
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// A DNSMap answers for a name by where the question comes from.
type DNSMap struct {
	Name  string   `json:"name"`
	Lines []string `json:"lines" doc:"A key and a target each: the number of a country (ISO 3166-1), a network, or 0 for everybody else, and an address or a name." minItems:"1" maxItems:"500"`
}

// DNS returns the calls about DNS zones of the caller's own project.
func (c *Client) DNS() *DNS { return &DNS{c: c} }

// DNS are the calls about DNS zones.
type DNS struct {
	c       *Client
	project string
}

// Of returns the calls about the zones of another project: a group, by name or number.
func (d *DNS) Of(project string) *DNS { return &DNS{d.c, project} }

func (d *DNS) query() url.Values {
	q := url.Values{}
	set(q, "project", d.project)
	return q
}

// Server returns what the server answers about.
func (d *DNS) Server(ctx context.Context) (DNSServer, error) {
	return ask[DNSServer](ctx, d.c, get("dns"))
}

// Zones returns the zones by name, without what they hold.
func (d *DNS) Zones(ctx context.Context) ([]DNSZone, error) {
	return all(pages(func(cursor string) (Page[DNSZone], error) {
		q := d.query()
		setPage(q, 0, cursor)
		return ask[Page[DNSZone]](ctx, d.c, get("dns", "zones").with(q))
	}))
}

// Zone returns a zone with what it holds.
func (d *DNS) Zone(ctx context.Context, name string) (DNSZone, error) {
	return ask[DNSZone](ctx, d.c, get("dns", "zones", name).with(d.query()))
}

// AddZone makes a zone.
func (d *DNS) AddZone(ctx context.Context, n NewDNSZone) (DNSZone, error) {
	return ask[DNSZone](ctx, d.c, post(n, "dns", "zones").with(d.query()))
}

// ChangeZone changes a zone.
func (d *DNS) ChangeZone(ctx context.Context, name string, w ChangeDNSZone) (DNSZone, error) {
	return ask[DNSZone](ctx, d.c, patch(w, "dns", "zones", name).with(d.query()))
}

// RemoveZone removes a zone with all that it holds.
func (d *DNS) RemoveZone(ctx context.Context, name string) error {
	return d.c.do(ctx, remove("dns", "zones", name).with(d.query()), nil)
}

// Add adds a record to a zone.
func (d *DNS) Add(ctx context.Context, zone string, n NewDNSRecord) (DNSRecord, error) {
	return ask[DNSRecord](ctx, d.c, post(n, "dns", "zones", zone, "records").with(d.query()))
}

// Change changes a record.
func (d *DNS) Change(ctx context.Context, zone string, id uint32, w ChangeDNSRecord) (DNSRecord, error) {
	return ask[DNSRecord](ctx, d.c, patch(w, "dns", "zones", zone, "records", recordID(id)).with(d.query()))
}

// Remove removes a record.
func (d *DNS) Remove(ctx context.Context, zone string, id uint32) error {
	return d.c.do(ctx, remove("dns", "zones", zone, "records", recordID(id)).with(d.query()), nil)
}

// PutMap sets the map of a name, in place of the one that it has.
func (d *DNS) PutMap(ctx context.Context, zone, name string, lines []string) (DNSMap, error) {
	return ask[DNSMap](ctx, d.c, put(map[string][]string{"lines": lines}, "dns", "zones", zone, "maps", name).with(d.query()))
}

// RemoveMap removes the map of a name.
func (d *DNS) RemoveMap(ctx context.Context, zone, name string) error {
	return d.c.do(ctx, remove("dns", "zones", zone, "maps", name).with(d.query()), nil)
}

func recordID(id uint32) string { return strconv.FormatUint(uint64(id), 10) }
