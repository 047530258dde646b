package onegate

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/troupe-dev/troupe/internal/api"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/service"
)

// shortKeys are what is shown of each machine of a service, unless extended asks for all.
var shortKeys = []string{"ID", "UID", "GID", "UNAME", "GNAME", "NAME"}

// showService shows the service of the machine that asks.
func (g *OneGate) showService(r *request) (answer, error) {
	extended := r.URL.Query().Get("extended") == "true"
	if !extended { // some clients send a form with their GET
		body, err := r.read()
		if err != nil {
			return answer{}, err
		}
		form, err := url.ParseQuery(string(body))
		extended = err == nil && form.Get("extended") == "true"
	}
	body, err := g.OneFlow.Body(r.me.Owner, r.me.Service)
	if err != nil {
		return answer{}, err
	}
	roles := []any{}
	for _, x := range body.Array("roles") {
		role, ok := x.(*format.Object)
		if !ok {
			continue
		}
		shown := only(role, []string{"name", "cardinality", "state", "nodes"})
		if !extended {
			shorten(role.Array("nodes"))
		}
		roles = append(roles, shown)
	}
	return answer{http.StatusOK, object("SERVICE", object("name", body.Get("name"), "id", strconv.FormatUint(r.me.Service, 10), "state", body.Get("state"), "roles", roles))}, nil
}

func shorten(nodes []any) {
	for _, x := range nodes {
		if node, ok := x.(*format.Object); ok {
			node.Set("vm_info", object("VM", only(node.Object("vm_info").Object("VM"), shortKeys)))
		}
	}
}

// scaleRole changes the cardinality of a role of the machine's own service, within the role's bounds.
func (g *OneGate) scaleRole(r *request) (answer, error) {
	body, err := r.read()
	if err != nil {
		return answer{}, err
	}
	var asked struct {
		Cardinality json.Number `json:"cardinality"` // clients send text, too
	}
	if err := api.UnmarshalJSON(body, &asked); err != nil {
		return answer{}, err
	}
	role := r.PathValue("role")
	wrong := func(why string) error {
		return refuse(http.StatusBadRequest, "Error performing action on service %d role %.100s: %s", r.me.Service, role, why)
	}
	n, err := strconv.Atoi(asked.Cardinality.String())
	if err != nil {
		return answer{}, wrong("cardinality must be a whole number")
	}
	if err := g.order(r, service.Command{Scale: &service.Scale{Role: role, Cardinality: n}}); err != nil {
		return answer{}, wrong(err.Error())
	}
	return answer{status: http.StatusOK}, nil
}
