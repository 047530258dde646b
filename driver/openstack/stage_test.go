//go:build linux

package openstack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/openstack/openstacktest"
)

// A stage is one account in one test.
type stage struct {
	testing.TB
	*openstacktest.Cloud
	c    *cloud
	d    driver.Driver
	name string // of the installation
}

var serial atomic.Int64

// newStage opens an account, and at the end of the test removes what was made and sees that nothing is left.
func newStage(t testing.TB, values map[string]any) *stage {
	t.Helper()
	s := &stage{TB: t, Cloud: shared.Use(t), name: fmt.Sprintf("st%d-%d", time.Now().UnixMilli(), serial.Add(1))}
	if values == nil {
		values = s.Account(nil)
	}
	s.c = s.open(values)
	s.d = driver.Order(s.c)
	t.Cleanup(s.clean)
	return s
}

func (s *stage) open(values map[string]any) *cloud {
	s.Helper()
	checked, err := Kind().CheckAccount(values)
	s.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	s.Cleanup(cancel)
	c, err := newCloud(ctx, driver.Config{Values: checked, Installation: s.name, Generation: 1})
	s.must(err)
	return c
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	s.Cleanup(cancel)
	return ctx
}

func (s *stage) services() *services {
	s.Helper()
	v, err := s.c.connect(s.ctx())
	s.must(err)
	return v
}

func (s *stage) request(options map[string]any) driver.Request {
	s.Helper()
	checked, err := Kind().Check(options)
	s.must(err)
	n := serial.Add(1)
	return driver.Request{ID: driver.MachineID(fmt.Sprintf("4-%d-1", n)), Name: fmt.Sprintf("web-%d", n), Project: "shop", Service: "4", Role: "web",
		Number: int(n), Options: checked, Generation: 1}
}

func (s *stage) create(req driver.Request) driver.Machine {
	s.Helper()
	m, err := s.d.Create(s.ctx(), req)
	s.must(err)
	return m
}

func (s *stage) refused(req driver.Request, class error, says string) {
	s.Helper()
	_, err := s.d.Create(s.ctx(), req)
	if driver.Class(err) != driver.Class(class) || !strings.Contains(fmt.Sprint(err), says) {
		s.Errorf("error %v, want %v: %s", err, class, says)
	}
	if driver.Definite(err) {
		s.nothing(req.ID)
	}
}

// nothing sees that the cloud has nothing of a machine.
func (s *stage) nothing(id driver.MachineID) {
	s.Helper()
	found, err := s.c.serversOf(s.ctx(), s.services(), id)
	s.must(err)
	if len(found) > 0 {
		s.Errorf("server %s of %s is left", found[0].ID, id)
	}
	for _, kind := range []collection{ports, floatings} {
		list, err := s.services().list(s.ctx(), kind, "description", s.c.description("machine", id))
		s.must(err)
		if len(list) > 0 {
			s.Errorf("%s %s of %s is left", kind.one, list[0].ID, id)
		}
	}
}

func (s *stage) find(id driver.MachineID) driver.Machine {
	s.Helper()
	for m, err := range s.d.List(s.ctx()) {
		s.must(err)
		if m.ID == id {
			return m
		}
	}
	return driver.Machine{ID: id, State: driver.Gone}
}

// until waits for what check says.
func (s *stage) until(check func() error) {
	s.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Minute); ; <-tick.C {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.Fatal(err)
		}
	}
}

func (s *stage) await(id driver.MachineID, state driver.State) (m driver.Machine) {
	s.Helper()
	s.until(func() error {
		if m = s.find(id); m.State != state {
			return fmt.Errorf("machine %s is %s (%s), not %s", id, m.State, m.Reason, state)
		}
		return nil
	})
	return m
}

func (s *stage) destroy(m driver.Machine) {
	s.Helper()
	s.must(s.d.Destroy(s.ctx(), driver.Ref{ID: m.ID, Native: m.Native}, driver.Hard))
	s.nothing(m.ID)
}

// resource makes a resource of service 4 and returns it once machines may use it.
func (s *stage) resource(kind, key string, options map[string]any) (r driver.Resource) {
	s.Helper()
	k, err := Kind().Resource(kind)
	s.must(err)
	checked, err := k.Check(options)
	s.must(err)
	req := driver.ResourceRequest{ID: driver.MachineID(fmt.Sprintf("4-r%d", serial.Add(1))), Kind: kind, Key: key, Name: "shop-" + key, Service: "4", Options: checked, Generation: 3}
	s.until(func() error {
		if r, err = s.c.MakeResource(s.ctx(), req); err == nil && r.State != driver.Running {
			err = fmt.Errorf("%s %s is %s", kind, key, r.State)
		}
		if driver.Definite(err) {
			s.Fatal(err)
		}
		return err
	})
	return r
}

// clean removes everything by the driver's own means, the resources in the reverse order of their making, and then asks
// the cloud what is left.
func (s *stage) clean() {
	ctx := s.ctx()
	for m, err := range s.d.List(ctx) {
		if err == nil {
			err = s.d.Destroy(ctx, driver.Ref{ID: m.ID, Native: m.Native}, driver.Hard)
		}
		if err != nil {
			s.Errorf("clean up: %v", err)
			return
		}
		s.nothing(m.ID)
	}
	var list []driver.Resource
	for r, err := range s.c.ListResources(ctx) {
		if err != nil {
			s.Errorf("clean up: %v", err)
			return
		}
		list = append(list, r)
	}
	number := func(r driver.Resource) int {
		var n int
		_, _ = fmt.Sscanf(string(r.ID), "4-r%d", &n)
		return n
	}
	slices.SortFunc(list, func(a, b driver.Resource) int { return number(b) - number(a) }) // what others need goes after them
	for _, r := range list {
		if err := s.c.RemoveResource(ctx, driver.Ref{ID: r.ID}); err != nil {
			s.Errorf("clean up: %v", err)
		}
	}
	for r, err := range s.c.ListResources(ctx) {
		s.Errorf("resource %s (%v) is left, %v", r.ID, r.Outputs, err)
	}
	v := s.services()
	for _, kind := range []collection{networks, subnets, routers, ports, floatings, securityGroups} {
		all, err := v.list(ctx, kind)
		if err != nil {
			s.Error(err)
		}
		for _, i := range all {
			if strings.Contains(i.Description, s.name) {
				s.Errorf("%s %s (%s) is left", kind.one, i.Name, i.Description)
			}
		}
	}
	if left, err := s.c.volumesWith(ctx, v); err != nil || len(left) > 0 {
		s.Errorf("volumes %v are left, %v", left, err)
	}
}

// keystone returns a client as the account's user.
func (s *stage) keystone(c *cloud) *gophercloud.ServiceClient {
	s.Helper()
	v, err := c.connect(s.ctx())
	s.must(err)
	k, err := openstack.NewIdentityV3(v.nova.ProviderClient, c.access.at)
	s.must(err)
	return k
}

// project makes a project in which the member of the other is one too, and returns its name.
func (s *stage) project() string {
	s.Helper()
	admin := s.open(s.Administrator())
	k := s.keystone(admin)
	name := "extra-" + s.name
	var made struct{ Project struct{ ID string } }
	_, err := k.Post(s.ctx(), k.ServiceURL("projects"), fields{"project": fields{"name": name, "domain_id": "default"}}, &made, nil)
	s.must(err)
	var users struct{ Users []struct{ ID, Name string } }
	_, err = k.Get(s.ctx(), k.ServiceURL("users")+"?domain_id=default", &users, nil)
	s.must(err)
	var roles struct{ Roles []struct{ ID, Name string } }
	_, err = k.Get(s.ctx(), k.ServiceURL("roles"), &roles, nil)
	s.must(err)
	for _, u := range users.Users {
		for _, r := range roles.Roles {
			if u.Name == openstacktest.User && r.Name == "member" || u.Name == "admin" && r.Name == "admin" {
				_, err := k.Put(s.ctx(), k.ServiceURL("projects", made.Project.ID, "users", u.ID, "roles", r.ID), nil, nil, &gophercloud.RequestOpts{OkCodes: []int{204}})
				s.must(err)
			}
		}
	}
	s.Cleanup(func() {
		_, err := k.Delete(s.ctx(), k.ServiceURL("projects", made.Project.ID), nil)
		s.must(err)
	})
	return name
}
