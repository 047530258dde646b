package monasca

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// maxPage is how many elements one answer holds, and how many without a limit.
const maxPage = 10_000

// limit reads how many elements are wanted.
func (r *request) limit() (int, error) {
	text := r.FormValue("limit")
	if text == "" {
		return maxPage, nil
	}
	if strings.Trim(text, "0123456789") != "" {
		return 0, &fault{http.StatusUnprocessableEntity, "Invalid limit", fmt.Sprintf("Limit parameter %.40q must be a positive integer", text)}
	}
	if n, err := strconv.Atoi(text); err == nil && n < maxPage {
		return n, nil
	}
	return maxPage, nil
}

// row reads an offset that counts elements.
func (r *request) row() (int, error) {
	text := r.FormValue("offset")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, invalid("Offset value %.40q must be an integer of 0 or more", text)
	}
	return n, nil
}

// links are those of a list; next is the offset of the next page, "" for none.
func (r *request) links(next string) []link {
	query := r.URL.Query()
	out := []link{{"self", r.self(query)}}
	if next != "" {
		query.Set("offset", next)
		out = append(out, link{"next", r.self(query)})
	}
	return out
}

// listed answers a page of elements.
func listed[T any](r *request, elements []T, next string) (answer, error) {
	if elements == nil {
		elements = []T{}
	}
	return ok(object{"links": r.links(next), "elements": elements})
}

// paged answers the page that limit and offset ask for, where offset counts elements.
func paged[T any](r *request, all []T, show func(*T) object) (answer, error) {
	page, next, err := window(r, all)
	if err != nil {
		return answer{}, err
	}
	elements := make([]object, len(page))
	for i := range page {
		elements[i] = show(&page[i])
	}
	return listed(r, elements, next)
}

// window cuts out the elements that limit and offset ask for.
func window[T any](r *request, all []T) (page []T, next string, err error) {
	limit, err := r.limit()
	if err != nil {
		return nil, "", err
	}
	from, err := r.row()
	if err != nil {
		return nil, "", err
	}
	page = all[min(from, len(all)):]
	if len(page) > limit && limit > 0 {
		next = strconv.Itoa(from + limit)
	}
	return page[:min(limit, len(page))], next, nil
}

// after answers the page of sorted texts behind the one that offset names.
func after(r *request, all []string, key string) (answer, error) {
	limit, err := r.limit()
	if err != nil {
		return answer{}, err
	}
	if offset := r.FormValue("offset"); offset != "" {
		at, found := slices.BinarySearch(all, offset)
		if found {
			at++
		}
		all = all[at:]
	}
	next := ""
	if len(all) > limit && limit > 0 {
		next = all[limit-1]
	}
	elements := make([]map[string]string, min(limit, len(all)))
	for i := range elements {
		elements[i] = map[string]string{key: all[i]}
	}
	return listed(r, elements, next)
}

// An order sorts by one field.
type order[T any] map[string]func(a, b *T) int

// sort brings elements into the order that sort_by asks for ("severity desc,name"); the first field of usual decides where that leaves it open.
func sort[T any](r *request, all []T, by order[T], usual string) error {
	var compare []func(a, b *T) int
	if text := r.FormValue("sort_by"); text != "" {
		for item := range strings.SplitSeq(text, ",") {
			field, direction, _ := strings.Cut(strings.TrimSpace(item), " ")
			c, known := by[field]
			direction = strings.TrimSpace(direction)
			if !known || direction != "" && direction != "asc" && direction != "desc" {
				return invalid("Sort_by field %.60q must be one of %s, with asc or desc behind", strings.TrimSpace(item), strings.Join(keys(by), ", "))
			}
			if direction == "desc" {
				up := c
				c = func(a, b *T) int { return up(b, a) }
			}
			compare = append(compare, c)
		}
	}
	compare = append(compare, by[usual])
	slices.SortFunc(all, func(a, b T) int {
		for _, c := range compare {
			if x := c(&a, &b); x != 0 {
				return x
			}
		}
		return 0
	})
	return nil
}

func keys[T any](by order[T]) []string {
	out := make([]string, 0, len(by))
	for k := range by {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// dimensions reads a filter of dimensions; the parameter may be repeated.
func (r *request) dimensions(key string) ([]telemetry.DimensionFilter, error) {
	given := slices.DeleteFunc(slices.Clone(r.URL.Query()[key]), func(s string) bool { return s == "" })
	return telemetry.ParseDimensions(strings.Join(given, ","))
}

// timeForms are those of ISO 8601 that clients write.
var timeForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02"}

func parseTime(text string) (time.Time, bool) {
	for _, form := range timeForms {
		if t, err := time.Parse(form, text); err == nil && t.Year() >= 1970 && t.Year() < 10_000 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// time reads a time of the query, or the other where there is none.
func (r *request) time(key string, otherwise time.Time) (time.Time, error) {
	text := r.FormValue(key)
	if text == "" {
		return otherwise, nil
	}
	if t, ok := parseTime(text); ok {
		return t, nil
	}
	if t, ok := parseTime(strings.Replace(text, " ", "+", 1)); ok { // "+01:00", not escaped
		return t, nil
	}
	return time.Time{}, invalid("%s %.60q is no time; write it as 2030-01-01T00:00:00Z", key, text)
}

// span reads start_time and end_time.
func (r *request) span() (from, to time.Time, err error) {
	if from, err = r.time("start_time", telemetry.Beginning); err != nil {
		return
	}
	if to, err = r.time("end_time", telemetry.End); err == nil && !from.Before(to) {
		err = &fault{http.StatusBadRequest, badRequest, "start_time must be before end_time"}
	}
	return
}

// states reads alarm states in any case.
func (r *request) state() ([]alarm.State, error) {
	text := r.FormValue("state")
	if text == "" {
		return nil, nil
	}
	s, err := alarm.ParseState(strings.ToUpper(text))
	if err != nil {
		return nil, &fault{http.StatusUnprocessableEntity, "Invalid State", fmt.Sprintf("State %.40q must be one of OK, ALARM, UNDETERMINED", text)}
	}
	return []alarm.State{s}, nil
}

// severities reads "LOW|HIGH", in any case.
func (r *request) severities() ([]string, error) {
	text := strings.ToUpper(r.FormValue("severity"))
	if text == "" {
		return nil, nil
	}
	list := strings.Split(text, "|")
	for _, s := range list {
		if !slices.Contains(alerting.Severities(), s) {
			return nil, &fault{http.StatusUnprocessableEntity, "Invalid Severity", fmt.Sprintf("Severity %.40q must be one of %s", s, strings.Join(alerting.Severities(), ", "))}
		}
	}
	return list, nil
}

// place reads the offset of rows: "<id>_<time>", or a time of the first group.
func (r *request) place() (telemetry.Place, error) {
	text := r.FormValue("offset")
	if text == "" {
		return telemetry.Place{}, nil
	}
	id, at, split := strings.Cut(text, "_")
	if !split {
		id, at = "0", text
	}
	group, err := strconv.Atoi(id)
	t, known := parseTime(at)
	if err != nil || group < 0 || !known {
		return telemetry.Place{}, invalid("Offset value %.60q must be a time, or the id of a series and a time: 0_2030-01-01T00:00:00.000Z", text)
	}
	return telemetry.Place{Group: group, Time: t.UnixMilli(), Set: true}, nil
}

// project is whose metrics are asked for: the caller's own, or another's with tenant_id for administrators. Others' tenant_id is not looked at.
func (m *Monasca) project(r *request) (string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || query.Get("tenant_id") == "" || !r.who.Administers() {
		return "", nil
	}
	return m.Control.ProjectNumbered(query.Get("tenant_id"))
}
