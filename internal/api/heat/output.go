package heat

import (
	"encoding/json"
	"net/http"

	"github.com/troupe-dev/troupe/internal/format/hot"
)

// outputs are the values of all outputs now.
func (s *shot) outputs() ([]hot.OutputValue, error) {
	return hot.Outputs(s.spec.Document, s.view)
}

func (h *Heat) listOutputs(r *request) error {
	s, err := h.named(r)
	if err != nil {
		return err
	}
	values, err := s.outputs()
	if err != nil {
		return err
	}
	list := make([]object, len(values))
	for i, v := range values {
		list[i] = object{"output_key": v.Name, "description": v.Description}
	}
	return r.answer(http.StatusOK, object{"outputs": list})
}

func (h *Heat) showOutput(r *request) error {
	s, err := h.named(r)
	if err != nil {
		return err
	}
	values, err := s.outputs()
	if err != nil {
		return err
	}
	for _, v := range values {
		if v.Name == r.PathValue("output") {
			return r.answer(http.StatusOK, object{"output": v})
		}
	}
	return &fault{http.StatusNotFound, "NotFound", "Specified output key " + r.PathValue("output") + " not found.", nil}
}

// parameterText is the value of a parameter as Heat shows it: text.
func parameterText(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case nil:
		return "", nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}
