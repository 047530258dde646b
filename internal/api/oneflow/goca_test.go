package oneflow_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/OpenNebula/one/src/oca/go/src/goca"
	"github.com/OpenNebula/one/src/oca/go/src/goca/schemas/service"
	"github.com/OpenNebula/one/src/oca/go/src/goca/schemas/service_template"
	"github.com/OpenNebula/one/src/oca/go/src/goca/schemas/shared"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/identity"
)

// client returns OpenNebula's own client for the face.
func (s *stage) client() *goca.Controller {
	conf := goca.NewFlowConfig(apitest.Admin, apitest.Password, s.url)
	return goca.NewControllerFlow(goca.NewFlowClient(conf, http.DefaultClient))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newTemplate() *service_template.ServiceTemplate {
	st := new(service_template.ServiceTemplate)
	st.Template.Body = service_template.Body{Name: "NewTemplateName", Deployment: "straight", Roles: []service_template.Role{
		{Name: "master", Cardinality: 1, VMTemplate: 0, MinVMs: 1, MaxVMS: 3},
		{Name: "worker", Cardinality: 2, VMTemplate: 0, Parents: []string{"master"}},
	}}
	return st
}

// Every call of goca's service templates.
func TestGocaTemplates(t *testing.T) {
	s := newStage(t, sim.Options{})
	c := s.client()
	g, err := s.Directory.AddGroup(t.Context(), "devs", identity.Quota{})
	check(t, err)
	ann := s.User("ann", "devs")

	st := newTemplate()
	check(t, c.STemplates().Create(st))
	if st.ID == 0 || st.Name != "NewTemplateName" || st.UName != "oneadmin" || len(st.Template.Body.Roles) != 2 {
		t.Fatalf("created %+v", st)
	}
	ctrl := c.STemplate(st.ID)
	check(t, ctrl.Chgrp(g.ID))
	check(t, ctrl.Chown(ann.User, g.ID))
	check(t, ctrl.Chown(0, -1))
	check(t, ctrl.Chmod(shared.Permissions{OwnerU: 1, OwnerM: 1, OwnerA: 1, GroupU: 1, GroupM: 1, GroupA: 1, OtherU: 1, OtherM: 1, OtherA: 1}))
	check(t, ctrl.Rename("renamed"))
	got, err := ctrl.Info()
	check(t, err)
	if got.UID != 0 || got.GID != g.ID || got.GName != "devs" || got.Name != "renamed" || got.Permissions.Octet() != 777 {
		t.Errorf("after the changes: %+v, permissions %v", got, got.Permissions)
	}
	check(t, ctrl.Chmod(shared.Permissions{GroupU: 1})) // sent as "40"
	got, err = ctrl.Info()
	check(t, err)
	if got.Permissions.Octet() != 40 {
		t.Errorf("permissions %d, want 40", got.Permissions.Octet())
	}

	append := newTemplate()
	append.Template.Body.Description = "appended"
	check(t, ctrl.Update(append, true))
	got, err = ctrl.Info()
	check(t, err)
	if got.Template.Body.Description != "appended" || len(got.Template.Body.Roles) != 2 {
		t.Errorf("after the update: %+v", got.Template.Body)
	}
	replace := newTemplate()
	replace.Template.Body.Roles = replace.Template.Body.Roles[:1]
	check(t, ctrl.Update(replace, false))
	got, err = ctrl.Info()
	check(t, err)
	if got.Template.Body.Description != "" || len(got.Template.Body.Roles) != 1 {
		t.Errorf("after the replacement: %+v", got.Template.Body)
	}

	clone, err := ctrl.Clone("copy", false)
	check(t, err)
	if clone.Name != "copy" || clone.Template.Body.Roles[0].VMTemplate == 0 {
		t.Errorf("goca's clone copies machine definitions too: %+v", clone)
	}
	pool, err := c.STemplates().Info()
	check(t, err)
	if len(pool.ServiceTemplates) != 2 {
		t.Errorf("%d templates, want 2", len(pool.ServiceTemplates))
	}
	check(t, c.STemplate(clone.ID).Delete())
	check(t, c.STemplate(st.ID).Delete())
	if _, err := ctrl.Info(); err == nil {
		t.Error("the deleted template is still there")
	}
	pool, err = c.STemplates().Info()
	check(t, err)
	if len(pool.ServiceTemplates) != 0 {
		t.Errorf("%d templates, want none", len(pool.ServiceTemplates))
	}
}

// Every call of goca's services.
func TestGocaServices(t *testing.T) {
	s := newStage(t, sim.Options{})
	c := s.client()
	g, err := s.Directory.AddGroup(t.Context(), "devs", identity.Quota{})
	check(t, err)
	ann := s.User("ann", "devs")
	st := newTemplate()
	check(t, c.STemplates().Create(st))

	svc, err := c.STemplate(st.ID).Instantiate("")
	check(t, err)
	if svc.Template.Body.StateRaw != 0 || svc.ID == 0 {
		t.Errorf("a new service is PENDING: %+v", svc)
	}
	ctrl := c.Service(svc.ID)
	info := func() *service.Service {
		t.Helper()
		svc, err := ctrl.Info()
		check(t, err)
		return svc
	}
	state := func(want int) {
		t.Helper()
		s.Within("goca sees the state", func() bool { return info().Template.Body.StateRaw == want })
	}
	state(2)
	worker := info().Template.Body.Roles[1]
	if worker.StateRaw != 2 || len(worker.Nodes) != 2 {
		t.Fatalf("worker: %+v", worker)
	}
	if n := worker.Nodes[0]; n.DeployID == 0 || n.VMInfo.VM.ID != n.DeployID || n.VMInfo.VM.UName != "oneadmin" || n.VMInfo.VM.Name == "" {
		t.Errorf("node: %+v", n)
	}

	check(t, ctrl.Rename("renamed"))
	check(t, ctrl.Chgrp(g.ID))
	check(t, ctrl.Chown(ann.User, -1))
	check(t, ctrl.Chmod(shared.Permissions{OwnerU: 1, OwnerM: 1, GroupU: 1}))
	if got := info(); got.Name != "renamed" || got.UID != ann.User || got.GID != g.ID || got.Permissions.Octet() != 640 ||
		got.Template.Body.Roles[0].Nodes[0].VMInfo.VM.UID != ann.User {
		t.Errorf("after the changes: %+v", got)
	}

	check(t, ctrl.Scale("worker", 3, false))
	state(10)
	if err := ctrl.Scale("worker", 4, false); err == nil {
		t.Error("scaled in COOLDOWN")
	}
	check(t, ctrl.Recover(false))
	state(2)
	if n := len(info().Template.Body.Roles[1].Nodes); n != 3 {
		t.Errorf("%d workers, want 3", n)
	}
	if err := ctrl.Scale("master", 9, false); err == nil {
		t.Error("scaled beyond max_vms")
	}
	check(t, ctrl.VMAction("worker", "suspend", nil))
	check(t, ctrl.VMAction("worker", "resume", map[string]interface{}{"period": 60, "number": 2}))
	pool, err := c.Services().Info()
	check(t, err)
	if len(pool.Services) != 1 {
		t.Errorf("%d services, want 1", len(pool.Services))
	}
	check(t, ctrl.Recover(true))
	s.gone(strconv.Itoa(svc.ID))

	second, err := c.STemplate(st.ID).Instantiate(`{"name":"merged","roles":[{"name":"worker","cardinality":1}]}`)
	check(t, err)
	if second.Name != "merged" || second.Template.Body.Roles[1].Cardinality != 1 {
		t.Errorf("merged: %+v", second)
	}
	s.until(strconv.Itoa(second.ID), 2)
	check(t, c.Service(second.ID).Delete())
	s.gone(strconv.Itoa(second.ID))
	if _, err := c.Service(second.ID).Info(); err == nil {
		t.Error("the deleted service is still there")
	}
}
