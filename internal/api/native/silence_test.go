package native_test

import (
	"testing"
	"time"

	"github.com/troupe-dev/troupe/client"
)

// A silence begins, is listed, and is ended; what it chooses must make sense.
func TestSilences(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	until := time.Now().Add(time.Hour)
	made, err := s.Alarms().Silence(ctx, client.NewSilence{Name: "busy", To: until, Reason: "new disks"})
	if err != nil || made.ID == "" || made.By.Name == "" || made.From.IsZero() {
		t.Fatalf("%+v, %v", made, err)
	}
	list, err := s.Alarms().Silences(ctx)
	if err != nil || len(list) != 1 || list[0].ID != made.ID || list[0].Reason != "new disks" || !list[0].To.Equal(made.To) {
		t.Fatalf("%+v, %v", list, err)
	}
	for name, wrong := range map[string]client.NewSilence{
		"no reason":   {To: until},
		"over before": {To: time.Now().Add(-time.Hour), Reason: "x"},
		"backwards":   {From: until.Add(time.Hour), To: until, Reason: "x"},
	} {
		if _, err := s.Alarms().Silence(ctx, wrong); !client.IsInvalid(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Alarms().EndSilence(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Alarms().Silences(ctx); err != nil || len(list) != 0 {
		t.Errorf("after its end: %+v, %v", list, err)
	}
	if err := s.Alarms().EndSilence(ctx, made.ID); !client.IsNotFound(err) {
		t.Errorf("ended twice: %v", err)
	}
}
