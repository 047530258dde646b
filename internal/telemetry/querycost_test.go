package telemetry

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A query whose cost nothing bounds is refused before the engine or the parser sees it.
func TestQueryCost(t *testing.T) {
	h := openTest(t, t.TempDir())
	now := time.Now()
	for name, c := range map[string]struct {
		query string
		class error
		text  string
	}{
		"subquery of points without end": {`count_over_time(vector(1)[3650d:1ms])`, ErrQueryCost, "column 17: the subquery has more than"},
		"subquery in a subquery":         {`max_over_time(sum_over_time(m[1h:1s])[30d:1h])`, ErrQueryCost, "subquery"},
		"overflow":                       {`sum_over_time(sum_over_time(m[290y:1d])[290y:1d])`, ErrQueryCost, "subquery"},
		"nested":                         {strings.Repeat("(", 20_000) + "1" + strings.Repeat(")", 20_000), ErrQuery, "nested deeper than 100"},
		"calls":                          {strings.Repeat("abs(", 101) + "m" + strings.Repeat(")", 101), ErrQuery, "nested deeper"},
		"signs":                          {strings.Repeat("-", 5000) + "1", ErrQuery, "nested deeper"},
		"signs apart":                    {strings.Repeat("- ", 5000) + "1", ErrQuery, "nested deeper"},
		"long":                           {`m{a="` + strings.Repeat("x", 70_000) + `"}`, ErrQuery, "bytes"},
		"many operators":                 {"1" + strings.Repeat("+1", maxBare/2), ErrQuery, "outside of quotes"},
		"wrong":                          {`sum(`, ErrQuery, "parse error"},
	} {
		if _, err := h.Query(t.Context(), 1, c.query, now); !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %.300v", name, err)
		}
	}
	if _, err := h.QueryRange(t.Context(), 1, `max_over_time(m[1m:1ms])`, now.Add(-10*time.Hour), now, time.Hour); !errors.Is(err, ErrQueryCost) {
		t.Errorf("a subquery over a long range: %v", err)
	}
	if _, err := h.Series(t.Context(), 1, Filter{Selector: "{" + strings.Repeat(" ", maxBare) + "}"}, now.Add(-time.Hour), now); !errors.Is(err, ErrQuery) {
		t.Errorf("a long selector: %v", err)
	}
	for _, query := range []string{
		`max_over_time(m[1d:1m])`, `quantile_over_time(0.9, rate(m[5m])[15d:5m])`, `((m{a="((((",b='\'((('} + 1))`,
		strings.Repeat("(", 90) + "m" + strings.Repeat(")", 90), "m # " + strings.Repeat("(", 200), "m + - - m", "m" + strings.Repeat(" - m", 500),
	} {
		if _, err := h.Query(t.Context(), 1, query, now); err != nil {
			t.Errorf("%.60s: %v", query, err)
		}
	}
}

// What passes the checks by text alone is parsed in a time that grows with its length.
func TestQueryParses(t *testing.T) {
	h := openTest(t, t.TempDir())
	for name, unit := range map[string]string{"power": "1^", "sum": "1+", "or": "a or ", "quotient": "1/"} {
		query := strings.Repeat(unit, (maxBare-1)/len(unit))
		query += "1"
		if name == "or" {
			query = query[:len(query)-1] + "a"
		}
		if err := h.vet(query, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
