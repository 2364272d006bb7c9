package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine is the machine and the software that were measured.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	MemGiB   int    `json:"memory_gib"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Database string `json:"database"`
	Settings string `json:"database_settings"`
}

// describe returns the machine and the software.
func (s *site) describe(ctx context.Context) (m Machine, err error) {
	m = Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Settings: "innodb_flush_log_at_trx_commit=1 " + strings.ReplaceAll(strings.Join(mariadbSettings, " "), "--", "")}
	m.CPU = strings.TrimSpace(lineOf("/proc/cpuinfo", "model name"))
	var kib int
	if _, err := fmt.Sscanf(lineOf("/proc/meminfo", "MemTotal"), "%d", &kib); err == nil {
		m.MemGiB = (kib + 1<<19) >> 20
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	db, err := s.openDB("")
	if err != nil {
		return m, err
	}
	defer db.Close()
	return m, db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&m.Database)
}

// lineOf returns the text after the first "name:" in a file of /proc.
func lineOf(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if before, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(before) == name {
			return value
		}
	}
	return ""
}
