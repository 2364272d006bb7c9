package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/auditlog"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
)

// operator has the flags of commands that change something: who does it, and why.
type operator struct {
	as, reason string
}

func (o *operator) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.as, "as", "", "your `NAME`, for jdpay_audit (default JDPAY_OPERATOR, SUDO_USER, or the user of this process)")
	cmd.Flags().StringVar(&o.reason, "reason", "", "the reason, a `TEXT` for jdpay_audit")
}

// who returns the operator for jdpay_audit. Its errors are usage errors.
func (o *operator) who(cmd *cobra.Command) (auditlog.Operator, error) {
	if cmd.Flags().Changed("as") && strings.TrimSpace(o.as) == "" { // probably an empty shell variable
		return auditlog.Operator{}, lang.Errorf("--as is empty: give your name, or leave it out")
	}
	account := processUser()
	by := auditlog.Operator{
		Name:   strings.TrimSpace(cmp.Or(o.as, os.Getenv(config.OperatorVariable), os.Getenv("SUDO_USER"), account)),
		From:   from(account),
		Reason: strings.TrimSpace(o.reason),
	}
	return by, by.Validate()
}

// processUser returns the user of this process, or its number if it has no name.
func processUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// from returns where a command was run. It has the process's own user, whatever name was given with --as.
func from(account string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	text := fmt.Sprintf("%s@%s, pid %d", account, host, os.Getpid())
	if sudo := os.Getenv("SUDO_USER"); sudo != "" {
		text += ", sudo by " + sudo
	}
	if tty, err := os.Readlink("/proc/self/fd/0"); err == nil && (strings.HasPrefix(tty, "/dev/pts/") || strings.HasPrefix(tty, "/dev/tty")) {
		text += ", " + strings.TrimPrefix(tty, "/dev/")
	}
	if client, _, _ := strings.Cut(os.Getenv("SSH_CONNECTION"), " "); net.ParseIP(client) != nil {
		text += ", ssh from " + client
	}
	return text
}
