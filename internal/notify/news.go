package notify

import (
	"strconv"
)

// Kinds of news.
const (
	ServiceState     = "service.state"     // the service is in another state
	ServiceGone      = "service.gone"      // it is no more
	InstanceCreating = "instance.creating" // its machine was asked for
	InstanceUp       = "instance.up"       // it does what it should
	InstanceFailed   = "instance.failed"   // it does not, and waits for help
	InstanceRemoving = "instance.removing" // its machine is being removed
	InstanceGone     = "instance.gone"     // its machine is removed
)

// News are what happened to a service or to one of its instances.
type News struct {
	Kind    string `json:"kind"`
	Service uint64 `json:"service"`
	Name    string `json:"name"`            // of the service
	Alias   string `json:"alias,omitempty"` // the id that its client gave it
	State   string `json:"state"`           // of the service
	// Of an instance; empty in news of the service.
	Role      string   `json:"role,omitempty"`
	Instance  string   `json:"instance,omitempty"` // its name
	ID        string   `json:"id,omitempty"`       // its UUID
	Addresses []string `json:"addresses,omitempty"`
}

// Text says it in words.
func (n *News) Text() string {
	switch n.Kind {
	case ServiceState:
		return "service " + n.Name + " is " + n.State
	case ServiceGone:
		return "service " + n.Name + " is gone"
	}
	return "instance " + n.Instance + " of service " + n.Name + ": " + n.Kind
}

// newsBody is what a webhook gets.
type newsBody struct {
	Event   string `json:"event_id"`
	Kind    string `json:"kind"`
	Millis  int64  `json:"timestamp_ms"`
	Project string `json:"project"`
	Service string `json:"service_id"`
	Name    string `json:"service"`
	Alias   string `json:"alias"`
	State   string `json:"state"`
	// Null in news of the service.
	Instance *newsInstance `json:"instance"`
}

type newsInstance struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Role      string   `json:"role"`
	Addresses []string `json:"addresses"`
}

func (d *Delivery) news() newsBody {
	n := d.Message.News
	b := newsBody{Event: d.EventID(), Kind: n.Kind, Millis: d.Message.Time.UnixMilli(), Project: d.Message.ProjectName,
		Service: strconv.FormatUint(n.Service, 10), Name: n.Name, Alias: n.Alias, State: n.State}
	if n.Instance != "" {
		b.Instance = &newsInstance{n.ID, n.Instance, n.Role, append([]string{}, n.Addresses...)}
	}
	return b
}

// values are what a template sees as news.
func (n *News) values(m *Message) map[string]any {
	addresses := make([]any, len(n.Addresses))
	for i, a := range n.Addresses {
		addresses[i] = a
	}
	return map[string]any{"kind": n.Kind, "service_id": strconv.FormatUint(n.Service, 10), "service": n.Name, "alias": n.Alias, "state": n.State,
		"role": n.Role, "instance": n.Instance, "id": n.ID, "addresses": addresses, "timestamp": m.Time.Unix()}
}
