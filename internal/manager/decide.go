package manager

import (
	"strings"
	"time"
)

// A Decision is what comes next for an instance.
type Decision struct {
	Call *Call     // to be made now
	Wake time.Time // when to decide again at the latest; zero: after the next fact
	Over bool      // nothing is left of the instance: its record may go
}

// Decide says what to do next, from state alone. It returns a call once; the next comes after its answer.
func (i *Instance) Decide(now time.Time) Decision {
	if i.waiting != nil {
		return Decision{}
	}
	i.expire(now)
	switch i.Step {
	case Gone:
		return Decision{Over: true}
	case Resting:
		return Decision{}
	}
	if now.Before(i.next) {
		return Decision{Wake: i.next}
	}
	kind, phase := i.call()
	c := &Call{Kind: kind, Timeout: i.rules.Policy.Call}
	if phase != "" {
		c.Attributes, c.Timeout = i.With(phase), i.rules.Policy.Act
	}
	if !repeatable(kind) {
		c.repeated = i.Doubt
		i.changed = i.changed || !i.Doubt
		i.Doubt = true
	}
	if kind == MakeApp && !i.Hosts || kind == Init && !i.Starts {
		i.Hosts, i.Starts, i.changed = i.Hosts || kind == MakeApp, i.Starts || kind == Init, true
	}
	i.calls++
	c.Number = i.calls
	i.waiting = c
	return Decision{Call: c}
}

// call returns the call of the step, with the phase whose parameters go along.
func (i *Instance) call() (CallKind, Phase) {
	if i.lost {
		return ShowApp, ""
	}
	switch i.Step {
	case Probing:
		return ProbeHost, ""
	case Hosting:
		if i.Doubt { // it may be there
			return ShowApp, ""
		}
		return MakeApp, ""
	case Starting:
		if i.ready {
			return Touch, ""
		}
		return ShowApp, ""
	case Initialising:
		return Init, PhaseActivate
	case Deploying:
		return ActDeploy, PhaseDeploy
	case Provisioning:
		return ActProvision, PhaseProvision
	case Building, Following:
		return Show, ""
	case Disposing:
		return Dispose, PhaseDestroy
	case Removing:
		return RemoveApp, ""
	}
	return ShowApp, "" // Locating
}

// repeatable reports whether a call changes nothing that an earlier one of its kind has done.
func repeatable(k CallKind) bool { return k != MakeApp && k != ActDeploy && k != ActProvision }

// expire ends a step that has lasted too long.
func (i *Instance) expire(now time.Time) {
	p := &i.rules.Policy
	limit := time.Duration(0)
	switch i.Step {
	case Probing, Hosting, Locating:
		if limit = p.Host; now.Sub(i.Created) >= limit {
			i.fail(now, "the program of the orchestrator could not be made within %v%s", limit, because(i.Message))
			i.cut = true
		}
		return
	case Starting:
		limit = p.Start
	case Building:
		limit = p.Build
	case Following:
		limit = p.Build
	case Disposing:
		limit = p.Dispose
	}
	if limit == 0 || now.Sub(i.Since) < limit {
		return
	}
	why := i.Message
	switch i.Step {
	case Starting:
		i.fail(now, "the program of the orchestrator did not answer within %v%s", limit, because(why))
	case Building:
		i.fail(now, "the stack was not complete within %v%s", limit, because(why))
	case Following:
		i.enter(Resting, now)
	case Disposing:
		i.abandonStack(now)
	}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// abandonStack goes on to remove a program that could not dispose of what it has made.
func (i *Instance) abandonStack(now time.Time) {
	why := i.Message
	i.removeApp(now)
	i.Message = "the orchestrator did not dispose of what it has made" + because(why)
}

func (i *Instance) removeApp(now time.Time) {
	if i.Hosts {
		i.enter(Removing, now)
		return
	}
	i.enter(Gone, now)
	i.event(EventDestroy, true, now)
}

// answered goes on from the answer to the call that the instance waits for; any other is late and changes nothing.
func (i *Instance) answered(a *Answer, now time.Time) {
	if i.waiting == nil || i.waiting.Number != a.Number || i.waiting.Kind != a.Call {
		return
	}
	repeated := i.waiting.repeated
	i.waiting = nil
	if i.Step == Gone || i.Step == Resting {
		return
	}
	if (a.Outcome == Unreachable || a.Outcome == Denied) && !repeatable(a.Call) && !repeated { // it has not happened for certain
		i.Doubt, i.changed = false, true
	}
	switch {
	case a.Outcome == Denied && i.State != Destroy:
		i.fail(now, "%s: %s", what(a.Call), a.Message)
		return
	case i.lost && a.Call == ShowApp:
		i.relocated(a, now)
		return
	}
	switch i.Step {
	case Disposing, Removing:
		i.removing(a, now)
	case Starting:
		i.starting(a, now)
	case Following:
		i.following(a, now)
	default:
		i.forward(a, repeated, now)
	}
}

// forward handles the answers of the steps up to provisioning.
func (i *Instance) forward(a *Answer, repeated bool, now time.Time) {
	switch a.Outcome {
	case Unreachable, Unanswered, Unreadable:
		i.again(a, now)
		return
	case Refused:
		i.refused(a, repeated, now)
		return
	}
	i.tries = 0
	switch i.Step {
	case Probing:
		if a.Generation == 2 {
			i.fail(now, "the Cloud Controller is of the second generation, which takes programs by git; only its third is supported")
			return
		}
		i.enter(Hosting, now)
	case Hosting:
		if a.Location != "" {
			i.App = a.Location
		}
		i.enter(Locating, now)
	case Locating:
		i.locate(a)
		i.event(EventInit, true, now)
		i.enter(Starting, now)
		i.event(EventActivate, false, now)
	case Initialising:
		i.State = Activate
		i.event(EventActivate, true, now)
		i.enter(Deploying, now)
		i.event(EventDeploy, false, now)
	case Deploying:
		i.enter(Building, now)
	case Building:
		i.building(a, now)
	case Provisioning:
		i.provisioned(now)
	}
}

func (i *Instance) provisioned(now time.Time) {
	i.State, i.Replays = Provision, 0
	i.event(EventProvision, true, now)
	i.enter(Resting, now)
}

// refused handles an answer that is no success. An orchestrator refuses an action that it has carried out already: where an earlier
// call may have arrived, that is as good as success.
func (i *Instance) refused(a *Answer, repeated bool, now time.Time) {
	switch {
	case i.Step == Hosting && a.Call == ShowApp && a.Status == 404: // the creation in doubt did not happen
		i.Doubt, i.changed = false, true
	case i.Step == Deploying && a.Status == 400 && repeated:
		i.enter(Building, now)
		i.Message = a.Message // should it not have happened, the next look shows that
	case i.Step == Provisioning && a.Status == 400 && repeated:
		i.provisioned(now)
	case a.Status == 404 && (i.Step == Deploying || i.Step == Building || i.Step == Provisioning):
		if i.Replays++; i.Replays > maxReplays {
			i.fail(now, "the orchestrator forgets its service again and again: %s", a.Message)
			return
		}
		i.enter(Initialising, now)
	default:
		i.fail(now, "%s: status %d: %s", what(a.Call), a.Status, a.Message)
	}
}

// building looks at the stack.
func (i *Instance) building(a *Answer, now time.Time) {
	i.see(a.Attributes)
	stack := valueOf(a.Attributes, AttrStack)
	switch {
	case complete(stack):
		i.State = Deploy
		i.event(EventDeploy, true, now)
		i.enter(Provisioning, now)
		i.event(EventProvision, false, now)
	case strings.HasSuffix(stack, "_FAILED"):
		i.fail(now, "the stack is %s%s", stack, because(valueOf(a.Attributes, attrStackReason)))
	case stack == "":
		i.again(&Answer{Call: Show, Outcome: Unreadable, Message: "the orchestrator does not tell " + AttrStack}, now)
	case stack == "uninitialized" && i.Message != "":
		i.fail(now, "the orchestrator did not deploy: %s", i.Message)
	default:
		i.later(now)
	}
}

// attrStackReason is what orchestrators of Troupe's own tell of a stack that failed.
const attrStackReason = "occi.mcn.stack.reason"

// complete reports whether a stack is as every waiter wants it.
func complete(stack string) bool { return stack == "CREATE_COMPLETE" || stack == "UPDATE_COMPLETE" }

// locate takes over what the Cloud Controller says of the program.
func (i *Instance) locate(a *Answer) {
	if a.Location != "" {
		i.App = a.Location
	}
	if u := valueOf(a.Attributes, attrAppURL); u != "" && u != i.Address {
		i.Address, i.changed = u, true
	}
}

// starting waits until the program is there and answers.
func (i *Instance) starting(a *Answer, now time.Time) {
	switch {
	case a.Call == Touch && a.Outcome == Done:
		i.enter(Initialising, now)
		return
	case a.Call == Touch:
		i.ready = false // it may have died, and come back elsewhere
	case a.Outcome == Done:
		i.locate(a)
		if i.ready = i.Address != "" && valueOf(a.Attributes, attrAppState) == "active"; i.ready {
			return
		}
	case a.Outcome == Refused && a.Status == 404:
		i.fail(now, "the Cloud Controller has lost the program of the orchestrator: %s", a.Message)
		return
	}
	if a.Message != "" {
		i.Message = a.Message // for whoever asks what it waits for
	}
	i.later(now)
}

// following waits for the end of an update, which nothing depends on.
func (i *Instance) following(a *Answer, now time.Time) {
	switch {
	case a.Outcome == Done:
		i.see(a.Attributes)
		stack := valueOf(a.Attributes, AttrStack)
		if complete(stack) || strings.HasSuffix(stack, "_FAILED") {
			i.event(EventUpdate, true, now)
			i.enter(Resting, now)
			return
		}
		i.later(now)
	case a.Outcome == Refused:
		i.enter(Resting, now)
	default:
		if i.tries++; i.tries >= i.rules.Policy.Attempts {
			i.enter(Resting, now)
			return
		}
		i.pause(now)
	}
}

// removing goes on with a deletion. The orchestrator has until its time is over; the program is removed sooner or later.
func (i *Instance) removing(a *Answer, now time.Time) {
	gone := a.Outcome == Done || a.Outcome == Refused && a.Status == 404
	switch {
	case gone && i.Step == Disposing:
		i.removeApp(now)
	case gone:
		i.enter(Gone, now)
		i.event(EventDestroy, true, now)
	default:
		if message := what(a.Call) + ": " + a.Message; message != i.Message {
			i.Message, i.changed = message, true
		}
		i.tries++
		if i.lost = i.Hosted && i.Step == Disposing && a.Outcome == Unreachable; i.lost {
			return
		}
		i.pause(now)
	}
}

// relocated goes on with a step once it is known where the orchestrator is by now.
func (i *Instance) relocated(a *Answer, now time.Time) {
	i.lost = false
	switch {
	case a.Outcome == Done:
		i.locate(a)
	case a.Outcome == Refused && a.Status == 404 && i.Step == Disposing: // the program is gone, and with it the one who could
		i.abandonStack(now)
		return
	}
	i.pause(now)
}

// again repeats a call that did not arrive or made no sense, a few times.
func (i *Instance) again(a *Answer, now time.Time) {
	if i.tries++; i.tries >= i.rules.Policy.Attempts {
		i.fail(now, "%s: tried %d times: %s", what(a.Call), i.tries, a.Message)
		i.cut = a.Outcome != Unreadable
		return
	}
	i.Message = what(a.Call) + ": " + a.Message // for whoever asks what it waits for
	if i.lost = i.Hosted && a.Outcome == Unreachable && a.Call.Orchestrator(); !i.lost {
		i.pause(now)
	}
}

// pause waits before a call is repeated.
func (i *Instance) pause(now time.Time) {
	p := &i.rules.Policy
	i.next = now.Add(min(p.Wait<<min(max(i.tries-1, 0), 16), p.MaxWait))
}

// later looks again at what is not ready, the less often the longer it takes.
func (i *Instance) later(now time.Time) {
	p := &i.rules.Policy
	wait := p.Poll
	for range min(i.looks, 32) {
		wait = min(wait+wait/2, p.MaxPoll)
	}
	i.looks++
	i.next = now.Add(wait)
}

// what says what a call was for.
func what(k CallKind) string {
	return map[CallKind]string{ProbeHost: "ask the Cloud Controller what it is", MakeApp: "have the Cloud Controller make the program", ShowApp: "ask the Cloud Controller for the program",
		RemoveApp: "have the Cloud Controller remove the program", Touch: "reach the orchestrator", Init: "initialise the orchestrator", Show: "ask the orchestrator for its state",
		ActDeploy: "have the orchestrator deploy", ActProvision: "have the orchestrator provision", Renew: "update the orchestrator", Dispose: "have the orchestrator dispose"}[k]
}

// String says what the call is for.
func (k CallKind) String() string { return what(k) }

func valueOf(list []Attribute, name string) string {
	for _, a := range list {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}
