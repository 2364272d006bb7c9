package alert

import (
	"database/sql"
	"log/slog"
	"time"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
)

// Options are what a Teller works with. All are needed.
type Options struct {
	Store         *job.MySQL  // of the troubles
	Runner        *job.Runner // of the alerts
	Account, Main *sql.DB     // are asked what has become of an order
	Sender        *Sender     // gets the targets of the settings
	Instance      string      // its name in notices
	Log           *slog.Logger
	// States returns the troubles that this instance sees at the moment.
	States func() []job.Trouble
}

// Settings are what the configuration says about alerts. Configure replaces them.
type Settings struct {
	Language  lang.Lang
	Zone      *time.Location // of the times in texts
	Console   string         // the address of the pages that notices name; empty: none
	Heartbeat string         // the address that is asked while all is well; empty: none. It is a credential
	Targets   []Target       // none: nobody is told, and no trouble is noted
}

// NewTeller returns a teller of these settings.
func NewTeller(o Options, s Settings) *Teller {
	t := &Teller{opts: o, seen: make(chan job.Trouble, maxUnnoted), changed: make(chan struct{}, 1), failing: map[string]bool{}}
	t.Configure(s)
	return t
}

// Configure applies other settings from now on.
func (t *Teller) Configure(s Settings) {
	t.opts.Sender.SetTargets(s.Targets)
	t.settings.Store(&s)
}

// Settings returns the settings in force.
func (t *Teller) Settings() Settings { return *t.settings.Load() }
