package occopus

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	format "github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/service"
)

// A key is a question that can be asked by name, with what must be given to ask it.
type key struct {
	params []string
	answer func(f *Occopus, r *request, q url.Values) (any, error)
}

// keys are those of Occopus' broker whose arguments are texts and whose answers are known here. There is none for secrets.
var keys = map[string]key{
	"infrastructure.name":                       {ofInfra, about(func(f *Occopus, s *service.Service, _ string) any { return s.Meta.Name })},
	"infrastructure.started":                    {ofInfra, about(func(f *Occopus, s *service.Service, _ string) any { return len(f.reportOf(s)) > 0 })},
	"infrastructure.finished_first_maintenance": {ofInfra, about(finished)},
	"infrastructure.static_description":         {ofInfra, about(func(f *Occopus, s *service.Service, _ string) any { return json.RawMessage(s.Spec.Document) })},
	"infrastructure.state_report":               {ofInfra, about(func(f *Occopus, s *service.Service, _ string) any { return f.reportOf(s) })},
	"infrastructure.state":                      {ofInfra, about(byNode)},
	"infrastructure.node_instances":             {ofInfra, about(byNode)},
	"node.definition":                           {ofType, definition(func(d *format.Definition) any { return d.Implementations[0] })},
	"node.definition.all":                       {ofType, definition(func(d *format.Definition) any { return d.Implementations })},
	"node.find":                                 {nil, (*Occopus).findNodes},
	"node.find_one":                             {nil, (*Occopus).findNode},
}

// What must be given.
var (
	ofInfra = []string{"infra_id"}
	ofType  = []string{"node_type"}
)

// info answers a question.
func (f *Occopus) info(r *request) (any, error) {
	name := r.PathValue("key")
	k, ok := keys[name]
	if !ok {
		return nil, &handled{failure: failure{notThere, fmt.Sprintf("Key not found: \"%s\"", name), "there is no such key, or it is not told over HTTP"}, status: http.StatusNotFound}
	}
	q := r.URL.Query()
	for _, p := range k.params {
		if q.Get(p) == "" {
			return nil, &handled{failure: failure{badRequest, fmt.Sprintf("Invalid parameter value for key \"%s\"", name), "give " + p}, status: http.StatusBadRequest}
		}
	}
	answer, err := k.answer(f, r, q)
	var h *handled
	if errors.As(err, &h) {
		return nil, &handled{failure: failure{notThere, h.Reason, "Request cannot be served."}, status: http.StatusNotFound}
	}
	return struct {
		Result any `json:"result"`
	}{answer}, err
}

// about makes a question about one infrastructure of what is told of it.
func about(tell func(*Occopus, *service.Service, string) any) func(*Occopus, *request, url.Values) (any, error) {
	return func(f *Occopus, r *request, q url.Values) (answer any, err error) {
		err = f.view(r.who, q.Get("infra_id"), func(s *service.Service) { answer = tell(f, s, q.Get("infra_id")) })
		return answer, err
	}
}

// definition makes a question about a node definition of what is told of it. Secrets are not.
func definition(tell func(*format.Definition) any) func(*Occopus, *request, url.Values) (any, error) {
	return func(f *Occopus, r *request, q url.Values) (any, error) {
		site := f.site(r.who)
		d, err := site.Options("", false).Definition(q.Get("node_type"))
		if err != nil {
			return nil, &handled{failure: failure{notThere, err.Error(), ""}, status: http.StatusNotFound, cause: err}
		}
		return tell(d.Redacted()), nil
	}
}

// finished tells whether all has been there once: 1, or 0.
func finished(_ *Occopus, s *service.Service, _ string) any {
	if s.Deployed {
		return 1
	}
	return 0
}

// A record is what is known of an instance.
type record struct {
	NodeID     string  `json:"node_id"`
	InfraID    string  `json:"infra_id"`
	InfraName  string  `json:"infra_name"`
	UserID     any     `json:"user_id"`
	Name       string  `json:"name"`
	InstanceID string  `json:"instance_id"` // of the back end
	Started    float64 `json:"instance_start_time"`
	instanceReport
}

// records are the instances of an infrastructure, those that were made first at the front.
func (f *Occopus) records(infra string, s *service.Service) []record {
	var description struct {
		UserID any `json:"user_id"`
	}
	_ = json.Unmarshal(s.Spec.Document, &description) // it was written by the format's package
	out := []record{}
	for _, r := range s.Roles {
		for i := range r.Instances {
			if exists(i) {
				out = append(out, record{f.Control.UUID(s.ID, i.Serial), infra, s.Meta.Name, description.UserID, r.Name, i.Native,
					float64(i.Created.Time().UnixMilli()) / 1000, instanceReport{addressOf(i), stateOf(i)}})
			}
		}
	}
	return out
}

// byNode is the records by node and id.
func byNode(f *Occopus, s *service.Service, infra string) any {
	out := make(map[string]map[string]record)
	for _, x := range f.records(infra, s) {
		if out[x.Name] == nil {
			out[x.Name] = make(map[string]record)
		}
		out[x.Name][x.NodeID] = x
	}
	return out
}

// findNodes finds the instances that have all that is given of infra_id, name and node_id.
func (f *Occopus) findNodes(r *request, q url.Values) (any, error) {
	return f.matching(r, q)
}

// findNode is findNodes where one is meant.
func (f *Occopus) findNode(r *request, q url.Values) (any, error) {
	found, err := f.matching(r, q)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, &handled{failure: failure{notThere, fmt.Sprintf("Found %d instances, not one", len(found)), ""}, status: http.StatusNotFound}
	}
	return found[0], nil
}

func (f *Occopus) matching(r *request, q url.Values) ([]record, error) {
	out := []record{}
	fits := func(x record) bool {
		return (q.Get("name") == "" || q.Get("name") == x.Name) && (q.Get("node_id") == "" || q.Get("node_id") == x.NodeID)
	}
	look := func(s *service.Service) {
		out = append(out, slices.DeleteFunc(f.records(idOf(r.who, s), s), func(x record) bool { return !fits(x) })...)
	}
	if infra := q.Get("infra_id"); infra != "" {
		return out, f.view(r.who, infra, look)
	}
	f.each(r.who, look)
	return out, nil
}
