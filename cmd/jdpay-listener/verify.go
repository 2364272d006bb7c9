package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/setup"
)

func (a *app) verifyCommand() *cobra.Command {
	var reply, showSignature bool
	jobID := ""
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check whether a message would be accepted, and if not, why",
		Long: `Reads one raw message from FILE, or from standard input, and shows how the daemon decodes it: its form and fields, the
text that is hashed (the key masked), the given signature and whether it is the expected one, the decoded notification, and
which signature profiles match, with the settings to configure. It uses neither databases nor the network, and of the
configuration only the sections JDPay, SyncReply and Payment. Exits with 0 only if the message would be accepted.

With --job it reads a kept message from the account database instead, such as a rejected one.

The expected signature is shown only with --show-signature: anybody who sees it can forge the message.`,
		Example: `  jdpay-listener verify message.json
  echo '{"data":"…","sign":"…"}' | JDPay__Md5Key=… jdpay-listener verify
  jdpay-listener verify --job 4711`,
		Args:              maxOneArg(lang.M("one file")),
		ValidArgsFunction: completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			var c *config.Config
			var body string
			var err error
			if cmd.Flags().Changed("job") {
				if len(args) > 0 {
					return usageError{lang.Errorf("give a file or --job, not both")}
				}
				var kind string
				c, kind, body, err = a.keptMessage(cmd.Context(), jobID)
				reply = reply || kind == payment.KindReply
			} else if c, err = a.loadSections("JDPay", "SyncReply", "Payment"); err == nil {
				body, err = a.input(args)
			}
			if err != nil {
				return err
			}
			var replies *payment.ReplyRules
			rules := setup.MessageRules(c)
			if reply {
				genuine, meaning := setup.ReplyRules(c)
				rules, replies = genuine, &meaning
			}
			in := inspect.Message(rules, replies, body)
			var wanted []string
			if showSignature {
				wanted = inspect.Signatures(rules, body)
			}
			if a.json {
				err = a.printJSON(struct {
					inspect.Inspection
					Wanted []string `json:"wanted,omitempty"`
				}{in, wanted})
			} else {
				a.printInspection(in, wanted, c.Payment.Location())
			}
			switch {
			case in.Accepted:
				return err
			case len(in.Matches) > 0 && in.Matches[0] != in.Profile:
				return lang.Errorf("not accepted: %s; its signature is right with JDPay:SignProfile=%s", in.Problem, in.Matches[0])
			}
			return lang.Errorf("not accepted: %s", in.Problem)
		},
	}
	cmd.Flags().BoolVar(&showSignature, "show-signature", false, "show the signature that the message should have: whoever sees it can forge this message")
	cmd.Flags().StringVar(&jobID, "job", "", "the message that the job with this `ID` keeps, of kind settle or reply")
	cmd.Flags().BoolVar(&reply, "reply", false, "the message is one of the sync-reply queue: use that queue's keys, and accept cabinets' replies")
	return cmd
}

// keptMessage reads the message that a job keeps, and the job's kind.
func (a *app) keptMessage(ctx context.Context, id string) (c *config.Config, kind, body string, err error) {
	wanted, err := ids([]string{id})
	if err != nil {
		return nil, "", "", usageError{lang.Errorf("--job: %s", err)}
	}
	err = a.withJobs(ctx, func(loaded *config.Config, store *job.MySQL) error {
		c = loaded
		rows, err := store.List(ctx, job.Filter{IDs: wanted}, 1, true)
		switch {
		case err != nil:
			return err
		case len(rows) == 0:
			return lang.Errorf("there is no job %d: finished ones are deleted after Jobs:KeepDone", wanted[0])
		case rows[0].Kind != payment.KindSettle && rows[0].Kind != payment.KindReply:
			return lang.Errorf("job %d keeps no message, it is of kind %s: give one of kind settle or reply", wanted[0], rows[0].Kind)
		case rows[0].Redacted:
			return errRedacted(wanted[0])
		}
		kind, body = rows[0].Kind, rows[0].Args
		return nil
	})
	return c, kind, body, err
}

// loadSections reads the configuration for a command that needs only some sections and no queue. Faults elsewhere are
// ignored.
func (a *app) loadSections(sections ...string) (*config.Config, error) {
	loaded, err := a.loadAll()
	var faults config.Faults
	if errors.Is(err, errNoConfiguration) {
		return nil, err
	}
	if errors.As(err, &faults) {
		noQueue := func(f config.Fault) bool { return f.Key == "JDPay:NotifyQueueName" }
		if faults = slices.DeleteFunc(faults.Of(sections...), noQueue); len(faults) > 0 {
			return nil, faults
		}
	} else if err != nil {
		return nil, err
	}
	return loaded.Config, nil
}

// maxInput bounds the size of a message in bytes. MNS accepts 64 KiB; base64 adds a third.
const maxInput = 1 << 20

// input returns the content of the named file, or of standard input.
func (a *app) input(args []string) (string, error) {
	from := a.stdin
	if len(args) > 0 && args[0] != "-" {
		file, err := os.Open(args[0])
		if err != nil {
			return "", lang.Errorf("reading the message: %s", err)
		}
		defer file.Close()
		from = file
	}
	body, err := io.ReadAll(io.LimitReader(from, maxInput+1))
	switch {
	case err != nil:
		return "", lang.Errorf("reading the message: %s", err)
	case len(body) > maxInput:
		return "", lang.Errorf("reading the message: it has more than 1 MiB, and MNS accepts 64 KiB: give one message only")
	}
	return string(body), nil
}

func (a *app) printInspection(in inspect.Inspection, wanted []string, zone *time.Location) {
	var rows [][]string
	line := func(name, text lang.Message) { rows = append(rows, a.row(name, text)) }
	value := func(name lang.Message, text string) { line(name, lang.Plain(text)) }
	if in.Form != "" {
		value(lang.M("form"), in.Form)
		for _, f := range in.Fields {
			value(lang.M("field %s", f.Name), f.Value)
		}
		value(lang.M("profile"), in.Profile)
		value(lang.M("hashed"), in.Hashed)
		value(lang.M("given sign"), in.Given)
		for i, matches := range in.KeyMatches {
			verdict := lang.M("gives another sign")
			if matches {
				verdict = lang.M("gives this sign")
			}
			line(lang.M("key %d", i+1), verdict)
		}
		for i, sign := range wanted {
			value(lang.M("sign of key %d", i+1), sign)
		}
		for _, match := range in.Matches {
			value(lang.M("matches"), match)
		}
		if len(in.Matches) == 0 {
			line(lang.M("matches"), lang.M("no profile: the key is another one, or the message was altered"))
		}
	}
	if in.Payload != "" {
		value(lang.M("payload"), in.Payload)
	}
	if n := in.Notification; n != nil {
		value(lang.M("order"), n.OrderNo)
		line(lang.M("amount"), lang.M("%s yuan", in.Amount))
		line(lang.M("paid"), lang.M("%s by %q", n.PayTime.In(zone).Format(time.RFC3339), n.PayType))
		external := lang.M("none")
		if n.ExternalID != "" {
			external = lang.Plain(n.ExternalID)
		}
		line(lang.M("external id"), external)
		if n.Status != "" {
			value(lang.M("status"), n.Status)
		}
	}
	if in.Accepted {
		line(lang.M("verdict"), lang.M("accepted"))
	} else {
		line(lang.M("verdict"), lang.M("not accepted: %s", in.Problem))
	}
	a.table(rows, 0)
}
