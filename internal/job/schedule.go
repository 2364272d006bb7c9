package job

import (
	"math"
	"strings"
	"time"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
)

// Schedule says when a failed try is followed by the next one.
type Schedule struct {
	FirstWait time.Duration // before the second try
	Factor    float64       // each wait is this many times the one before
	MaxWait   time.Duration // no wait is longer
	Timeout   time.Duration // since the job's creation, or since New.Since: given up afterwards
}

// Check returns what is wrong with the schedule.
func (s Schedule) Check() (faults check.Faults) {
	if s.MaxWait < s.FirstWait {
		faults.Add("MaxWait", lang.M("shorter than FirstWait"), lang.M("give %s or more", s.FirstWait))
	}
	return faults
}

// jitterShare is how far a wait strays from the schedule, so that jobs that failed together do not come back together.
const jitterShare = 0.1

// Wait is the pause after the n-th try that failed (1 is the first): FirstWait × Factor^(n-1), at most MaxWait, ±10 % by jitter, which is
// between -1 and 1.
func (s Schedule) Wait(n int, jitter float64) time.Duration {
	wait := float64(s.FirstWait) * math.Pow(s.Factor, float64(max(n, 1)-1))
	if wait > float64(s.MaxWait) {
		wait = float64(s.MaxWait)
	}
	return time.Duration(wait * (1 + jitterShare*jitter))
}

// maxErrorText bounds what a row remembers of an error, in bytes.
const maxErrorText = 2000

// clean makes an error's text storable: valid UTF-8, without NUL, not endless.
func clean(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
}
