package payment

import "jdpay-listener/internal/job"

// Ending is how a job can end.
type Ending struct {
	State   job.State
	Outcome job.Outcome
}

// SettlementOutcomes lists the outcomes of notifications: those of kind settle, which a message of the sync-reply queue has as
// well when it is a notification.
var SettlementOutcomes = []job.Outcome{
	Settled, Duplicate, PaidTwice, AmountMismatch, UnknownOrder, NotSuccess, BadExternalID, StepsExist, NotStorable, BadSignature, Malformed, job.Abandoned,
	Settled, Duplicate, PaidTwice, AmountMismatch, UnknownOrder, NotSuccess, BadExternalID, BadSignature, Malformed, job.Abandoned, job.Crashed,
}

// Endings lists how the jobs of each kind can end by themselves. An operator can also end any of them as discarded.
var Endings = map[string][]Ending{
	KindSettle: notificationEndings,
	KindReply: append([]Ending{
		{job.Done, Confirmed},
		{job.Done, Refused},
		{job.Done, ReplyPending},
		{job.Done, ReplyRepeated},
		{job.Done, ReplyLate},
		{job.Done, ReplyUnknown},
		{job.Done, ReplyForeign},
	}, notificationEndings...),
	KindPayComplete: {
		{job.Done, Sent},
		{job.Done, Confirmed},
		{job.Parked, Expired},
		{job.Parked, Refused},
		{job.Parked, BadDevice},
		{job.Parked, job.MalformedArgs},
		{job.Parked, job.Crashed},
	},
	KindWaybillStatus: {
		{job.Done, Updated},
		{job.Done, Already},
		{job.Parked, Refused},
		{job.Parked, job.Abandoned},
		{job.Parked, job.MalformedArgs},
		{job.Parked, job.Crashed},
	},
	KindPayInfo: {
		{job.Done, Written},
		{job.Parked, job.Abandoned},
		{job.Parked, job.MalformedArgs},
		{job.Parked, job.Crashed},
	},
	KindPublishReply: {
		{job.Done, Published},
		{job.Parked, job.Abandoned},
		{job.Parked, job.MalformedArgs},
		{job.Parked, job.Crashed},
	},
	KindEvidence: {{job.Rejected, Counted}},
}

var notificationEndings = []Ending{
	{job.Done, Settled},
	{job.Done, Duplicate},
	{job.Parked, PaidTwice},
	{job.Parked, AmountMismatch},
	{job.Parked, UnknownOrder},
	{job.Parked, NotSuccess},
	{job.Parked, BadExternalID},
	{job.Parked, StepsExist},
	{job.Parked, NotStorable},
	{job.Parked, Malformed}, // one of the keys signed it
	{job.Parked, job.Abandoned},
	{job.Parked, job.Crashed},
	{job.Rejected, BadSignature},
	{job.Rejected, Malformed},
}
