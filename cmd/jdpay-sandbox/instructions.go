package main

import (
	"fmt"
	"strings"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sandbox"
)

// printInstructions prints how to send more messages, and the page that shows them.
func (s *screen) printInstructions(c *sandbox.Company, page string) {
	const spare = 5
	var orders []string
	for i := range spare {
		o := sandbox.Order{ID: int64(9001 + i), Amount: "8.00", Device: "CAB-01", Type: 6, Cell: "A01"}
		if err := c.Add(o); err == nil {
			orders = append(orders, o.No())
		}
	}
	s.print("\n")
	s.say(lang.M("It keeps running; Ctrl-C ends it. Addresses and keys:"))
	s.print("\n")
	for _, line := range []struct {
		name  lang.Message
		value string
	}{
		{lang.M("console"), page},
		{lang.M("queues"), c.MNSURL},
		{lang.M("queue names"), sandbox.NotifyQueue + ", " + sandbox.ReplyQueue},
		{lang.M("access key"), sandbox.AccessKeyID + " / " + sandbox.AccessKeySecret},
		{lang.M("MD5 key"), sandbox.Md5Key},
		{lang.M("signature profile"), "kv_amp_bare"},
		{lang.M("database"), "mysql -h 127.0.0.1 -P " + c.MySQL.Addr[strings.LastIndexByte(c.MySQL.Addr, ':')+1:] + " -u root company"},
	} {
		s.print("  " + lang.Left(line.name.In(s.lang), 18) + line.value + "\n")
	}
	s.print("\n")
	s.say(lang.M("Orders waiting to be paid, 8.00 yuan each: %s", strings.Join(orders, " ")))
	s.print(fmt.Sprintf(`
  export JDPAY_CONFIG=%s
  go run ./cmd/jdpay-listener send --order R9001 --amount 8.00
  go run ./cmd/jdpay-listener explain R9001
  go run ./cmd/jdpay-listener jobs list
  go run ./cmd/jdpay-listener doctor
  curl '%s/_search?q=order_no:R9001'
`, c.Settings, c.ESURL))
}
