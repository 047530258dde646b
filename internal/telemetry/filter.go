package telemetry

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/troupe-dev/troupe/internal/metric"
)

// ErrQuery is wrapped when a query or filter makes no sense; faces answer 400 or 422.
var ErrQuery = errors.New("bad query")

// A Filter chooses series of one tenant. All that is set must hold.
type Filter struct {
	Name       string // exactly; "" for any
	Dimensions []DimensionFilter
	Selector   string // of PromQL, such as {__name__=~"cpu.*",role="web"}
}

// A DimensionFilter asks for a dimension with one of the values, or with any when there are none.
type DimensionFilter struct {
	Name   string
	Values []string
}

// ParseDimensions reads Monasca's filter "k1:v1|v2,k2": only the first colon of an item separates.
func ParseDimensions(text string) ([]DimensionFilter, error) {
	if text == "" {
		return nil, nil
	}
	var out []DimensionFilter
	for item := range strings.SplitSeq(text, ",") {
		name, values, given := strings.Cut(item, ":")
		switch {
		case name == "":
			return nil, fmt.Errorf("%w: dimension filter %.80q: an item has no name", ErrQuery, text)
		case name[0] == '_':
			return nil, fmt.Errorf("%w: dimension filter %.80q: %s begins with an underscore", ErrQuery, text, name)
		}
		f := DimensionFilter{Name: name}
		if given && values != "" {
			f.Values = strings.Split(values, "|")
		}
		if len(out) == metric.MaxDimensions || len(f.Values) > 1000 {
			return nil, fmt.Errorf("%w: dimension filter %.80q… is too long", ErrQuery, text)
		}
		out = append(out, f)
	}
	return out, nil
}

// matchers returns what the database is asked for: always one tenant.
func (h *History) matchers(tenant int, f Filter) ([]*labels.Matcher, error) {
	var out []*labels.Matcher
	if f.Selector != "" {
		var err error
		if err = vetText(f.Selector); err != nil {
			return nil, err
		}
		if out, err = h.parser.ParseMetricSelector(f.Selector); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrQuery, err)
		}
	}
	if f.Name != "" {
		out = append(out, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, f.Name))
	}
	for _, d := range f.Dimensions {
		kind, value := labels.MatchEqual, ""
		switch len(d.Values) {
		case 0:
			kind = labels.MatchNotEqual
		case 1:
			value = d.Values[0]
		default:
			kind = labels.MatchRegexp
			quoted := make([]string, len(d.Values))
			for i, v := range d.Values {
				quoted[i] = regexp.QuoteMeta(v)
			}
			value = strings.Join(quoted, "|")
		}
		m, err := labels.NewMatcher(kind, d.Name, value)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrQuery, err)
		}
		out = append(out, m)
	}
	return append(out, tenantMatcher(tenant)), nil
}

func tenantMatcher(tenant int) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, tenantLabel, strconv.Itoa(tenant))
}

// seriesOf turns the database's labels into a series that is known by them alone: its ID is none.
func seriesOf(tenant int, l labels.Labels) *metric.Series {
	s := &metric.Series{ID: NoID, Tenant: tenant, Dimensions: make(metric.Dimensions, 0, l.Len())}
	l.Range(func(x labels.Label) {
		switch x.Name {
		case model.MetricNameLabel:
			s.Name = strings.Clone(x.Value)
		case tenantLabel:
		default:
			s.Dimensions = append(s.Dimensions, metric.Dimension{Name: strings.Clone(x.Name), Value: strings.Clone(x.Value)})
		}
	})
	s.Origin, _ = OriginOf(s.Dimensions) // true: intake would have moved a lie aside
	return s
}

// NoID is the ID of series that come from history: they may have none at present.
const NoID = ^uint32(0)
