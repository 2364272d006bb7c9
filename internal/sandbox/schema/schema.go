// Package schema holds the company's business tables as the specification gives them. Only the sandbox and tests
// create them; the daemon reads and updates them and never creates or alters them.
package schema

import _ "embed"

// Account is the account database: recharge orders. The daemon's own jdpay_job is created by its migration.
//
//go:embed account.sql
var Account string

// Main is the main database: parcels and cabinets.
//
//go:embed main.sql
var Main string
