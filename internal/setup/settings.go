package setup

import (
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
)

// Kinds are the kinds of jobs that the configuration has limits and schedules for.
var Kinds = []string{payment.KindSettle, payment.KindReply, payment.KindPayComplete, payment.KindWaybillStatus, payment.KindPayInfo, payment.KindPublishReply}

// MessageRules are what the configuration says about genuine messages of the notify queue.
func MessageRules(c *config.Config) message.Rules {
	return message.Rules{
		Keys:         Reveal(c.JDPay.Md5Key),
		Profile:      SignProfile(c),
		BodyEncoding: message.BodyEncoding(c.JDPay.BodyEncoding),
		Format: message.Format{
			InFen: c.Payment.AmountUnit == "fen", Zone: c.Payment.Location(), StatusField: c.Payment.StatusField,
		},
		Success: c.Payment.SuccessStatuses,
	}
}

// PaymentRules are what the configuration says about which payments are settled.
func PaymentRules(c *config.Config) payment.Rules {
	return payment.Rules{
		Message:            MessageRules(c),
		AmountCheck:        payment.AmountCheck(c.Payment.AmountCheck),
		UnknownOrderWindow: c.Payment.UnknownOrderWindow,
	}
}

// ReplyRules are what the configuration says about the messages of the sync-reply queue: which are genuine, and what a
// cabinet's reply says.
func ReplyRules(c *config.Config) (message.Rules, payment.ReplyRules) {
	r := c.SyncReply
	rules := MessageRules(c)
	rules.ReplyKeys = Reveal(r.Md5Key)
	return rules, payment.ReplyRules{
		MessageID: r.Fields.MessageId, Device: r.Fields.Device, Code: r.Fields.Code, Text: r.Fields.Text, RequireDevice: r.RequireDevice,
		Success: r.SuccessCodes, Pending: r.PendingCodes, PublishTTL: c.Redis.ReplyTtl,
	}
}

// SignProfile is how messages are signed.
func SignProfile(c *config.Config) message.Profile {
	return message.Profile{
		Name: c.JDPay.SignProfile, SkipEmpty: c.JDPay.SkipEmpty, Exclude: c.JDPay.Exclude, Include: c.JDPay.Include,
		CaseInsensitiveSort: c.JDPay.CaseInsensitiveSort, TrimValues: c.JDPay.TrimValues,
	}
}

// Reveal returns the values of secrets.
func Reveal(secrets []config.Secret) []string {
	out := make([]string, len(secrets))
	for i, s := range secrets {
		out[i] = s.Reveal()
	}
	return out
}

// PayTypes are the codes of payment channels in the company's tables.
func PayTypes(c *config.Config) payment.PayTypes {
	return payment.PayTypes{Known: c.Payment.PayTypes, Default: c.Payment.DefaultPayType}
}

// Policy is what the configuration says about jobs of a kind.
func Policy(c *config.Config, kind string) job.Policy {
	retry := c.Jobs.RetryOf(kind)
	return job.Policy{
		Concurrency: c.Jobs.ConcurrencyOf(kind),
		Schedule:    job.Schedule{FirstWait: retry.FirstWait, Factor: retry.Factor, MaxWait: retry.MaxWait, Timeout: retry.Timeout},
	}
}

// Timeouts are how long jobs of each kind are tried, counted from an operator's retry.
func Timeouts(c *config.Config) map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, kind := range Kinds {
		out[kind] = c.Jobs.RetryOf(kind).Timeout
	}
	return out
}
