// Package alert tells people of troubles: who is told of which, when, and in which words. What is in trouble is rows of the
// job table; one replica at a time makes alerts of them, which are jobs, too; they go to the group robots of DingTalk, WeCom and
// Feishu, and to any receiver of signed webhooks. Robots answer HTTP 200 also when they refuse a message, and an address is a
// credential: it never stands in an error.
//
// Reading order: who tells (settings.go, teller.go), of what an instance sees (seen.go) and of all that the table has (tell.go),
// in which words (text.go); what receivers get (alert.go, card.go), each receiver's protocol (robots.go, webhook.go), the
// sending (sender.go).
package alert

import "time"

// Status is the change that a notice tells of.
type Status string

// The changes. There is no other notice: a trouble that goes on is told when it begins, after an hour, and when it is over.
const (
	Opened    Status = "opened"
	StillOpen Status = "still_open"
	Over      Status = "over"
	Test      Status = "test"
)

// Notice is what people are told. Its JSON is the webhook's body.
type Notice struct {
	ID       string    `json:"id"` // the same in every repetition
	Status   Status    `json:"status"`
	Cause    string    `json:"cause"`    // what is wrong, such as amount_mismatch: a word of the program's, in no language
	Language string    `json:"language"` // of Title and Text: zh or en
	Title    string    `json:"title"`
	Text     []string  `json:"text"` // paragraphs
	Orders   []string  `json:"orders,omitempty"`
	Jobs     []int64   `json:"jobs,omitempty"`
	Commands []string  `json:"commands,omitempty"` // what to run to see more
	Console  string    `json:"console,omitempty"`  // the page to open
	Since    time.Time `json:"since"`
	At       time.Time `json:"at"`
	Instance string    `json:"instance"`
}

// Target is a receiver. URL and Secret are credentials.
type Target struct {
	Name   string // DingTalk, WeCom, Feishu or Webhook
	URL    string
	Secret string // empty: not signed
}

// The names of targets.
const (
	DingTalk = "DingTalk"
	WeCom    = "WeCom"
	Feishu   = "Feishu"
	Webhook  = "Webhook"
)
