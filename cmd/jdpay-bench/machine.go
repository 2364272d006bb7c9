package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
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
	// Two measures of the machine's speed at the time of the run, with which figures of other hours or machines can be put into proportion.
	FsyncMS float64 `json:"fsync_ms"` // median time of a write of 4 KiB with fsync, where the databases are
	HashMBs float64 `json:"hash_mb_per_second"`
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
	if m.FsyncMS, err = fsyncTime(s.dir); err != nil {
		return m, err
	}
	m.HashMBs = hashSpeed()
	db, err := s.openDB("")
	if err != nil {
		return m, err
	}
	defer db.Close()
	return m, db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&m.Database)
}

// fsyncTime returns the median time of an fsync in the folder, in ms.
func fsyncTime(dir string) (float64, error) {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return 0, fmt.Errorf("measuring fsync: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block, times := make([]byte, 4096), make([]time.Duration, 101)
	for i := range times {
		begin := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, fmt.Errorf("measuring fsync: %w", err)
		}
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("measuring fsync: %w", err)
		}
		times[i] = time.Since(begin)
	}
	slices.Sort(times)
	return milliseconds(times[len(times)/2]), nil
}

// hashSpeed returns how many MB of SHA-256 one core hashes in a second.
func hashSpeed() float64 {
	block, n, begin := make([]byte, 1<<20), 0, time.Now()
	for ; time.Since(begin) < 200*time.Millisecond; n++ {
		block[0] = sha256.Sum256(block)[0]
	}
	return float64(n*len(block)) / 1e6 / time.Since(begin).Seconds()
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
