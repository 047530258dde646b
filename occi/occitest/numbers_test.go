package occitest

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"
)

// specified are the numbers of the specification, from and to.
var specified = [][2]int{{1, 18}, {20, 34}, {40, 46}, {50, 55}, {60, 67}, {70, 77}, {80, 86}, {90, 96}, {100, 101}, {110, 117}}

// TestNumbers: each number of the specification has a test and a line in docs/occi.md, and there is no other.
func TestNumbers(t *testing.T) {
	var want []string
	for _, span := range specified {
		for n := span[0]; n <= span[1]; n++ {
			want = append(want, fmt.Sprintf("T%02d", n))
		}
	}
	if got := Numbers(); !slices.Equal(got, want) {
		t.Errorf("tests are %v, the specification has %v", got, want)
	}
	page, err := os.ReadFile("../../docs/occi.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, m := range regexp.MustCompile(`(?m)^\| (T\d+) \|`).FindAllStringSubmatch(string(page), -1) {
		told = append(told, m[1])
	}
	if !slices.Equal(told, want) {
		t.Errorf("docs/occi.md tells of %v, the specification has %v", told, want)
	}
	for _, x := range tests() {
		if x.run == nil {
			t.Errorf("%s has no test", x.number)
		}
	}
}
