// Package alert tells people what needs them: who is told of what, when, and in which words. It owns table jdpay_alert, which has a
// row for each open alert and those of the past. Robots answer HTTP 200 also when they refuse a message, and an address is a
// credential: it never stands in an error.
//
// Reading order: what there is to tell (catalogue.go), how it comes into the table, from instances (raise.go) and from the job table
// (scan.go), the table (store.go); the loop that sends (tell.go), in which words (text.go, card.go); each receiver's protocol
// (robots.go, webhook.go) and the sending (sender.go); what operators ask and do (acts.go, try.go).
package alert

import (
	"database/sql"
	"log/slog"
	"time"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/ops"
)

// Status is the change that a notice tells of.
type Status string

// The changes. There is no other notice: of an alert that stays open people are told when it opens, after an hour or a silence, and when it is over.
const (
	Opened    Status = "opened"
	StillOpen Status = "still_open"
	Over      Status = "over"
	Test      Status = "test"
)

// Notice is what is sent. Its JSON is the webhook's body.
type Notice struct {
	ID       string    `json:"id"` // the same in every repetition
	Status   Status    `json:"status"`
	Cause    string    `json:"cause"`    // what is wrong, such as amount_mismatch: a word of the program's, in no language
	Page     bool      `json:"page"`     // it is to wake people; else it is information
	Language string    `json:"language"` // of Title and Text: zh or en
	Title    string    `json:"title"`
	Text     []string  `json:"text"` // paragraphs
	Orders   []string  `json:"orders,omitempty"`
	Jobs     []int64   `json:"jobs,omitempty"`
	Commands []string  `json:"commands,omitempty"` // what to type to see more
	Console  string    `json:"console,omitempty"`  // the page to open
	Since    time.Time `json:"since"`
	At       time.Time `json:"at"`
	Instance string    `json:"instance"`
}

// Target is a receiver. URL and Secret are credentials.
type Target struct {
	Name   string // DingTalk, WeCom, Feishu or Webhook
	URL    string
	Secret string   // empty: not signed
	At     []string // who is mentioned when a notice is to wake people: mobile numbers; of Feishu open ids
	AtAll  bool     // the whole group is mentioned then
}

// The names of targets.
const (
	DingTalk = "DingTalk"
	WeCom    = "WeCom"
	Feishu   = "Feishu"
	Webhook  = "Webhook"
)

// Targets lists the names, in the order of the table's columns told_….
var Targets = []string{DingTalk, WeCom, Feishu, Webhook}

// Settings are what the configuration says about alerts. Configure replaces them.
type Settings struct {
	Language  lang.Lang
	Zone      *time.Location // of the times in texts
	Console   string         // the address of the pages that notices name; empty: none
	Heartbeat string         // the address that is asked while all is well; empty: none. It is a credential
	Targets   []Target       // none: alerts are rows and log lines only
	Grace     time.Duration  // the age of unfinished work of a payment at which it is late
}

// Options are what a Teller works with. All are needed.
type Options struct {
	Account, Main *sql.DB
	Sender        *Sender // gets the targets of the settings
	Instance      string  // its name in notices
	Metrics       *ops.Metrics
	Log           *slog.Logger
}
