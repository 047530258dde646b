package dns

import (
	"strings"

	miekg "github.com/miekg/dns"
)

// Names are kept as DNS compares them: in lower case, with the dot of the root at their end.

// CanonicalName returns a full name in the form in which names are kept. Its labels consist of letters, digits, '-' and '_'.
func CanonicalName(text string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(text, ".")) + "."
	if err := checkName(name, false); err != nil {
		return "", err
	}
	return name, nil
}

// checkName refuses what is no name; wild lets its first label be "*".
func checkName(name string, wild bool) error {
	if len(name) > 254 {
		return invalid("a name of %d characters; 253 are the most", len(name)-1)
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		switch {
		case label == "":
			return invalid("the name %.80q has an empty label", name)
		case len(label) > 63:
			return invalid("the label %.20q… of a name has %d characters; 63 are the most", label, len(label))
		case label == "*" && wild && strings.HasPrefix(name, "*."):
		default:
			for _, c := range []byte(label) {
				if !labelByte(c) {
					return invalid("the name %.80q: labels consist of letters, digits, '-' and '_'; write others as punycode (xn--…)", name)
				}
			}
		}
	}
	return nil
}

func labelByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// owner returns the full name of what a record of the zone is about: "" and "@" are the zone itself, a name that ends with
// the zone's is taken as it is, another stands below the zone.
func owner(zone, text string) (string, error) {
	name := strings.ToLower(text)
	switch {
	case name == "" || name == "@":
		return zone, nil
	case within(zone, name+"."):
		name += "."
	case within(zone, name):
	case strings.HasSuffix(name, "."):
		return "", invalid("the name %.80q is not in the zone %s", text, zone)
	default:
		name += "." + zone
	}
	if err := checkName(name, true); err != nil {
		return "", err
	}
	return name, nil
}

// target returns the full name that data of the zone names: "@" is the zone itself, a single label stands below the zone,
// and anything with a dot is a full name.
func target(zone, text string) (string, error) {
	name := strings.ToLower(text)
	switch {
	case name == "@":
		return zone, nil
	case name == "":
		return "", invalid("a name is missing")
	case !strings.Contains(name, "."):
		name += "." + zone
	case !strings.HasSuffix(name, "."):
		name += "."
	}
	if err := checkName(name, false); err != nil {
		return "", err
	}
	return name, nil
}

// within reports whether a name is the zone's or below it.
func within(zone, name string) bool {
	if strings.IndexByte(name, '\\') >= 0 { // a dot may belong to a label
		return miekg.IsSubDomain(zone, name)
	}
	return name == zone || zone == "." || strings.HasSuffix(name, "."+zone)
}

// parent returns the name without its first label; "." for a single label.
func parent(name string) string {
	if i, last := miekg.NextLabel(name, 0); !last {
		return name[i:]
	}
	return "."
}

// Label makes a label of any text: lower case, with '-' for what a label cannot hold; "" when nothing is left.
func Label(text string) string {
	b := make([]byte, 0, min(len(text), 63))
	for _, c := range []byte(strings.ToLower(text)) {
		if len(b) == 63 {
			break
		}
		if !labelByte(c) {
			c = '-'
		}
		b = append(b, c)
	}
	return strings.Trim(string(b), "-")
}

// asked returns a name of a question as names are kept.
func asked(name string) string { return miekg.CanonicalName(name) }
