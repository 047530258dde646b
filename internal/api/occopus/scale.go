package occopus

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// scaled is the answer to a scaling that counts, dropped that to one that names an instance or none.
type (
	scaled struct {
		Method string `json:"method"`
		ID     string `json:"infraid"`
		Node   string `json:"nodename"`
		Count  int    `json:"count"`
	}
	dropped struct {
		Method   string  `json:"method"`
		ID       string  `json:"infraid"`
		Node     string  `json:"nodename"`
		Instance *string `json:"nodeid"`
	}
)

// scaleUp wishes more instances, as far as the node's limits let it.
func (f *Occopus) scaleUp(r *request) (any, error) {
	n, err := r.count(1)
	if err != nil {
		return nil, err
	}
	return scaled{"scaleup", r.PathValue("infra"), r.PathValue("node"), n}, f.scale(r, func(uint64) (*service.Scale, error) {
		if n == 0 {
			return nil, nil
		}
		return &service.Scale{By: n}, nil
	})
}

// scaleTo wishes a number of instances, or the limit that is nearest to it.
func (f *Occopus) scaleTo(r *request) (any, error) {
	n, err := r.count(0)
	if err != nil {
		return nil, err
	}
	return scaled{"scaleto", r.PathValue("infra"), r.PathValue("node"), n}, f.scale(r, func(uint64) (*service.Scale, error) { return &service.Scale{Cardinality: n}, nil })
}

// scaleDown wishes one instance less, down to the node's limit: the named one, or the youngest. A name that is none is no
// mistake.
func (f *Occopus) scaleDown(r *request) (any, error) {
	answer := dropped{Method: "scaledown", ID: r.PathValue("infra"), Node: r.PathValue("node")}
	name := r.PathValue("instance")
	if name == "" {
		return answer, f.scale(r, func(uint64) (*service.Scale, error) { return &service.Scale{By: -1}, nil })
	}
	answer.Instance = &name
	err := f.scale(r, func(id uint64) (*service.Scale, error) {
		serials, err := f.Control.FindInstances(r.who, id, answer.Node, []string{name})
		return &service.Scale{Remove: serials}, err
	})
	if errors.Is(err, identity.ErrNotFound) {
		err = nil
	}
	return answer, err
}

// scale brings a wish about a node, nil for none, to its infrastructure.
func (f *Occopus) scale(r *request, wish func(id uint64) (*service.Scale, error)) error {
	ref, node := r.PathValue("infra"), r.PathValue("node")
	var id uint64
	var unknown error
	if err := f.view(r.who, ref, func(s *service.Service) {
		id = s.ID
		if s.Role(node) == nil {
			var names []string
			for _, x := range s.Roles {
				names = append(names, x.Name)
			}
			unknown = unknownNode(ref, node, nearest.Hint(node, names))
		}
	}); err != nil {
		return err
	}
	if unknown != nil {
		return unknown
	}
	scale, err := wish(id)
	if err != nil || scale == nil {
		return err
	}
	scale.Role, scale.Clamp = node, true
	_, err = f.Control.Order(r.Context(), r.who, id, service.Command{Scale: scale})
	return err
}

// count reads the number in the path: digits alone, usual where there is none.
func (r *request) count(usual int) (int, error) {
	text := r.PathValue("count")
	if text == "" && !strings.HasSuffix(r.Pattern, "{count}") {
		return usual, nil
	}
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, nothingAt(r.Request)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > math.MaxInt32 {
		return 0, &handled{failure: failure{badRequest, "ERROR: " + text + " instances are too many", "give a number up to " + strconv.Itoa(math.MaxInt32)}, status: http.StatusBadRequest}
	}
	return n, nil
}
