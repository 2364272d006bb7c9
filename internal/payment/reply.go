package payment

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/batcher"
	"jdpay-listener/internal/crash"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/sqldb"
)

// KindPublishReply is the kind of the jobs that publish a cabinet's reply to other services.
const KindPublishReply = "reply-publish"

// The outcomes of a cabinet's reply, beside Confirmed and Refused, which finish the command.
const (
	ReplyPending  job.Outcome = "pending"  // not final: the cabinet is busy or still opening
	ReplyRepeated job.Outcome = "repeated" // the command was finished by an earlier reply
	ReplyLate     job.Outcome = "late"     // the command was finished without one: expired, discarded, or sent and this reply is no refusal
	ReplyUnknown  job.Outcome = "unknown"  // there is no such command
	ReplyForeign  job.Outcome = "foreign"  // the command was not sent yet, or to another cabinet
	Published     job.Outcome = "published"
)

// ReplyRules are the configured rules for cabinets' replies.
type ReplyRules struct {
	MessageID, Device string // names of payload fields, without regard to case
	Code, Text        string
	RequireDevice     bool     // a reply that names no device is foreign
	Success, Pending  []string // codes; any other one is a refusal
	PublishTTL        time.Duration
}

// Complete returns an ErrMalformed if a reply lacks a field without which it cannot be matched with a command.
func (r *ReplyRules) Complete(p message.Payload) error {
	for _, name := range []string{r.MessageID, r.Code} {
		if p.Get(name) == "" {
			return message.Malformedf("a reply without %s", name)
		}
	}
	return nil
}

// replyPublisher publishes replies to other services; see redisstore.Store.
type replyPublisher interface {
	PublishReply(ctx context.Context, messageID string, reply []byte, ttl time.Duration) error
}

// Replies handles the messages of the sync-reply queue. It matches cabinets' replies with the commands that wait for them.
type Replies struct {
	Publisher replyPublisher // nil: replies are not published
	Parcels   *Parcels       // read which cabinet a command is for

	rules      message.Rules
	replyRules ReplyRules
	store      *job.MySQL
	settler    *Settler
	runner     *job.Runner
	report     Report
	batcher    *batcher.Batcher[*reply]
}

const (
	maxReplies       = 64 // in one transaction
	replyConcurrency = 2
	replyTimeout     = 20 * time.Second
)

// NewReplies returns the handlers of the sync-reply queue; rules are those of its messages.
func NewReplies(rules message.Rules, replyRules ReplyRules, store *job.MySQL, settler *Settler, runner *job.Runner, report Report) *Replies {
	r := &Replies{rules: rules, replyRules: replyRules, store: store, settler: settler, runner: runner, report: report}
	r.batcher = batcher.New(maxReplies, replyConcurrency, func(batch []*reply) []error { return sqldb.WriteBatch(batch, r.match) })
	return r
}

// reply is one cabinet's reply in a batch.
type reply struct {
	job       *job.Job
	messageID string
	device    string
	code      string
	text      string
	payload   []byte

	orderID int64  // of the command; 0 if the message id is not one of this program
	cabinet string // that the command is for; empty if that is not known
	outcome job.Outcome
	ended   *job.End // of the command that the reply finished; nil if it finished none
}

// Handle is the handler of KindReply. A message is either a cabinet's reply, or JD's synchronous answer to a payment, which
// is settled like any other notification.
func (r *Replies) Handle(ctx context.Context, j *job.Job, body job.Raw) (job.Outcome, error) {
	env, p, err := open(j, r.rules, string(body))
	if err != nil {
		return "", err
	}
	if p.IsPayment() {
		return r.settler.settle(j, env, p)
	}
	rep := &reply{job: j, messageID: p.Get(r.replyRules.MessageID), device: p.Get(r.replyRules.Device), code: p.Get(r.replyRules.Code), text: p.Get(r.replyRules.Text), payload: p.Text}
	if err := r.replyRules.Complete(p); err != nil {
		return "", job.Permanent(Malformed, err)
	}
	rep.orderID, _ = device.ParseMessageID(rep.messageID)
	j.Notes = append(j.Notes, "reply_to", message.Cut(rep.messageID, 64), "device_sn", message.Cut(rep.device, 64), "code", message.Cut(rep.code, 40))
	if err := r.batcher.Do(context.Background(), rep); err != nil { // without ctx: replyTimeout bounds it
		return "", rollbackVerdict(err)
	}
	if rep.outcome == ReplyForeign {
		j.Notes = append(j.Notes, "sent_to", message.Cut(rep.cabinet, 64))
	}
	if rep.ended != nil && r.report.Ended != nil {
		r.report.Ended(*rep.ended)
	}
	return rep.outcome, nil
}

// match runs the transaction: lock the commands, finish those that have a final reply, finish the replies' own jobs,
// and create the jobs that publish the replies. A command that an instance is still sending is finished as well: a
// cabinet that has opened must not get the command again because its reply came before the broker's acknowledgement.
func (r *Replies) match(batch []*reply) error {
	ctx, cancel := context.WithTimeout(context.Background(), replyTimeout)
	defer cancel()
	batch = slices.SortedFunc(slices.Values(batch), func(a, b *reply) int { return cmp.Compare(a.job.ID, b.job.ID) })
	if err := r.findCabinets(ctx, batch); err != nil {
		return fmt.Errorf("matching %d replies: %w", len(batch), err)
	}
	var publications []*job.Job
	err := sqldb.InTx(ctx, r.store.DB, func(tx *sql.Tx) error {
		publications = nil // of an attempt that a deadlock rolled back
		commands, err := r.lockCommands(ctx, tx, batch)
		if err != nil {
			return err
		}
		results := make([]job.Result, 0, len(batch))
		var confirmed []*job.Row
		var newPublications []job.New
		for _, rep := range batch {
			c := commands[rep.orderID]
			sent := c != nil && c.Outcome == Sent
			rep.outcome, rep.ended = r.decide(c, rep), nil
			switch rep.outcome {
			case Confirmed:
				confirmed = append(confirmed, c)
				rep.ended = rep.end(c, job.Done, Confirmed, nil)
			case Refused:
				reason := fmt.Errorf("the cabinet refused with code %s: %s", message.Cut(rep.code, 40), message.Cut(rep.text, 200))
				if sent { // it was finished, but the door is closed
					err = r.store.Overrule(ctx, tx, c, Refused, reason)
				} else {
					err = r.store.FinishLocked(ctx, tx, rep.job.Now(), []*job.Row{c}, job.Parked, Refused, reason)
				}
				if err != nil {
					return err
				}
				rep.ended = rep.end(c, job.Parked, Refused, reason)
			}
			result := job.Result{ID: rep.job.ID, State: job.Done, Outcome: rep.outcome}
			if c != nil {
				result.Ref = c.Ref
				rep.job.SetRef(c.Ref)
			}
			results = append(results, result)
			if r.Publisher != nil && rep.outcome != ReplyForeign { // services that wait must not see another cabinet's reply
				newPublications = append(newPublications, job.New{
					Kind: KindPublishReply, Args: publication{rep.messageID, string(rep.payload)}, Key: KindPublishReply + ":" + rep.job.Key, Ref: result.Ref,
					Enqueued: rep.job.Enqueued, Trace: rep.job.Trace,
				})
			}
		}
		if err := r.store.FinishLocked(ctx, tx, batch[0].job.Now(), confirmed, job.Done, Confirmed, nil); err != nil {
			return err
		}
		if len(newPublications) > 0 {
			if publications, err = r.runner.Insert(ctx, tx, newPublications...); err != nil {
				return err
			}
		}
		err = r.runner.FinishInTx(ctx, tx, results)
		crash.At("reply matched")
		return err
	})
	if err != nil {
		return fmt.Errorf("matching %d replies: %w", len(batch), err)
	}
	crash.At("reply committed")
	r.runner.Start(publications)
	return nil
}

// findCabinets reads from the main database which cabinets the commands are for: those that the parcels are in now. It
// runs before the transaction, which is on the account database. If a parcel was moved after its command was sent, a reply
// of the former cabinet is foreign, and after Mqtt:ReplyTimeout the command goes to the new cabinet. While the main
// database is down, replies wait.
func (r *Replies) findCabinets(ctx context.Context, batch []*reply) error {
	var ids []int64
	for _, rep := range batch {
		if rep.orderID != 0 && rep.device != "" {
			ids = append(ids, rep.orderID)
		}
	}
	labels, err := r.Parcels.Labels(ctx, ids)
	for _, rep := range batch {
		rep.cabinet = labels[rep.orderID].DeviceSN
	}
	return err
}

// isFromItsCabinet reports whether a reply comes from the cabinet that the command was sent to. Serials are compared
// without regard to case and surrounding white space, as the database does.
func (r *Replies) isFromItsCabinet(c *job.Row, rep *reply) bool {
	switch {
	case !c.Tried(): // the command was not sent; a try while the broker was down does not count
		return false
	case rep.device == "":
		return !r.replyRules.RequireDevice
	}
	return rep.cabinet != "" && strings.EqualFold(rep.cabinet, rep.device)
}

// decide returns a reply's outcome. The first final reply finishes the command, and a refusal also one that was done when it
// was sent; decide marks c as finished for the later replies of the batch.
func (r *Replies) decide(c *job.Row, rep *reply) job.Outcome {
	has := func(codes []string) bool {
		return slices.ContainsFunc(codes, func(c string) bool { return strings.EqualFold(c, rep.code) })
	}
	switch {
	case c == nil:
		return ReplyUnknown
	case !r.isFromItsCabinet(c, rep):
		return ReplyForeign
	case has(r.replyRules.Pending):
		return ReplyPending
	case !c.State.Finished(): // also a replayed command, which has an outcome already
	case c.Outcome == Sent && !has(r.replyRules.Success):
	case c.Outcome == Confirmed || c.Outcome == Refused:
		return ReplyRepeated
	default:
		return ReplyLate
	}
	switch {
	case has(r.replyRules.Success):
		c.State, c.Outcome = job.Done, Confirmed
	default:
		c.State, c.Outcome = job.Parked, Refused
	}
	return c.Outcome
}

// lockCommands reads and locks the pay-complete jobs that the replies name, by order id.
func (r *Replies) lockCommands(ctx context.Context, tx *sql.Tx, batch []*reply) (map[int64]*job.Row, error) {
	var keys []string
	for _, rep := range batch {
		if rep.orderID != 0 {
			keys = append(keys, StepKey(KindPayComplete, rep.orderID))
		}
	}
	locked, err := r.store.Lock(ctx, tx, keys)
	if err != nil {
		return nil, err
	}
	commands := make(map[int64]*job.Row, len(locked))
	for _, rep := range batch {
		if c := locked[StepKey(KindPayComplete, rep.orderID)]; c != nil {
			commands[rep.orderID] = c
		}
	}
	return commands, nil
}

// end returns the report on a command that the reply finished.
func (rep *reply) end(c *job.Row, state job.State, outcome job.Outcome, reason error) *job.End {
	j := c.JobAt(rep.job.Now())
	j.Notes = []any{"device_sn", rep.device, "code", rep.code}
	return &job.End{Job: j, State: state, Outcome: outcome, Err: reason, Took: j.Age}
}

// publication has the arguments of a KindPublishReply job.
type publication struct {
	MessageID string `json:"message_id"`
	Reply     string `json:"reply"`
}

// Publish is the handler of KindPublishReply.
func (r *Replies) Publish(ctx context.Context, j *job.Job, p publication) (job.Outcome, error) {
	if err := r.Publisher.PublishReply(ctx, p.MessageID, []byte(p.Reply), r.replyRules.PublishTTL); err != nil {
		return "", job.Pause(downPause, err) // every error is one of Redis
	}
	crash.At("reply published")
	return Published, nil
}
