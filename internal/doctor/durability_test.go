package doctor

import (
	"maps"
	"testing"

	"jdpay-listener/internal/testenv"
)

func TestDurability(t *testing.T) {
	single := durability{"innodb_flush_log_at_trx_commit": "1", "log_bin": "OFF", "sync_binlog": "0", "slaves_connected": "0", "wsrep_on": "OFF"}
	galera := map[string]string{"wsrep_on": "ON", "wsrep_ready": "ON", "wsrep_cluster_status": "Primary", "wsrep_cluster_size": "3", "wsrep_local_state_comment": "Synced"}
	replicated := map[string]string{"log_bin": "ON", "sync_binlog": "1", "slaves_connected": "2"}
	semi := map[string]string{"rpl_semi_sync_master_enabled": "ON", "rpl_semi_sync_master_status": "ON", "rpl_semi_sync_master_wait_point": "AFTER_SYNC"}
	for name, tt := range map[string]struct {
		changes []map[string]string
		level   string
		words   []string
	}{
		"one server":                        {nil, "ok", nil},
		"commits are not flushed":           {[]map[string]string{{"innodb_flush_log_at_trx_commit": "2"}}, "warn", []string{"innodb_flush_log_at_trx_commit is 2"}},
		"a binary log, no replica":          {[]map[string]string{{"log_bin": "ON", "sync_binlog": "1"}}, "ok", nil},
		"a binary log that is not flushed":  {[]map[string]string{{"log_bin": "ON"}}, "warn", []string{"sync_binlog is 0"}},
		"asynchronous replicas":             {[]map[string]string{replicated}, "warn", []string{"2 replicas", "kept and deleted"}},
		"replicas that are not seen":        {[]map[string]string{replicated, {"slaves_connected": "0", "gtid_mode": "ON"}}, "warn", []string{"asynchronous"}},
		"semi-synchronous":                  {[]map[string]string{replicated, semi}, "ok", nil},
		"semi-synchronous, by new names":    {[]map[string]string{replicated, {"rpl_semi_sync_source_enabled": "1", "rpl_semi_sync_source_status": "ON"}}, "ok", nil},
		"semi-synchronous, timed out":       {[]map[string]string{replicated, semi, {"rpl_semi_sync_master_status": "OFF"}}, "warn", []string{"not in force"}},
		"semi-synchronous, AFTER_COMMIT":    {[]map[string]string{replicated, semi, {"rpl_semi_sync_master_wait_point": "AFTER_COMMIT"}}, "warn", []string{"AFTER_SYNC"}},
		"group replication":                 {[]map[string]string{replicated, {"group_replication_group_name": "g"}}, "ok", nil},
		"Galera":                            {[]map[string]string{galera}, "ok", nil},
		"Galera of two":                     {[]map[string]string{galera, {"wsrep_cluster_size": "2"}}, "warn", []string{"2 nodes", "majority"}},
		"Galera without a majority":         {[]map[string]string{galera, {"wsrep_ready": "OFF", "wsrep_cluster_status": "non-Primary"}}, "fail", []string{"non-Primary"}},
		"Galera that does not send writes":  {[]map[string]string{galera, {"wsrep_on": "OFF"}}, "fail", []string{"wsrep_on is OFF"}},
		"Galera that is not flushed either": {[]map[string]string{galera, {"innodb_flush_log_at_trx_commit": "0"}}, "warn", []string{"power cut", "Galera: Synced, 3 nodes"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := maps.Clone(single)
			for _, other := range tt.changes {
				maps.Copy(d, other)
			}
			_, err := d.judge()
			checkLevel(t, err, tt.level, tt.words...)
		})
	}
}

// TestReadDurability reads the variables of a real server.
func TestReadDurability(t *testing.T) {
	server := testenv.MariaDB(t)
	d, err := readDurability(t.Context(), server.Open(t, server.Create(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"innodb_flush_log_at_trx_commit", "log_bin", "sync_binlog", "slaves_connected", "wsrep_on",
		"rpl_semi_sync_master_enabled", "rpl_semi_sync_master_status", "rpl_semi_sync_master_wait_point",
	} {
		if d[name] == "" {
			t.Errorf("the server has no %s", name)
		}
	}
	if _, err := d.judge(); err != nil {
		t.Error(err)
	}
}
