package openstack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/troupe-dev/troupe/driver"
)

// An item is anything of Neutron's, with those of its fields that matter here.
type item struct {
	ID              string   `json:"id"`
	Name            string   `json:"name"`
	Description     string   `json:"description"`
	Status          string   `json:"status"`
	Tags            []string `json:"tags"`
	NetworkID       string   `json:"network_id"`
	Gateway         *gateway `json:"external_gateway_info"`
	CIDR            string   `json:"cidr"`
	GatewayIP       string   `json:"gateway_ip"`
	FixedIPs        []fixed  `json:"fixed_ips"`
	MAC             string   `json:"mac_address"`
	DeviceID        string   `json:"device_id"`
	DeviceOwner     string   `json:"device_owner"`
	Floating        string   `json:"floating_ip_address"`
	FloatingNetwork string   `json:"floating_network_id"`
	PortID          string   `json:"port_id"`
	PortDetails     struct {
		MAC string `json:"mac_address"`
	} `json:"port_details"`
	Revision       int      `json:"revision_number"`
	SecurityGroups []string `json:"security_groups"`
	Rules          []rule   `json:"security_group_rules"`
}

type gateway struct {
	FixedIPs []fixed `json:"external_fixed_ips"`
}

type fixed struct {
	Subnet  string `json:"subnet_id,omitempty"`
	Address string `json:"ip_address,omitempty"`
}

// address returns the first of a port.
func (i *item) address() string {
	if len(i.FixedIPs) == 0 {
		return ""
	}
	return i.FixedIPs[0].Address
}

// A collection is a kind of thing of Neutron's: its name in addresses and in texts.
type collection struct{ path, one string }

var (
	networks       = collection{"networks", "network"}
	subnets        = collection{"subnets", "subnet"}
	routers        = collection{"routers", "router"}
	ports          = collection{"ports", "port"}
	floatings      = collection{"floatingips", "floatingip"}
	securityGroups = collection{"security-groups", "security_group"}
)

// many is the key of a list.
func (k collection) many() string { return k.one + "s" }

// fields are the body of a request.
type fields = map[string]any

// list returns those things that have the given values: names and values in turn.
func (s *services) list(ctx context.Context, kind collection, query ...string) (all []item, err error) {
	values := url.Values{}
	for n := 0; n+1 < len(query); n += 2 {
		values.Add(query[n], query[n+1])
	}
	at := s.neutron.ServiceURL(kind.path) + "?" + values.Encode()
	for at != "" {
		var page map[string]json.RawMessage
		if _, err := s.neutron.Get(ctx, at, &page, nil); err != nil {
			return nil, err
		}
		var items []item
		if err := into(page, kind.many(), &items); err != nil {
			return nil, err
		}
		all = append(all, items...)
		at = next(page[kind.many()+"_links"])
	}
	return all, nil
}

// next finds the address of the next page.
func next(links json.RawMessage) string {
	var list []struct{ Rel, Href string }
	_ = json.Unmarshal(links, &list) // absent where there is one page
	for _, l := range list {
		if l.Rel == "next" {
			return l.Href
		}
	}
	return ""
}

// into decodes what an answer has under a key.
func into(answer map[string]json.RawMessage, key string, to any) error {
	if err := json.Unmarshal(answer[key], to); err != nil {
		return fmt.Errorf("read Neutron's answer, %s: %w", key, err)
	}
	return nil
}

func (s *services) get(ctx context.Context, kind collection, id string) (i item, err error) {
	var answer map[string]json.RawMessage
	if _, err = s.neutron.Get(ctx, s.neutron.ServiceURL(kind.path, id), &answer, nil); err == nil {
		err = into(answer, kind.one, &i)
	}
	return i, err
}

// post makes a thing. The request goes on when ctx ends.
func (c *cloud) post(ctx context.Context, s *services, kind collection, body fields) (i item, err error) {
	if err := ctx.Err(); err != nil {
		return i, err
	}
	ctx, cancel := c.making(ctx)
	defer cancel()
	var answer map[string]json.RawMessage
	if _, err = s.neutron.Post(ctx, s.neutron.ServiceURL(kind.path), fields{kind.one: body}, &answer, nil); err == nil {
		err = into(answer, kind.one, &i)
	}
	return i, err
}

func (s *services) put(ctx context.Context, body fields, path ...string) error {
	_, err := s.neutron.Put(ctx, s.neutron.ServiceURL(path...), body, nil, &gophercloud.RequestOpts{OkCodes: []int{200}})
	return err
}

// remove removes a thing, if it is there.
func (s *services) remove(ctx context.Context, kind collection, id string) error {
	_, err := s.neutron.Delete(ctx, s.neutron.ServiceURL(kind.path, id), nil)
	return gone(err)
}

// reference finds what an option means: a resource of the service by its key, or else what has that name or id.
func (c *cloud) reference(ctx context.Context, s *services, kind collection, option, service, text string) (item, error) {
	found, err := s.list(ctx, kind, "tags", strings.Join([]string{c.mark(), serviceTag(service), keyTag(text)}, ","))
	if err != nil {
		return item{}, err
	}
	if len(found) > 0 {
		return found[0], nil
	}
	if found, err = s.list(ctx, kind, "name", text); err == nil && len(found) == 0 && isID(text) {
		found, err = s.list(ctx, kind, "id", text)
	}
	what := strings.ReplaceAll(kind.one, "_", " ")
	switch {
	case err != nil:
		return item{}, err
	case len(found) == 0:
		return item{}, refuse(option, fmt.Sprintf("there is no %s %q, neither a resource of the service nor one of the project", what, text))
	case len(found) > 1:
		return item{}, refuse(option, fmt.Sprintf("there are %d %ss %q; give the id", len(found), what, text))
	case c.foreign(&found[0], service):
		return item{}, refuse(option, fmt.Sprintf("%s %q is a resource of another service", what, text))
	}
	return found[0], nil
}

// foreign reports whether a thing is a resource of another service than this.
func (c *cloud) foreign(i *item, service string) bool {
	if !strings.HasPrefix(i.Description, "Troupe ") {
		return false
	}
	return !slices.Contains(i.Tags, c.mark()) || !slices.Contains(i.Tags, serviceTag(service))
}

func serviceTag(service string) string { return tag("service=" + service) }
func keyTag(key string) string         { return tag("name=" + key) }

// isID reports whether a text has the form of an id.
func isID(text string) bool {
	return len(text) == 36 && strings.Count(text, "-") == 4 && strings.Trim(text, "0123456789abcdef-") == ""
}

// problem gives its class to what a request for a thing was refused with because something that it names is not there.
func problem(err error) error {
	if missing(err) {
		return fmt.Errorf("%w: %s", driver.ErrInvalid, wordsOf(err))
	}
	return err
}
