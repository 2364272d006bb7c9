package config

import (
	"strings"
	"time"
)

// Jobs is how jobs are run, retried and deleted.
type Jobs struct {
	Enabled      bool             `default:"true" doc:"false keeps messages and executes nothing."`
	Concurrency  map[string]int   `default:"settle=256,reply=256,pay-complete=512,waybill-status=1024,pay-info=512,default=16" range:"1..100000" live:"true" doc:"Most jobs of a kind that run at once; default is for kinds not named."`
	Retry        map[string]Retry `live:"true" doc:"Retry schedule of a kind; default is for kinds not named."`
	KeepDone     time.Duration    `default:"168h" doc:"How long finished jobs are kept."`
	KeepRejected time.Duration    `default:"2160h" doc:"How long rejected messages are kept as evidence."`
}

// Retry says when a failed job is tried again: FirstWait before the second try, each wait Factor times the one before,
// at most MaxWait, given up when Timeout since its creation has passed.
type Retry struct {
	FirstWait time.Duration `doc:"Wait before the second try."`
	Factor    float64       `range:"1..100" doc:"Each wait is this many times the one before."`
	MaxWait   time.Duration `doc:"No wait is longer."`
	Timeout   time.Duration `doc:"Age at which the job is parked."`
}

const (
	// FallbackKind is the key for kinds that are not named.
	FallbackKind = "default"
	// commandKind is the kind whose timeout is Mqtt:CommandTtl.
	commandKind = "pay-complete"
)

// defaultRetry returns the default schedules.
func defaultRetry() map[string]Retry {
	const s, m, h = time.Second, time.Minute, time.Hour
	return map[string]Retry{
		"settle":         {1 * s, 2, 60 * s, 48 * h},
		"reply":          {1 * s, 2, 60 * s, 48 * h},
		commandKind:      {1 * s, 2, 30 * s, 15 * m},
		"waybill-status": {5 * s, 2, 10 * m, 48 * h},
		"pay-info":       {1 * s, 2, 5 * m, 48 * h},
		FallbackKind:     {60 * s, 2, 60 * m, 48 * h},
	}
}

// ConcurrencyOf returns how many jobs of the kind may run at once.
func (j Jobs) ConcurrencyOf(kind string) int { return byKind(j.Concurrency, kind) }

// RetryOf returns the retry schedule of the kind.
func (j Jobs) RetryOf(kind string) Retry { return byKind(j.Retry, kind) }

func byKind[V any](m map[string]V, kind string) V {
	for name, v := range m {
		if strings.EqualFold(name, kind) {
			return v
		}
	}
	return m[FallbackKind]
}
