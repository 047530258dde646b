package service

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// directives are the words that a line of a scenario may begin with.
var directives map[string]func(x *scene, args []string) error

func init() { // breaks the circle between the table and those that call line
	directives = map[string]func(x *scene, args []string) error{
		"service": (*scene).service, "crash": (*scene).crash, "advance": (*scene).passTime,
		"backend": (*scene).backend, "answer": (*scene).answerNow, "list": (*scene).list,
		"machine": (*scene).machine, "exit": (*scene).exit, "fail": (*scene).failed, "vanish": (*scene).vanish, "absent": (*scene).absent,
		"healthy": health(Healthy), "unhealthy": health(Unhealthy), "ailing": (*scene).ailing, "ready": (*scene).ready, "report": (*scene).report, "measure": (*scene).measure,
		"scale": (*scene).scaleRole, "recover": (*scene).recover, "update": (*scene).update, "rollback": (*scene).rollback, "pause": pausing(true), "continue": pausing(false),
		"undeploy": (*scene).undeploy, "add-role": (*scene).addRole, "remove-role": (*scene).removeRole, "release": (*scene).release,
		"act": (*scene).act, "cancel": (*scene).cancel, "replace": (*scene).replace, "attach": managing(Managed), "detach": managing(Unmanaged), "pass": managing(OnePass), "expect": (*scene).expect,
	}
}

// options takes "key=value" and bare words out of the arguments that follow the first n.
func options(args []string, n int, known ...string) (map[string]string, error) {
	if len(args) < n {
		return nil, fmt.Errorf("%d arguments are needed", n)
	}
	o := map[string]string{}
	for _, a := range args[n:] {
		k, v, ok := strings.Cut(a, "=")
		if !ok {
			v = "yes"
		}
		if !slices.Contains(known, k) {
			return nil, fmt.Errorf("%q is none of %v", k, known)
		}
		o[k] = v
	}
	return o, nil
}

func (x *scene) service(args []string) error {
	if len(args) != 1 {
		return errors.New("service FILE")
	}
	spec, err := x.spec(args[0])
	if err != nil {
		return err
	}
	x.w = newWorld(spec)
	return nil
}

func (x *scene) crash([]string) error {
	x.w.crash()
	return nil
}

func (x *scene) passTime(args []string) error {
	if len(args) != 1 {
		return errors.New("advance DURATION")
	}
	d, err := time.ParseDuration(args[0])
	if err == nil {
		x.advance(d)
	}
	return err
}

// backend says how the back end answers from now on.
func (x *scene) backend(args []string) error {
	if len(args) == 0 {
		return errors.New("backend silent|well|refuse|keep …")
	}
	o, err := options(args, min(2, len(args)), "on")
	if err != nil {
		return err
	}
	switch args[0] {
	case "silent":
		x.silent = true
	case "well":
		x.silent, x.wrong = false, nil
	case "refuse": // creations
		if len(args) < 2 {
			return errors.New("backend refuse full|invalid|fail|lost|doubt|doubt-made|pending|dead [on=DRIVER]")
		}
		x.silent, x.wrong = false, append(x.wrong, trouble{DoCreate, o["on"], args[1]})
	case "refuse-resources":
		if len(args) < 2 {
			return errors.New("backend refuse-resources full|invalid|fail|lost|pending|dead")
		}
		x.silent, x.wrong = false, append(x.wrong, trouble{DoMake, "", args[1]})
	case "keep-resources":
		x.silent, x.wrong = false, append(x.wrong, trouble{DoUnmake, "", "fail"})
	case "keep": // machines that are to be destroyed
		x.silent, x.wrong = false, append(x.wrong, trouble{DoDestroy, "", "fail"})
	default:
		return fmt.Errorf("the back end cannot be %q", args[0])
	}
	return nil
}

func (x *scene) answerNow([]string) error {
	x.answer()
	return nil
}

func (x *scene) list([]string) error {
	x.w.list()
	return nil
}

// see tells the service that a machine is in another state.
func (x *scene) see(args []string, m driver.Machine) error {
	i, err := x.instance(args[0])
	if err != nil {
		return err
	}
	id := x.w.svc.MachineID(i)
	switch f := x.w.machines[id]; {
	case m.State == driver.Gone:
		delete(x.w.machines, id)
	case f == nil:
		return fmt.Errorf("%s has no machine", args[0])
	default:
		f.state, f.code = m.State, m.ExitCode
	}
	return x.w.tell(Fact{Kind: Seen, Serial: i.Serial, Incarnation: i.Incarnation, Machine: m})
}

func (x *scene) machine(args []string) error {
	if len(args) < 2 {
		return errors.New("machine ROLE/N STATE [REASON]")
	}
	for st := driver.Unknown; st <= driver.Gone; st++ {
		if st.String() == args[1] {
			return x.see(args, driver.Machine{State: st, Reason: strings.Join(args[2:], " ")})
		}
	}
	return fmt.Errorf("machines have no state %q", args[1])
}

func (x *scene) exit(args []string) error {
	if len(args) != 2 {
		return errors.New("exit ROLE/N CODE")
	}
	code, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return x.see(args, driver.Machine{State: driver.Exited, ExitCode: code})
}

func (x *scene) failed(args []string) error {
	return x.see(args, driver.Machine{State: driver.Failed, Reason: strings.Join(args[1:], " ")})
}

func (x *scene) vanish(args []string) error { return x.see(args, driver.Machine{State: driver.Gone}) }

func (x *scene) absent(args []string) error {
	i, err := x.instance(args[0])
	if err != nil {
		return err
	}
	return x.w.tell(Fact{Kind: Absent, Serial: i.Serial, Incarnation: i.Incarnation})
}

func health(h Health) func(*scene, []string) error {
	return func(x *scene, args []string) error {
		i, err := x.instance(args[0])
		if err != nil {
			return err
		}
		f := Fact{Kind: Checked, Serial: i.Serial, Incarnation: i.Incarnation, Health: h, Reason: strings.Join(args[1:], " ")}
		if h == Healthy {
			f.Passing = 1<<len(i.Checks()) - 1
		}
		return x.w.tell(f)
	}
}

// ailing tells that one check fails, and that the others pass.
func (x *scene) ailing(args []string) error {
	if len(args) < 2 {
		return errors.New("ailing ROLE/N CHECK WORDS")
	}
	i, err := x.instance(args[0])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	f := Fact{Kind: Checked, Serial: i.Serial, Incarnation: i.Incarnation, Health: Ailing, Failing: 1 << n, Reason: strings.Join(args[2:], " ")}
	f.Passing = (1<<len(i.Checks()) - 1) &^ f.Failing
	return x.w.tell(f)
}

func (x *scene) ready(args []string) error { return x.report([]string{args[0], "READY", "YES"}) }

func (x *scene) report(args []string) error {
	if len(args) != 3 {
		return errors.New("report ROLE/N KEY VALUE")
	}
	i, err := x.instance(args[0])
	if err != nil {
		return err
	}
	return x.w.tell(Fact{Kind: Reported, Serial: i.Serial, Key: args[1], Value: args[2]})
}

func (x *scene) measure(args []string) error {
	values := make(map[string]Reading)
	for _, a := range args[min(1, len(args)):] {
		name, text, _ := strings.Cut(a, "=")
		text, of, average := strings.Cut(text, "/")
		r := Reading{Of: 1, At: x.w.now}
		var err error
		if r.Value, err = strconv.ParseFloat(text, 64); err == nil && average {
			r.Of, err = strconv.Atoi(of)
		}
		if err != nil {
			return err
		}
		values[name] = r
	}
	if len(args) == 0 {
		return errors.New("measure ROLE NAME=VALUE[/OF] …")
	}
	return x.w.tell(Fact{Kind: Measured, Measurement: &Measurement{Role: args[0], Values: values}})
}

// order sends a command, with the options id, by and because.
func (x *scene) order(c Command, o map[string]string) error {
	c.ID, c.Insists, c.By, c.Because = o["id"], o["insists"] != "", o["by"], o["because"]
	return x.w.command(c)
}

func (x *scene) scaleRole(args []string) error {
	c, o, err := x.scaling(args)
	if err != nil {
		return err
	}
	x.w.forced = x.w.forced || c.Scale.Force
	return x.order(c, o)
}

func (x *scene) scaling(args []string) (Command, map[string]string, error) {
	o, err := options(args, 2, "force", "clamp", "cooldown", "id", "insists", "by", "because")
	if err != nil {
		return Command{}, nil, err
	}
	c := &Scale{Role: args[0], Force: o["force"] != "", Clamp: o["clamp"] != ""}
	if numbers, chosen := strings.CutPrefix(args[1], "without="); chosen {
		for number := range strings.SplitSeq(numbers, ",") {
			i, err := x.instance(args[0] + "/" + number)
			if err != nil {
				return Command{}, nil, err
			}
			c.Remove = append(c.Remove, i.Serial)
		}
	} else if by, relative := strings.CutPrefix(args[1], "by="); relative {
		if c.By, err = strconv.Atoi(by); err != nil {
			return Command{}, nil, err
		}
	} else if c.Cardinality, err = strconv.Atoi(args[1]); err != nil {
		return Command{}, nil, err
	}
	if o["cooldown"] != "" {
		d, err := time.ParseDuration(o["cooldown"])
		if err != nil {
			return Command{}, nil, err
		}
		c.Cooldown = &d
	}
	return Command{Scale: c}, o, nil
}

func (x *scene) recover(args []string) error {
	o, err := options(args, 0, "delete", "id")
	if err != nil {
		return err
	}
	return x.order(Command{Recover: &Recover{Delete: o["delete"] != ""}}, o)
}

func (x *scene) update(args []string) error {
	c, o, err := x.updating(args)
	if err != nil {
		return err
	}
	return x.order(c, o)
}

func (x *scene) updating(args []string) (Command, map[string]string, error) {
	o, err := options(args, 1, "revision", "live", "id")
	if err != nil {
		return Command{}, nil, err
	}
	spec, err := x.spec(args[0])
	if err != nil {
		return Command{}, nil, err
	}
	revision, _ := strconv.Atoi(o["revision"])
	return Command{Update: &Update{Spec: spec, Revision: uint32(revision), Live: o["live"] != ""}}, o, nil
}

// rollback goes back to a revision, without one to the last that was in place.
func (x *scene) rollback(args []string) error {
	c, err := x.goingBack(args)
	if err != nil {
		return err
	}
	return x.order(c, nil)
}

func (x *scene) goingBack(args []string) (Command, error) {
	to, err := x.w.svc.RollbackTarget()
	if len(args) > 0 {
		n, bad := strconv.Atoi(args[0])
		to, err = uint32(n), bad
	}
	if err != nil {
		return Command{}, err
	}
	return Command{Update: &Update{Spec: x.w.specOf[to], Back: to}}, nil
}

func pausing(on bool) func(*scene, []string) error {
	return func(x *scene, _ []string) error { return x.w.command(Command{PauseUpdate: &PauseUpdate{Pause: on}}) }
}

func (x *scene) undeploy(args []string) error {
	o, err := options(args, 0, "hard", "remove", "data", "force", "id")
	if err != nil {
		return err
	}
	return x.order(Command{Undeploy: &Undeploy{Hard: o["hard"] != "", Remove: o["remove"] != "", Data: o["data"] != "", Force: o["force"] != ""}}, o)
}

func (x *scene) addRole(args []string) error {
	data, err := x.section(args[0])
	if err != nil {
		return err
	}
	var r RoleSpec
	if err := decodeYAML(data, &r); err != nil {
		return err
	}
	completeRole(&r)
	return x.w.command(Command{AddRole: &r})
}

func (x *scene) removeRole(args []string) error {
	return x.w.command(Command{RemoveRole: &RemoveRole{Role: args[0]}})
}

func (x *scene) release(args []string) error {
	return x.w.command(Command{Release: &Release{Role: strings.Join(args, "")}})
}

func (x *scene) act(args []string) error {
	o, err := options(args, 2, "period", "number", "args", "id")
	if err != nil {
		return err
	}
	c := &Act{Action: args[1], Args: o["args"]}
	if c.Role = args[0]; c.Role == "*" {
		c.Role = ""
	}
	if strings.Contains(args[0], "/") {
		i, err := x.instance(args[0])
		if err != nil {
			return err
		}
		c.Role, c.Serial = i.role.Name, i.Serial
	}
	if o["period"] != "" {
		if c.Period, err = time.ParseDuration(o["period"]); err != nil {
			return err
		}
	}
	c.Number, _ = strconv.Atoi(o["number"])
	return x.order(Command{Act: c}, o)
}

func (x *scene) cancel(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return x.w.command(Command{CancelAct: &CancelAct{Role: args[0], Serial: uint32(n)}})
}

func (x *scene) replace(args []string) error {
	o, err := options(args, 1, "failed", "by", "because")
	if err != nil {
		return err
	}
	i, err := x.instance(args[0])
	if err != nil {
		return err
	}
	return x.order(Command{ReplaceOne: &ReplaceOne{Serial: i.Serial, Failed: o["failed"] != ""}}, o)
}

func managing(mode Mode) func(*scene, []string) error {
	return func(x *scene, args []string) error {
		o, err := options(args, 0, "deadline", "id", "by", "because")
		if err != nil {
			return err
		}
		c := &Manage{Mode: mode}
		if o["deadline"] != "" {
			if c.Deadline, err = time.ParseDuration(o["deadline"]); err != nil {
				return err
			}
		}
		return x.order(Command{Manage: c}, o)
	}
}
