// Package telemetry takes in metrics, knows their series, and keeps their history.
//
// A face reads a request into a [Batch] with one of the decoders, and hands the batch to [Intake.Write]
// with a [Binding]: whom the request speaks for. Intake finds each sample's series, shows the points to the
// [Sink] (the alarms), and only then records them in [History] and a [Forwarder]. When those fail, alarms go on.
//
// What happens to samples that are not plain:
//
//   - NaN and infinities are no measurements. Monasca's format refuses the request; others lose the sample. Prometheus'
//     mark for the end of a series goes to history alone, where PromQL needs it.
//   - Later than now by more than [Options.Future], or older than [Options.Retain]: dropped.
//   - Older than [Options.Past]: history has it, but the sink does not see it, for an alarm would take it for news.
//   - Out of order within these bounds: taken, by sink and history.
//   - The time of the series' newest sample again: the first one stays.
//
// Each is counted under its [Reason].
package telemetry
