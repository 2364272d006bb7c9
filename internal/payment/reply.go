package payment

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
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
	ReplyPending  = "pending"  // not final: the cabinet is busy or still opening
	ReplyRepeated = "repeated" // the command was concluded by an earlier reply
	ReplyLate     = "late"     // the command was concluded without one: sent, expired, discarded
	ReplyUnknown  = "unknown"  // there is no such command
	ReplyForeign  = "foreign"  // the command was not sent yet, or to another cabinet
	Published     = "published"
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
	db      *sql.DB
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
func NewReplies(rules message.Rules, reply ReplyRules, db *sql.DB, settler *Settler, runner *job.Runner, report Report) *Replies {
	r := &Replies{rules: rules, reply: reply, db: db, settler: settler, runner: runner, report: report}
	r.group = batcher.New(replyMost, replyWidth, func(batch []*answer) []error { return sqldb.Together(batch, r.match) })
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
	outcome string
	ended   *job.End // what it did to the command, if anything
}

// Handle is the handler of KindReply. What comes is either a cabinet's reply or JD's synchronous answer to a payment,
// which is settled like any other notification.
func (r *Replies) Handle(ctx context.Context, j *job.Job, body job.Raw) (string, error) {
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

// command is the pay-complete job that a reply answers.
type command struct {
	id             int64
	ref            string
	state, outcome string
	tries          int
	created        time.Time
	replayed       []byte // the history of a command that was concluded before; nil for others
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
	err := sqldb.InTx(ctx, r.db, func(tx *sql.Tx) error {
		publications = nil // those of an attempt that met a deadlock
		commands, err := lockCommands(ctx, tx, batch)
		if err != nil {
			return err
		}
		concluded := make([]job.Conclusion, 0, len(batch))
		var confirmed []any
		var follow []job.New
		for _, a := range batch {
			c := commands[a.messageID]
			a.outcome, a.ended = r.decide(c, a), nil
			switch a.outcome {
			case Confirmed:
				confirmed = append(confirmed, c.id)
				if err := noteReplay(ctx, tx, c, a, nil); err != nil {
					return err
				}
				a.ended = c.end(job.Done, Confirmed, nil, a)
			case Refused:
				reason := fmt.Errorf("the cabinet refused with code %s: %s", message.Cut(a.code, 40), message.Cut(a.text, 200))
				if err := errors.Join(refuse(ctx, tx, c, reason), noteReplay(ctx, tx, c, a, reason)); err != nil {
					return err
				}
				a.ended = c.end(job.Parked, Refused, reason, a)
			}
			conclusion := job.Conclusion{ID: a.job.ID, State: job.Done, Outcome: a.outcome}
			if c != nil {
				conclusion.Ref = c.ref
				a.job.SetRef(c.ref)
			}
			concluded = append(concluded, conclusion)
			if r.Publisher != nil && a.outcome != ReplyForeign { // another cabinet must not end others' waiting
				follow = append(follow, job.New{
					Kind: KindPublishReply, Args: publication{a.messageID, string(a.payload)}, Key: KindPublishReply + ":" + a.job.Key, Ref: conclusion.Ref,
				})
			}
		}
		if err := confirm(ctx, tx, confirmed); err != nil {
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
func (r *Replies) from(c *command, a *answer) bool {
	switch {
	case c.tries == 0: // not sent, or taken back because the broker was not there
		return false
	case a.device == "":
		return !r.reply.RequireDevice
	}
	return a.cabinet != "" && strings.EqualFold(a.cabinet, a.device)
}

// decide is the rule by which a reply counts, and notes in c that it did: the first final one wins.
func (r *Replies) decide(c *command, a *answer) string {
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
	case !job.State(c.state).Finished(): // a replayed command has an outcome and counts all the same
	case c.outcome == Confirmed || c.outcome == Refused:
		return ReplyRepeated
	default:
		return ReplyLate
	}
	switch {
	case has(r.reply.Success):
		c.state, c.outcome = string(job.Done), Confirmed
	default:
		c.state, c.outcome = string(job.Parked), Refused
	}
	return c.outcome
}

// lockCommands reads the pay-complete jobs that replies answer and locks them, in the same order everywhere.
func lockCommands(ctx context.Context, tx *sql.Tx, batch []*answer) (map[string]*command, error) {
	keys := map[string]string{} // message id by job key
	for _, a := range batch {
		if a.orderID != 0 {
			keys[StepKey(KindPayComplete, a.orderID)] = a.messageID
		}
	}
	commands := map[string]*command{}
	if len(keys) == 0 {
		return commands, nil
	}
	args := make([]any, 0, len(keys))
	for key := range keys {
		args = append(args, key)
	}
	slices.SortFunc(args, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	// R-REPLY-LOCKS: the command's row is locked from the look at its state to its conclusion.
	rows, err := tx.QueryContext(ctx, `SELECT id, unique_key, COALESCE(ref, ''), state, COALESCE(outcome, ''), try_count, created_at,
		IF(finished_at IS NULL, NULL, COALESCE(errors, '')) FROM jdpay_job WHERE unique_key IN `+sqldb.In(len(args))+` FOR UPDATE`, args...)
	if err != nil {
		return nil, fmt.Errorf("locking commands: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c command
		var key string
		if err := rows.Scan(&c.id, &key, &c.ref, &c.state, &c.outcome, &c.tries, &c.created, &c.replayed); err != nil {
			return nil, fmt.Errorf("locking commands: %w", err)
		}
		commands[keys[key]] = &c
	}
	return commands, rows.Err()
}

const concludeCommand = "UPDATE jdpay_job SET lease = NULL, lease_until = NULL, " + job.Concluding

func confirm(ctx context.Context, tx *sql.Tx, ids []any) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, concludeCommand+" WHERE id IN "+sqldb.In(len(ids)), append([]any{job.Done, Confirmed}, ids...)...)
	if err != nil {
		return fmt.Errorf("confirming %d commands: %w", len(ids), err)
	}
	return nil
}

func refuse(ctx context.Context, tx *sql.Tx, c *command, reason error) error {
	_, err := tx.ExecContext(ctx, "UPDATE jdpay_job SET lease = NULL, lease_until = NULL, last_error = ?, "+job.Concluding+" WHERE id = ?", reason.Error(), job.Parked, Refused, c.id)
	if err != nil {
		return fmt.Errorf("parking a refused command: %w", err)
	}
	return nil
}

// noteReplay writes the end of a replayed command into its history; the row keeps its first conclusion.
func noteReplay(ctx context.Context, tx *sql.Tx, c *command, a *answer, reason error) error {
	if c.replayed == nil {
		return nil
	}
	end := job.Failure{At: a.job.Now().UTC(), Try: c.tries, Outcome: a.outcome}
	if reason != nil {
		end.Error = reason.Error()
	}
	if _, err := tx.ExecContext(ctx, "UPDATE jdpay_job SET errors = ? WHERE id = ?", job.AppendHistory(c.replayed, end), c.id); err != nil {
		return fmt.Errorf("noting the end of a replayed command: %w", err)
	}
	return nil
}

// end is what to report of a command that a reply concluded.
func (c *command) end(state job.State, outcome string, reason error, a *answer) *job.End {
	return &job.End{
		Job: &job.Job{
			ID: c.id, Kind: KindPayComplete, Ref: c.ref, Tries: c.tries, Created: c.created,
			Age: a.job.Now().Sub(c.created), Notes: []any{"device_sn", a.device, "code", a.code},
		},
		State: state, Outcome: outcome, Err: reason, Took: a.job.Now().Sub(c.created),
	}
}

// publication is the arguments of a KindPublishReply job.
type publication struct {
	MessageID string `json:"message_id"`
	Reply     string `json:"reply"`
}

// Publish is the handler of KindPublishReply.
func (r *Replies) Publish(ctx context.Context, j *job.Job, p publication) (string, error) {
	if err := r.Publisher.PublishReply(ctx, p.MessageID, []byte(p.Reply), r.reply.PublishTTL); err != nil {
		return "", job.Pause(downPause, err) // nothing but Redis can be the matter
	}
	crash.At("reply published")
	return Published, nil
}
