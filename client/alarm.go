package client

import "time"

// An AlarmRule says what to watch, when that is bad, and what to do.
type AlarmRule struct {
	Name        string   `json:"name" doc:"Unique in the project."`
	Description string   `json:"description,omitempty"`
	Expression  string   `json:"expression" doc:"Such as avg(cpu.user_perc{service=7}, 2s) > 80 times 3."`
	MatchBy     []string `json:"match_by,omitempty" maxItems:"64" doc:"Dimensions: one alarm for each of their values. None: one alarm. It never changes."`
	Severity    string   `json:"severity,omitempty" doc:"LOW, MEDIUM, HIGH or CRITICAL; LOW when empty."`
	// ActionsEnabled is true when nil.
	ActionsEnabled *bool        `json:"actions_enabled,omitempty" doc:"False: no action is run. True when left out."`
	Actions        AlarmActions `json:"actions,omitzero"`
	Profile        string       `json:"profile,omitempty" doc:"fast or compat; fast when empty."`
	Lateness       Duration     `json:"lateness,omitzero" doc:"How long after a window's end its late samples are waited for."`
	Silence        Duration     `json:"silence,omitzero" doc:"After how long without a sample a part is missing; Monasca's rule when left out."`
	Missing        string       `json:"missing,omitempty" doc:"What a part becomes that is missing: undetermined, keep, ok or alarm."`
	OKAfter        Duration     `json:"ok_after,omitzero" doc:"How long the parts must be well before the alarm is OK."`
	Damping        Damping      `json:"damping,omitzero"`
	Lifetime       Duration     `json:"lifetime,omitzero" doc:"An alarm without samples for so long is removed."`
	// Maintenance are times in which actions wait.
	Maintenance []Maintenance `json:"maintenance,omitempty" maxItems:"64" doc:"Times in which actions wait."`
}

// A ChangeAlarmRule changes a rule; nil fields stay.
type ChangeAlarmRule struct {
	Name           *string        `json:"name,omitempty"`
	Description    *string        `json:"description,omitempty"`
	Expression     *string        `json:"expression,omitempty" doc:"Its metrics must stay."`
	Severity       *string        `json:"severity,omitempty"`
	ActionsEnabled *bool          `json:"actions_enabled,omitempty"`
	Actions        *AlarmActions  `json:"actions,omitempty" doc:"All of them."`
	Profile        *string        `json:"profile,omitempty"`
	Lateness       *Duration      `json:"lateness,omitempty"`
	Silence        *Duration      `json:"silence,omitempty"`
	Missing        *string        `json:"missing,omitempty"`
	OKAfter        *Duration      `json:"ok_after,omitempty"`
	Damping        *Damping       `json:"damping,omitempty"`
	Lifetime       *Duration      `json:"lifetime,omitempty"`
	Maintenance    *[]Maintenance `json:"maintenance,omitempty" maxItems:"64" doc:"All of them."`
}

// AlarmActions are what happens when an alarm enters a state.
type AlarmActions struct {
	Alarm        []AlarmAction `json:"alarm,omitempty" maxItems:"64"`
	OK           []AlarmAction `json:"ok,omitempty" maxItems:"64"`
	Undetermined []AlarmAction `json:"undetermined,omitempty" maxItems:"64"`
}

// An AlarmAction is one of Notify, Scale, Replace, Restart and Act.
type AlarmAction struct {
	Notify   string      `json:"notify,omitempty" doc:"A notification method, by id or name."`
	Scale    *AlarmScale `json:"scale,omitempty"`
	Replace  bool        `json:"replace,omitempty" doc:"The instance that the alarm is about."`
	Restart  bool        `json:"restart,omitempty" doc:"That instance."`
	Act      *AlarmAct   `json:"act,omitempty"`
	Cooldown Duration    `json:"cooldown,omitzero" doc:"How long the action is not repeated; watching goes on."`
	Every    Duration    `json:"every,omitzero" doc:"Repeats the action while the state lasts."`
}

// An AlarmScale changes the cardinality of a role.
type AlarmScale struct {
	Service uint64 `json:"service,omitempty" doc:"That of the alarm's series when 0."`
	Role    string `json:"role,omitempty" doc:"Likewise when empty."`
	By      string `json:"by" doc:"+2, -2, +20%, -20% or =5."`
}

// An AlarmAct runs an action of a role.
type AlarmAct struct {
	Service uint64 `json:"service,omitempty" doc:"That of the alarm's series when 0."`
	Role    string `json:"role,omitempty" doc:"Likewise when empty."`
	Action  string `json:"action" doc:"Such as poweroff."`
}

// A Damping holds actions back while an alarm changes its state more often than Transitions times Within.
type Damping struct {
	Transitions int      `json:"transitions"`
	Within      Duration `json:"within"`
}

// A Maintenance is a time in which states are shown but actions wait.
type Maintenance struct {
	Reason string            `json:"reason,omitempty"`
	From   time.Time         `json:"from"`
	To     time.Time         `json:"to"`
	Every  Duration          `json:"every,omitzero" doc:"Repeats it, such as 24h."`
	Until  *time.Time        `json:"until,omitempty" doc:"Ends the repetition."`
	Match  map[string]string `json:"match,omitempty" doc:"Only alarms with a series of these dimensions."`
}

// An AlarmDefinition is a rule with what is known of it.
type AlarmDefinition struct {
	ID string `json:"id"`
	AlarmRule
	Deterministic bool      `json:"deterministic,omitempty" doc:"All parts are: without data it is OK."`
	Owner         Party     `json:"owner" doc:"As whom it acts on services."`
	Service       uint64    `json:"service,omitempty" doc:"Whose description it comes from, and changes with."`
	ServiceName   string    `json:"service_name,omitempty"`
	Alarms        int       `json:"alarms" doc:"How many there are."`
	Created       time.Time `json:"created"`
	Updated       time.Time `json:"updated"`
}

// An Alarm is one state machine of a definition.
type Alarm struct {
	ID           string            `json:"id"`
	Definition   string            `json:"definition"`
	Name         string            `json:"name" doc:"Of the definition."`
	Severity     string            `json:"severity"`
	State        string            `json:"state" doc:"OK, ALARM or UNDETERMINED."`
	Match        map[string]string `json:"match,omitempty" doc:"The values of match_by."`
	Parts        []AlarmPart       `json:"parts"`
	Metrics      []AlarmMetric     `json:"metrics" doc:"Its series, 1000 at most."`
	MetricCount  int               `json:"metric_count"`
	Service      uint64            `json:"service,omitempty" doc:"What all its series are about."`
	Role         string            `json:"role,omitempty"`
	Instance     uint32            `json:"instance,omitempty" doc:"Serial."`
	Place        string            `json:"place,omitempty" doc:"The same in names, as commands take it: SERVICE, SERVICE/ROLE or SERVICE/ROLE/NUMBER."`
	Sequence     uint32            `json:"sequence" doc:"Counts its changes of state."`
	Lifecycle    string            `json:"lifecycle_state,omitempty"`
	Link         string            `json:"link,omitempty"`
	Hold         string            `json:"hold,omitempty" doc:"Why actions are held back now: disabled, maintenance, suppressed or damped."`
	Owed         bool              `json:"owed,omitempty" doc:"Actions of the present state were held back."`
	Created      time.Time         `json:"created"`
	Updated      time.Time         `json:"updated"`
	StateUpdated time.Time         `json:"state_updated"`
}

// An AlarmPart is one comparison of an alarm's expression.
type AlarmPart struct {
	Expression string     `json:"expression"`
	State      string     `json:"state"`
	Values     []string   `json:"values,omitempty" doc:"That the last decision was made from, oldest window first."`
	Seen       *time.Time `json:"seen,omitempty" doc:"When the newest sample came."`
}

// An AlarmMetric is a series.
type AlarmMetric struct {
	Name       string            `json:"name"`
	Dimensions map[string]string `json:"dimensions,omitempty"`
}

// A ChangeAlarm changes an alarm by hand; nil fields stay. A State is a real transition, with actions.
type ChangeAlarm struct {
	State     *string `json:"state,omitempty" enum:"OK,ALARM,UNDETERMINED"`
	Lifecycle *string `json:"lifecycle_state,omitempty" maxLength:"50"`
	Link      *string `json:"link,omitempty" maxLength:"512"`
}

// An AlarmTransition is a change of an alarm's state, with the actions that it led to, or would have.
type AlarmTransition struct {
	Time       time.Time     `json:"time"`
	Occasion   string        `json:"occasion,omitempty" doc:"Of a replay or test: changed, released (what was held back), repeated, tested or ended (with what the alarm was about)."`
	Definition string        `json:"definition,omitempty"`
	Alarm      string        `json:"alarm,omitempty"`
	Name       string        `json:"name"`
	Severity   string        `json:"severity"`
	Sequence   uint32        `json:"sequence,omitempty"`
	From       string        `json:"from"`
	To         string        `json:"to"`
	Reason     string        `json:"reason"`
	Detail     string        `json:"detail,omitempty"`
	Parts      []AlarmPart   `json:"parts,omitempty"`
	Metrics    []AlarmMetric `json:"metrics,omitempty"`
	Service    uint64        `json:"service,omitempty"`
	Role       string        `json:"role,omitempty"`
	Instance   uint32        `json:"instance,omitempty"`
	Hold       string        `json:"hold,omitempty" doc:"Why the actions were held back."`
	Runs       []AlarmRun    `json:"runs,omitempty" doc:"The actions that the change led to."`
}

// An AlarmRun is an action of a transition.
type AlarmRun struct {
	AlarmAction
	Held string `json:"held,omitempty" doc:"Why it is not run: cooldown, no instance, or as hold says."`
}

// A TestAlarm asks for the notifications of a state, marked as a test.
type TestAlarm struct {
	State string `json:"state,omitempty" enum:"OK,ALARM,UNDETERMINED" doc:"ALARM when empty."`
	Alarm string `json:"alarm,omitempty" doc:"As if this alarm had entered the state; one without series when empty."`
}

// A ReplayAlarm asks what a rule would have done over history.
type ReplayAlarm struct {
	Definition string     `json:"definition,omitempty" doc:"One that there is, by id or name; otherwise rule."`
	Rule       *AlarmRule `json:"rule,omitempty"`
	From       time.Time  `json:"from"`
	To         time.Time  `json:"to,omitzero" doc:"Now when left out."`
}

// An AlarmChange tells that something about alarms is different.
type AlarmChange struct {
	Definition string `json:"definition,omitempty"`
	// Alarm is the alarm as it is now; nil for a change of the definition.
	Alarm   *Alarm `json:"alarm,omitempty" doc:"As it is now; none when the definition has changed."`
	Removed bool   `json:"removed,omitempty" doc:"The definition is no more."`
	// Reset says that changes may have been missed: read everything anew.
	Reset bool `json:"reset,omitempty" doc:"Changes were missed; read everything anew."`
}

// A NotificationMethod says how somebody is told. Secrets are never shown.
type NotificationMethod struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Type     string    `json:"type"`
	Address  string    `json:"address" doc:"Of URLs, only what is no secret: scheme and host."`
	Period   int       `json:"period" doc:"Seconds between repetitions; 0 for none."`
	Secret   string    `json:"secret,omitempty" doc:"Reads (secret) where there is one."`
	Headers  []string  `json:"headers,omitempty" doc:"Their names; values may be secrets."`
	Template string    `json:"template,omitempty"`
	Extra    bool      `json:"extra,omitempty"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
}

// A PutNotificationMethod makes a method, or changes one: nil fields stay.
type PutNotificationMethod struct {
	Name     *string            `json:"name,omitempty"`
	Type     *string            `json:"type,omitempty" doc:"WEBHOOK, OCCI_WEBHOOK, EMAIL, SLACK, PAGERDUTY or COMMAND."`
	Address  *string            `json:"address,omitempty" doc:"A URL, a mail address, PagerDuty's key, or the name of a command of the server."`
	Period   *int               `json:"period,omitempty" doc:"Seconds between repetitions; 0 for none."`
	Secret   *string            `json:"secret,omitempty" doc:"Signs what is posted."`
	Headers  *map[string]string `json:"headers,omitempty" doc:"All of them."`
	Template *string            `json:"template,omitempty" doc:"A Jinja template of body or text."`
	Extra    *bool              `json:"extra,omitempty" doc:"Adds what Monasca's formats have no place for."`
}

// A Delivery is one notification on its way.
type Delivery struct {
	ID     string     `json:"id"`
	Method string     `json:"method" doc:"Its id."`
	Alarm  string     `json:"alarm,omitempty"`
	Name   string     `json:"name" doc:"Of the alarm's definition."`
	State  string     `json:"state" doc:"That it tells of."`
	Time   time.Time  `json:"time" doc:"Of the change."`
	Test   bool       `json:"test,omitempty"`
	Phase  string     `json:"phase" doc:"queued, retrying, repeating, or dead: given up."`
	Tries  int        `json:"tries"`
	Next   *time.Time `json:"next,omitempty" doc:"When it is tried."`
	Ended  *time.Time `json:"ended,omitempty" doc:"When it was given up."`
	Reason string     `json:"reason,omitempty" doc:"Of the last failure."`
}
