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

// KindPublishReply is the kind of the jobs that hand a cabinet's reply to other services.
const KindPublishReply = "reply-publish"

// The outcomes of a cabinet's reply, beside Confirmed and Refused, which conclude the command it answers.
const (
	ReplyPending  job.Outcome = "pending"  // not final: the cabinet is busy or still opening
	ReplyRepeated job.Outcome = "repeated" // the command was concluded by an earlier reply
	ReplyLate     job.Outcome = "late"     // the command was concluded without one: sent, expired, discarded
	ReplyUnknown  job.Outcome = "unknown"  // there is no such command
	ReplyForeign  job.Outcome = "foreign"  // the command was not sent yet, or to another cabinet
	Published     job.Outcome = "published"
)

// ReplyRules are what the configuration fixes about cabinets' replies.
type ReplyRules struct {
	MessageID, Device string // names of payload fields, without regard to case
	Code, Text        string
	RequireDevice     bool     // a reply that names no device does not count
	Success, Pending  []string // codes; any other one is a refusal
	PublishTTL        time.Duration
}

// Complete returns an ErrMalformed if a reply lacks what it must have to be matched with a command.
func (r *ReplyRules) Complete(p message.Payload) error {
	for _, name := range []string{r.MessageID, r.Code} {
		if p.Get(name) == "" {
			return message.Malformedf("a reply without %s", name)
		}
	}
	return nil
}

// replyPublisher hands replies to other services; see redisstore.Store.
type replyPublisher interface {
	PublishReply(ctx context.Context, messageID string, reply []byte, ttl time.Duration) error
}

// Replies matches what comes through the sync-reply queue with what waits for it.
type Replies struct {
	Publisher replyPublisher // nil: nobody is told
	Parcels   *Parcels       // know which cabinet a command is for

	rules   message.Rules
	reply   ReplyRules
	store   *job.MySQL
	settler *Settler
	runner  *job.Runner
	report  Report
	group   *batcher.Batcher[*answer]
}

const (
	replyMost    = 64
	replyWidth   = 2
	replyTimeout = 20 * time.Second
)

// NewReplies returns the handlers of the sync-reply queue; rules are those of its messages.
func NewReplies(rules message.Rules, reply ReplyRules, store *job.MySQL, settler *Settler, runner *job.Runner, report Report) *Replies {
	r := &Replies{rules: rules, reply: reply, store: store, settler: settler, runner: runner, report: report}
	r.group = batcher.New(replyMost, replyWidth, func(batch []*answer) []error { return sqldb.WriteBatch(batch, r.match) })
	return r
}

// answer is one cabinet's reply on its way through a transaction.
type answer struct {
	job       *job.Job
	messageID string
	device    string
	code      string
	text      string
	payload   []byte

	orderID int64  // of the command that it answers; 0 if the message id is not one of ours
	cabinet string // the one that the command is for; empty if that is not known
	outcome job.Outcome
	ended   *job.End // what it did to the command, if anything
}

// Handle is the handler of KindReply. What comes is either a cabinet's reply or JD's synchronous answer to a payment,
// which is settled like any other notification.
func (r *Replies) Handle(ctx context.Context, j *job.Job, body job.Raw) (job.Outcome, error) {
	env, p, err := open(j, r.rules, string(body))
	if err != nil {
		return "", err
	}
	if p.IsPayment() {
		return r.settler.settle(j, env, p)
	}
	a := &answer{job: j, messageID: p.Get(r.reply.MessageID), device: p.Get(r.reply.Device), code: p.Get(r.reply.Code), text: p.Get(r.reply.Text), payload: p.Text}
	if err := r.reply.Complete(p); err != nil {
		return "", job.Reject(Malformed, err)
	}
	a.orderID, _ = device.ParseMessageID(a.messageID)
	j.Notes = append(j.Notes, "reply_to", message.Cut(a.messageID, 64), "device_sn", message.Cut(a.device, 64), "code", message.Cut(a.code, 40))
	if err := r.group.Do(context.Background(), a); err != nil { // without ctx: it bounds itself
		return "", undone(err)
	}
	if a.outcome == ReplyForeign {
		j.Notes = append(j.Notes, "sent_to", message.Cut(a.cabinet, 64))
	}
	if a.ended != nil && r.report.Ended != nil {
		r.report.Ended(*a.ended)
	}
	return a.outcome, nil
}

// match is the transaction: lock the commands, conclude those that the replies are final for, note for each reply what
// it did, and enqueue its publication. A command that is still being sent, by whichever instance, is concluded as well:
// a cabinet that has opened will not be told again because its answer was quicker than the broker's.
func (r *Replies) match(batch []*answer) error {
	ctx, cancel := context.WithTimeout(context.Background(), replyTimeout)
	defer cancel()
	batch = slices.SortedFunc(slices.Values(batch), func(a, b *answer) int { return cmp.Compare(a.job.ID, b.job.ID) })
	if err := r.findCabinets(ctx, batch); err != nil {
		return fmt.Errorf("matching %d replies: %w", len(batch), err)
	}
	var publications []*job.Job
	err := sqldb.InTx(ctx, r.store.DB, func(tx *sql.Tx) error {
		publications = nil // those of an attempt that met a deadlock
		commands, err := r.lockCommands(ctx, tx, batch)
		if err != nil {
			return err
		}
		concluded := make([]job.Conclusion, 0, len(batch))
		var confirmed []*job.Locked
		var follow []job.New
		for _, a := range batch {
			c := commands[a.orderID]
			a.outcome, a.ended = r.decide(c, a), nil
			switch a.outcome {
			case Confirmed:
				confirmed = append(confirmed, c)
				a.ended = a.end(c, job.Done, Confirmed, nil)
			case Refused:
				reason := fmt.Errorf("the cabinet refused with code %s: %s", message.Cut(a.code, 40), message.Cut(a.text, 200))
				if err := r.store.ConcludeLocked(ctx, tx, a.job.Now(), []*job.Locked{c}, job.Parked, Refused, reason); err != nil {
					return err
				}
				a.ended = a.end(c, job.Parked, Refused, reason)
			}
			conclusion := job.Conclusion{ID: a.job.ID, State: job.Done, Outcome: a.outcome}
			if c != nil {
				conclusion.Ref = c.Ref
				a.job.SetRef(c.Ref)
			}
			concluded = append(concluded, conclusion)
			if r.Publisher != nil && a.outcome != ReplyForeign { // another cabinet must not end others' waiting
				follow = append(follow, job.New{
					Kind: KindPublishReply, Args: publication{a.messageID, string(a.payload)}, Key: KindPublishReply + ":" + a.job.Key, Ref: conclusion.Ref,
				})
			}
		}
		if err := r.store.ConcludeLocked(ctx, tx, batch[0].job.Now(), confirmed, job.Done, Confirmed, nil); err != nil {
			return err
		}
		if len(follow) > 0 {
			if publications, err = r.runner.Insert(ctx, tx, follow...); err != nil {
				return err
			}
		}
		err = r.runner.Conclude(ctx, tx, concluded)
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

// findCabinets asks the main database, before the transaction in the other one, which cabinets the commands are for: where
// the parcels are now. Of a parcel that was moved after the command the former cabinet's reply does not count; the command
// goes to the new cabinet then, as Mqtt:ReplyTimeout is over. While the main database is down the replies wait.
func (r *Replies) findCabinets(ctx context.Context, batch []*answer) error {
	var ids []int64
	for _, a := range batch {
		if a.orderID != 0 && a.device != "" {
			ids = append(ids, a.orderID)
		}
	}
	serials, err := r.Parcels.serials(ctx, ids)
	for _, a := range batch {
		a.cabinet = serials[a.orderID]
	}
	return err
}

// from reports whether a reply comes from the cabinet that the command was sent to. Serials are compared without regard
// to case and to white space around them, as the database does.
func (r *Replies) from(c *job.Locked, a *answer) bool {
	switch {
	case c.Tries == 0: // not sent, or taken back because the broker was not there
		return false
	case a.device == "":
		return !r.reply.RequireDevice
	}
	return a.cabinet != "" && strings.EqualFold(a.cabinet, a.device)
}

// decide is the rule by which a reply counts, and notes in c that it did: the first final one wins.
func (r *Replies) decide(c *job.Locked, a *answer) job.Outcome {
	has := func(codes []string) bool {
		return slices.ContainsFunc(codes, func(c string) bool { return strings.EqualFold(c, a.code) })
	}
	switch {
	case c == nil:
		return ReplyUnknown
	case !r.from(c, a):
		return ReplyForeign
	case has(r.reply.Pending):
		return ReplyPending
	case !c.State.Finished(): // a replayed command has an outcome and counts all the same
	case c.Outcome == Confirmed || c.Outcome == Refused:
		return ReplyRepeated
	default:
		return ReplyLate
	}
	switch {
	case has(r.reply.Success):
		c.State, c.Outcome = job.Done, Confirmed
	default:
		c.State, c.Outcome = job.Parked, Refused
	}
	return c.Outcome
}

// lockCommands reads the pay-complete jobs that replies answer, by order id, and locks them.
func (r *Replies) lockCommands(ctx context.Context, tx *sql.Tx, batch []*answer) (map[int64]*job.Locked, error) {
	var keys []string
	for _, a := range batch {
		if a.orderID != 0 {
			keys = append(keys, StepKey(KindPayComplete, a.orderID))
		}
	}
	locked, err := r.store.Lock(ctx, tx, keys)
	if err != nil {
		return nil, err
	}
	commands := make(map[int64]*job.Locked, len(locked))
	for _, a := range batch {
		if c := locked[StepKey(KindPayComplete, a.orderID)]; c != nil {
			commands[a.orderID] = c
		}
	}
	return commands, nil
}

// end is what to report of a command that the reply concluded.
func (a *answer) end(c *job.Locked, state job.State, outcome job.Outcome, reason error) *job.End {
	return &job.End{
		Job: &job.Job{
			ID: c.ID, Kind: KindPayComplete, Ref: c.Ref, Tries: c.Tries, Created: c.Created,
			Age: a.job.Now().Sub(c.Created), Notes: []any{"device_sn", a.device, "code", a.code},
		},
		State: state, Outcome: outcome, Err: reason, Took: a.job.Now().Sub(c.Created),
	}
}

// publication is the arguments of a KindPublishReply job.
type publication struct {
	MessageID string `json:"message_id"`
	Reply     string `json:"reply"`
}

// Publish is the handler of KindPublishReply.
func (r *Replies) Publish(ctx context.Context, j *job.Job, p publication) (job.Outcome, error) {
	if err := r.Publisher.PublishReply(ctx, p.MessageID, []byte(p.Reply), r.reply.PublishTTL); err != nil {
		return "", job.Pause(downPause, err) // nothing but Redis can be the matter
	}
	crash.At("reply published")
	return Published, nil
}
