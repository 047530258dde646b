package monasca

import (
	"net/http"
	"strconv"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// createMetrics takes samples in: one object or an array of them.
func (m *Monasca) createMetrics(r *request) (answer, error) {
	if !r.isJSON() {
		return answer{}, &fault{http.StatusBadRequest, badRequest, "Bad content type. Must be application/json"}
	}
	project, err := m.project(r)
	if err != nil {
		return answer{}, err
	}
	tenant, done, err := m.Control.AdmitMetrics(r.Context(), r.who, project)
	if err != nil {
		return answer{}, err
	}
	defer done()
	b := telemetry.NewBatch()
	defer b.Free()
	api.LimitBody(r.Request, int64(b.Bounds.Bytes)+1) // an agent's backlog is large; one more: the batch says what is too large
	body, err := b.Body(r.Body, r.Header.Get("Content-Encoding"))
	if err != nil {
		return answer{}, err
	}
	if err := telemetry.DecodeMonasca(b, body); err != nil {
		return answer{}, err
	}
	if _, err := m.Control.WriteMetrics(r.who, tenant, b); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

// past is the history of the project that is asked for.
func (m *Monasca) past(r *request) (*telemetry.History, int, error) {
	project, err := m.project(r)
	if err != nil {
		return nil, 0, err
	}
	return m.Control.Past(r.who, project)
}

func (m *Monasca) listMetrics(r *request) (answer, error) {
	filter, err := r.filter("name")
	if err != nil {
		return answer{}, err
	}
	from, to, err := r.span()
	if err != nil {
		return answer{}, err
	}
	limit, err := r.limit()
	if err != nil {
		return answer{}, err
	}
	first := 0
	if offset := r.FormValue("offset"); offset != "" {
		n, err := strconv.Atoi(offset)
		if err != nil || n < 0 {
			return answer{}, invalid("Offset value %.40q is no id of a metric", offset)
		}
		first = n + 1
	}
	history, tenant, err := m.past(r)
	if err != nil {
		return answer{}, err
	}
	all, err := history.Series(r.Context(), tenant, filter, from, to)
	if err != nil {
		return answer{}, err
	}
	page, next := all[min(first, len(all)):], ""
	if len(page) > limit && limit > 0 {
		next = strconv.Itoa(first + limit - 1)
	}
	elements := make([]object, min(limit, len(page)))
	for i := range elements {
		elements[i] = object{"id": strconv.Itoa(first + i), "name": page[i].Name, "dimensions": page[i].Dimensions.Map()}
	}
	return listed(r, elements, next)
}

// filter reads the metrics that a query is about.
func (r *request) filter(name string) (telemetry.Filter, error) {
	dimensions, err := r.dimensions("dimensions")
	return telemetry.Filter{Name: r.FormValue(name), Dimensions: dimensions}, err
}

func (m *Monasca) listNames(r *request) (answer, error) {
	filter, err := r.filter("")
	if err != nil {
		return answer{}, err
	}
	history, tenant, err := m.past(r)
	if err != nil {
		return answer{}, err
	}
	all, err := history.Names(r.Context(), tenant, filter, telemetry.Beginning, telemetry.End)
	if err != nil {
		return answer{}, err
	}
	return after(r, all, "name")
}

func (m *Monasca) listDimensionNames(r *request) (answer, error) {
	from, to, err := r.span()
	if err != nil {
		return answer{}, err
	}
	history, tenant, err := m.past(r)
	if err != nil {
		return answer{}, err
	}
	all, err := history.DimensionNames(r.Context(), tenant, telemetry.Filter{Name: r.FormValue("metric_name")}, from, to)
	if err != nil {
		return answer{}, err
	}
	return after(r, all, "dimension_name")
}

func (m *Monasca) listDimensionValues(r *request) (answer, error) {
	name := r.FormValue("dimension_name")
	if name == "" {
		return answer{}, invalid("Dimension name is missing")
	}
	if err := metric.CheckDimension(name, "x"); err != nil {
		return answer{}, invalid("%v", err)
	}
	from, to, err := r.span()
	if err != nil {
		return answer{}, err
	}
	history, tenant, err := m.past(r)
	if err != nil {
		return answer{}, err
	}
	all, err := history.DimensionValues(r.Context(), tenant, name, telemetry.Filter{Name: r.FormValue("metric_name")}, from, to)
	if err != nil {
		return answer{}, err
	}
	return after(r, all, "dimension_value")
}
