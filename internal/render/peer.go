package render

import (
	"encoding/json"
	"slices"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// A Peer is an instance of a role that this one needs.
type Peer struct {
	Name       string            `json:"name"`
	Number     int               `json:"number"`
	Address    string            `json:"address"`   // the first of Addresses
	Addresses  []string          `json:"addresses"` // most useful first
	Attributes map[string]string `json:"attributes"`
}

// Peers are the instances of a role, as templates see them. Make them once and share them between the
// scopes of all instances that need the role: nothing that a template says changes them.
type Peers struct{ views []any }

// PeersOf returns the list for Scope.Roles, in its order. The list must not change afterwards.
func PeersOf(list []Peer) Peers {
	views := make([]any, len(list))
	for i := range list {
		views[i] = view{&list[i]}
	}
	return Peers{views}
}

// A view shows a peer to a template, which cannot write through it.
type view struct{ peer *Peer }

// GetAttribute implements exec.AttributeGetter.
func (v view) GetAttribute(name string) (*exec.Value, bool) { return v.GetItem(name) }

// GetItem implements exec.ItemGetter.
func (v view) GetItem(key any) (*exec.Value, bool) {
	switch key {
	case "name":
		return exec.AsValue(v.peer.Name), true
	case "number":
		return exec.AsValue(v.peer.Number), true
	case "address":
		return exec.AsValue(v.peer.Address), true
	case "addresses":
		return exec.AsValue(slices.Clone(v.peer.Addresses)), true
	case "attributes":
		attributes := make(map[string]any, len(v.peer.Attributes))
		for k, x := range v.peer.Attributes {
			attributes[k] = x
		}
		return exec.AsValue(attributes), true
	}
	return exec.AsValue(nil), false
}

// String returns the peer's name: what {{ roles.db[0] }} prints.
func (v view) String() string { return v.peer.Name }

// MarshalJSON is for tojson.
func (v view) MarshalJSON() ([]byte, error) { return json.Marshal(v.peer) }

// size returns about how many bytes the peer's JSON has.
func (v view) size() int {
	n := 64 + len(v.peer.Name) + len(v.peer.Address)
	for _, a := range v.peer.Addresses {
		n += len(a) + 4
	}
	for k, x := range v.peer.Attributes {
		n += len(k) + len(x) + 8
	}
	return n
}
