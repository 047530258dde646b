package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/driver"
)

// A rule is one of a security group.
type rule struct {
	ID        string `json:"id,omitempty"`
	Direction string `json:"direction"`
	Version   string `json:"ethertype"`
	Protocol  string `json:"protocol,omitempty"`
	Min       *int   `json:"port_range_min,omitempty"`
	Max       *int   `json:"port_range_max,omitempty"`
	Network   string `json:"remote_ip_prefix,omitempty"`
	Group     string `json:"remote_group_id,omitempty"` // as it is written in the option: a name
}

// rulesOf reads the rules of an option.
func rulesOf(texts []string) (rules []rule, err error) {
	for _, text := range texts {
		r, err := parseRule(text)
		if err != nil {
			return nil, refuse("rules", fmt.Sprintf("%q: %v; write such as tcp 22 from 10.0.0.0/8", text, err))
		}
		rules = append(rules, r...)
	}
	return rules, nil
}

// parseRule reads [egress] PROTOCOL [PORT[-PORT]] [from|to NETWORK|GROUP]. A rule that names no network is one for each
// version of the protocol.
func parseRule(text string) ([]rule, error) {
	r := rule{Direction: "ingress", Version: "IPv4"}
	words := strings.Fields(text)
	if len(words) > 0 && (words[0] == "egress" || words[0] == "ingress") {
		r.Direction, words = words[0], words[1:]
	}
	if len(words) == 0 {
		return nil, errors.New("it names no protocol")
	}
	r.Protocol, words = strings.ToLower(words[0]), words[1:]
	if r.Protocol == "any" {
		r.Protocol = ""
	}
	if len(words) > 0 && words[0] != "from" && words[0] != "to" {
		low, high, between := strings.Cut(words[0], "-")
		if !between {
			high = low
		}
		from, err := strconv.ParseUint(low, 10, 16)
		to, err2 := strconv.ParseUint(high, 10, 16)
		if err = errors.Join(err, err2); err != nil || from > to {
			return nil, fmt.Errorf("%q is neither a port nor a range of them", words[0])
		}
		if r.Protocol == "" {
			return nil, errors.New("ports need a protocol")
		}
		a, b := int(from), int(to)
		r.Min, r.Max, words = &a, &b, words[1:]
	}
	if len(words) == 0 {
		other := r
		other.Version = "IPv6"
		return []rule{r, other}, nil
	}
	if len(words) != 2 || words[0] != map[bool]string{true: "to", false: "from"}[r.Direction == "egress"] {
		return nil, fmt.Errorf("%q is not understood", strings.Join(words, " "))
	}
	if prefix, err := netip.ParsePrefix(words[1]); err == nil {
		if r.Network = prefix.Masked().String(); prefix.Addr().Is6() {
			r.Version = "IPv6"
		}
		return []rule{r}, nil
	}
	r.Group = words[1]
	other := r
	other.Version = "IPv6"
	return []rule{r, other}, nil
}

// completeRules makes the rules of a security group that it lacks. Where one is about what leaves, nothing else may.
func (c *cloud) completeRules(ctx context.Context, s *services, req *driver.ResourceRequest, options map[string]any, i item) error {
	rules, err := rulesOf(driver.Get[[]string](options, "rules"))
	if err != nil {
		return err
	}
	egress := false
	for _, r := range rules {
		egress = egress || r.Direction == "egress"
	}
	for _, r := range i.Rules { // those that every group begins with
		if egress && r.Direction == "egress" && r.Protocol == "" && r.Network == "" && r.Group == "" {
			if err := s.remove(ctx, securityRules, r.ID); err != nil {
				return err
			}
		}
	}
	for _, r := range rules {
		body := fields{"security_group_id": i.ID, "direction": r.Direction, "ethertype": r.Version}
		if r.Protocol != "" {
			body["protocol"] = r.Protocol
		}
		if r.Protocol == "icmp" && r.Version == "IPv6" {
			body["protocol"] = "ipv6-icmp"
		}
		if r.Min != nil {
			body["port_range_min"], body["port_range_max"] = *r.Min, *r.Max
		}
		if r.Network != "" {
			body["remote_ip_prefix"] = r.Network
		}
		switch r.Group {
		case "":
		case req.Key:
			body["remote_group_id"] = i.ID
		default:
			g, err := c.reference(ctx, s, securityGroups, "rules", req.Service, r.Group)
			if err != nil {
				return err
			}
			body["remote_group_id"] = g.ID
		}
		if _, err := c.post(ctx, s, securityRules, body); err != nil && !exists(err) {
			return err
		}
	}
	return nil
}

var securityRules = collection{"security-group-rules", "security_group_rule"}

// exists reports whether Neutron has such a rule already.
func exists(err error) bool {
	answer, ok := answerOf(err)
	return ok && strings.Contains(string(answer.Body), "SecurityGroupRuleExists")
}
