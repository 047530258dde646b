package occopus

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/client"
)

// A follower tells in the log what becomes of the instances of an infrastructure.
type follower struct {
	*run
	client *client.Client
	id     string // the infrastructure's
	ref    string // the service's
	seen   map[uint32]member
	// errors are what went wrong, newest last.
	errors []string
	// failed and removed are the names of instances that have failed or were removed, as events told.
	failed, removed map[string]bool
	// known are the names of the instances that there were; mishap is what befell the first one that is not among them.
	known  map[string]bool
	mishap string
	// leaving: all instances are being removed.
	leaving bool
	// troubles are why back ends do not answer, by their keys.
	troubles map[string]string
}

// A member is an instance as it was last told of.
type member struct {
	node, uuid, name string
	asked, up, going bool
	addresses        []string
	backend          string // the key of the one that makes its machine
}

// String names the instance as Occopus does.
func (m *member) String() string { return fmt.Sprintf("'%s'/'%s'", m.node, m.uuid) }

func (r *run) follow(c *client.Client, id string, s *client.Service) *follower {
	return &follower{run: r, client: c, id: id, ref: s.Ref(), seen: map[uint32]member{}, failed: map[string]bool{}, removed: map[string]bool{}, troubles: map[string]string{}}
}

// acquaint takes in the instances that there are without telling of them.
func (f *follower) acquaint(ctx context.Context) error {
	f.known = map[string]bool{}
	for i, err := range f.client.Services().Instances(ctx, f.ref, client.InstanceFilter{Limit: 1000}) {
		if err != nil {
			return err
		}
		m := memberOf(&i)
		m.going = false // that it is to go is told with the others
		f.seen[i.Serial], f.known[i.Name] = m, true
	}
	return nil
}

func memberOf(i *client.Instance) member {
	m := member{node: i.Role, uuid: i.UUID, name: i.Name, addresses: i.Addresses}
	switch i.Phase {
	case "queued", "backoff":
	case "stopping", "replacing":
		m.asked, m.going = true, true
	case "up", "parked", "finished":
		m.asked, m.up = true, true
	default:
		m.asked = true
	}
	m.backend = strings.TrimSuffix(i.Driver+":"+i.Account, ":")
	return m
}

// look reads the instances and tells what has changed.
func (f *follower) look(ctx context.Context) error {
	there := map[uint32]bool{}
	var bad, parted []member
	for i, err := range f.client.Services().Instances(ctx, f.ref, client.InstanceFilter{Limit: 1000}) {
		if client.IsNotFound(err) { // the service is gone, with all instances
			break
		}
		if err != nil {
			return err
		}
		there[i.Serial] = true
		was, now := f.seen[i.Serial], memberOf(&i)
		if now.going && !was.going && was.up {
			bad = append(bad, now)
		}
		f.tell(&was, &now)
		now.asked = now.asked || was.asked
		f.seen[i.Serial] = now
	}
	// The youngest first: the last to be made are the first to go.
	for _, serial := range slices.Backward(slices.Sorted(maps.Keys(f.seen))) {
		if was := f.seen[serial]; !there[serial] {
			delete(f.seen, serial)
			switch {
			case was.asked && !was.going:
				parted = append(parted, was)
			case was.going:
				f.nodeEvent("nodedropped", &was)
			}
		}
	}
	if f.leaving || len(bad)+len(parted) == 0 {
		f.part(nil, parted)
		return nil
	}
	story, err := f.client.Services().Events(ctx, f.ref, 1000)
	if err != nil && !client.IsNotFound(err) {
		return err
	}
	for _, e := range story {
		f.note(&e)
	}
	f.part(bad, parted)
	return nil
}

// note takes in what an event says of an instance.
func (f *follower) note(e *client.Event) {
	switch {
	case e.Instance == "":
	case e.Error:
		f.failed[e.Instance] = true
	case e.Message == e.Instance+" is gone":
		f.removed[e.Instance] = true
	}
}

// part tells of the instances that are on their way out, those of bad, and of those that are out.
func (f *follower) part(bad, parted []member) {
	var failed, lost []string
	for _, m := range bad {
		if f.failed[m.name] {
			failed = append(failed, m.uuid)
		}
	}
	for n := range parted {
		m := &parted[n]
		switch {
		case f.leaving || f.removed[m.name] && !f.failed[m.name] || !m.up:
			f.dropping(m)
			f.nodeEvent("nodedropped", m)
		case f.failed[m.name]:
			failed = append(failed, m.uuid)
			f.dropping(m)
			f.nodeEvent("nodedropped", m)
		default:
			lost = append(lost, m.uuid)
		}
	}
	if len(failed) > 0 {
		f.log("Archiving failed instances of '%s': %s", f.id, listOf(failed))
	}
	if len(lost) > 0 {
		f.log("Removing lost instances from '%s': %s", f.id, listOf(lost))
	}
}

// tell logs what has become of one instance.
func (f *follower) tell(was, now *member) {
	if now.asked && !was.asked && !now.going {
		f.nodeEvent("nodecreating", now)
		f.log("Creating node %s", now)
		f.log("Waiting for node %s to become ready. No timeout.", now)
	}
	if now.up && !was.up {
		f.log("Health checking for node %s", now)
		f.log("Health checking result: ready")
		f.log("Node %s is ready.", now)
		f.nodeEvent("nodecreated", now)
	}
	if now.going && !was.going {
		f.dropping(now)
	}
}

// dropping tells that a node is being removed.
func (f *follower) dropping(m *member) {
	f.nodeEvent("nodedropping", m)
	f.log("Dropping node %s", m)
}

// nodeEvent puts what happens to a node into the log of events.
func (f *follower) nodeEvent(name string, m *member) {
	if name == "nodecreating" {
		f.event(f.id, name, "node_id", m.uuid, "node_name", m.node)
		return
	}
	f.event(f.id, name, "endpoint", m.backend, "node_id", m.uuid, "node_name", m.node)
}

// listOf shows texts as Python does.
func listOf(texts []string) string { return "['" + strings.Join(texts, "', '") + "']" }

// until follows the service until done says so or it is gone, and returns it as it is then: with the state client.Gone.
func (f *follower) until(ctx context.Context, done func(*client.Service) bool) (client.Service, error) {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	defer func() { stop(); <-ended }()
	changed := make(chan []client.Event, 1)
	var failure error
	go func() { // until waits for it
		defer close(ended)
		defer close(changed)
		for change, err := range f.client.Watch(ctx, client.WatchOptions{Service: f.ref, Now: true}) {
			if err != nil {
				if !client.IsNotFound(err) {
					failure = err
				}
				return
			}
			events := change.Events
			select {
			case before := <-changed: // not looked at yet: once for both
				events = append(before, events...)
			default:
			}
			changed <- events
		}
	}()
	patience := time.NewTicker(time.Second)
	defer patience.Stop()
	for {
		var events []client.Event
		open := true
		select {
		case <-patience.C:
			f.tellTroubles(ctx)
			continue
		case events, open = <-changed:
		case <-ctx.Done():
			return client.Service{}, ctx.Err()
		}
		for _, e := range events {
			if !e.Error {
				continue
			}
			f.errors = append(f.errors, e.Message)
			if f.known != nil && e.Instance != "" && !f.known[e.Instance] && f.mishap == "" {
				f.mishap = e.Message
			}
		}
		s, err := f.client.Services().Get(ctx, f.ref)
		gone := client.IsNotFound(err)
		if err != nil && !gone {
			return s, err
		}
		if err := f.look(ctx); err != nil {
			return s, err
		}
		switch {
		case gone:
			return client.Service{State: client.Gone}, nil
		case done(&s):
			return s, nil
		case !open && failure != nil:
			return s, failure
		case !open: // the watch of one service ends with it
			return client.Service{State: client.Gone}, ctx.Err()
		}
	}
}

// tellTroubles logs of the back ends that do not answer, where instances wait for them.
func (f *follower) tellTroubles(ctx context.Context) {
	waiting := map[string]bool{}
	for _, m := range f.seen {
		if m.asked && !m.up || m.going {
			waiting[m.backend] = true
		}
	}
	if len(waiting) == 0 {
		return
	}
	status, err := f.client.Status(ctx)
	if err != nil { // it is told to administrators alone
		return
	}
	for _, b := range status.Backends {
		if waiting[b.Key] && b.Error != "" && f.troubles[b.Key] == "" {
			f.logAt(levelWarning, "Nodes wait for %s: %s", b.Key, b.Error)
		}
		f.troubles[b.Key] = b.Error
	}
}

// listing prints the nodes, their instances and the addresses of these. text chooses nodes by a part of their names.
func (f *follower) listing(ctx context.Context, text string) error {
	nodes, members, err := f.members(ctx, text)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		f.log("%s:", node)
		for _, m := range members[node] {
			f.log("  %s:", m.uuid)
			for _, a := range m.addresses {
				f.log("    %s", a)
			}
		}
	}
	return nil
}

// members returns the instances by node, the nodes in the order of their oldest instances.
func (f *follower) members(ctx context.Context, text string) (nodes []string, by map[string][]member, err error) {
	by = map[string][]member{}
	for i, err := range f.client.Services().Instances(ctx, f.ref, client.InstanceFilter{Limit: 1000}) {
		if err != nil {
			return nil, nil, err
		}
		m := memberOf(&i)
		if !m.asked || m.going || !strings.Contains(m.node, text) {
			continue
		}
		if by[m.node] == nil {
			nodes = append(nodes, m.node)
		}
		by[m.node] = append(by[m.node], m)
	}
	return nodes, by, nil
}

// wait sleeps, unless the context ends; it reports whether it did not.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
