package render

import (
	"encoding/json"
	"time"

	"github.com/troupe-dev/troupe/internal/jinja"
)

// A Peer is an instance of a role that this one needs.
type Peer struct {
	Name       string            `json:"name"`
	Number     int               `json:"number"`
	Address    string            `json:"address"`   // the first of Addresses
	Addresses  []string          `json:"addresses"` // most useful first
	Attributes map[string]string `json:"attributes"`
	// UUID returns what instance.uuid is to the instance itself; it is worked out for the few templates that ask.
	// Native is the back end's own id of the machine, Created when the instance was wished for.
	UUID    func() string `json:"-"`
	Native  string        `json:"-"`
	Created time.Time     `json:"-"`
}

// private is the address within the back end: the second, where there are two.
func (p *Peer) private() string {
	if len(p.Addresses) > 1 {
		return p.Addresses[1]
	}
	return p.Address
}

// Peers are the instances of a role, as templates see them. Make them once and share them between the
// scopes of all instances that need the role: nothing that a template says changes them.
type Peers struct {
	list  []Peer
	views *jinja.List
}

// PeersOf returns the list for Scope.Roles, in its order. The list must not change afterwards.
func PeersOf(list []Peer) Peers {
	views := make([]view, len(list))
	for i := range list {
		views[i] = view{&list[i]}
	}
	return Peers{list, jinja.NewList(views)}
}

// A view shows a peer to a template. It is a jinja.Object.
type view struct{ peer *Peer }

// Attr returns a field of the peer.
func (v view) Attr(name string) (any, bool) {
	switch name {
	case "name":
		return v.peer.Name, true
	case "number":
		return v.peer.Number, true
	case "address":
		return v.peer.Address, true
	case "addresses":
		return v.peer.Addresses, true
	case "attributes":
		return v.peer.Attributes, true
	case "uuid":
		if v.peer.UUID == nil {
			return "", true
		}
		return v.peer.UUID(), true
	}
	return nil, false
}

// Names returns the names of the peer's fields.
func (v view) Names() []string { return peerFields }

var peerFields = []string{"name", "number", "address", "addresses", "attributes", "uuid"}

// String returns the peer's name: what {{ roles.db[0] }} prints.
func (v view) String() string { return v.peer.Name }

// MarshalJSON is for tojson.
func (v view) MarshalJSON() ([]byte, error) { return json.Marshal(v.peer) }
