package oneflow

import (
	"errors"
	"testing"
)

// Every network of a new service says what it is.
func TestCheckNetworks(t *testing.T) {
	for values, place := range map[string]string{
		`[]`:                                          "",
		`[{"P":{"id":3}}]`:                            "",
		`[{"P":{"id":"3"}}]`:                          "",
		`[{"P":{"template_id":"0","extra":""}}]`:      "",
		`[{"P":{"template_id":1,"id":7}}]`:            "",
		`[{"P":{"reserve_from":1,"extra":"SIZE=5"}}]`: "",
		`[{"P":{"reserve_from":1}}]`:                  "networks_values[0].P",
		`[{"P":{"reserve_from":1,"extra":" "}}]`:      "networks_values[0].P",
		`[{"P":{"reserve_from":1,"extra":5}}]`:        "networks_values[0].P.extra",
		`[{"P":{"id":"x"}}]`:                          "networks_values[0].P.id",
		`[{"P":{"id":-1}}]`:                           "networks_values[0].P.id",
		`[{"P":{"id":null}}]`:                         "networks_values[0].P.id",
		`[{"P":{"id":1}},{"Q":{"template":1}}]`:       "networks_values[1].Q",
		`[{"P":{}}]`:                                  "networks_values[0].P",
		`[{"P":3}]`:                                   "networks_values[0].P",
	} {
		body, err := Parse([]byte(`{"name":"n","roles":[],"networks_values":` + values + `}`))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = body.Instantiate(nil)
		var e *Error
		switch {
		case place == "" && err != nil:
			t.Errorf("%s: %v", values, err)
		case place != "" && (!errors.As(err, &e) || e.Path != place):
			t.Errorf("%s: %v, want an error at %s", values, err, place)
		}
	}
	body, err := Parse([]byte(`{"name":"n","roles":[],"networks":{"P":"M|network|||foo:3"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := body.Instantiate(nil); err == nil {
		t.Error("a default of an unknown kind is taken")
	}
}
