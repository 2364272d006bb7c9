package doctor

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strconv"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

// durability is a server's variables and status, by name in lower case, that decide whether a commit survives a power cut
// and a fail-over. A kept message is deleted from the queue right after the commit, so what the account database loses is
// lost.
type durability map[string]string

func readDurability(ctx context.Context, db *sql.DB) (durability, error) {
	d := durability{}
	for _, show := range []string{
		`SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog', 'gtid_mode', 'group_replication_group_name',
			'rpl_semi_sync_master_enabled', 'rpl_semi_sync_source_enabled', 'rpl_semi_sync_master_wait_point', 'rpl_semi_sync_source_wait_point', 'wsrep_on')`,
		`SHOW GLOBAL STATUS WHERE Variable_name IN ('Slaves_connected', 'Rpl_semi_sync_master_status', 'Rpl_semi_sync_source_status',
			'wsrep_ready', 'wsrep_cluster_status', 'wsrep_cluster_size', 'wsrep_local_state_comment')`,
	} {
		found, err := sqldb.Variables(ctx, db, show)
		if err != nil {
			return nil, lang.Errorf("asking how durable commits are: %v", err)
		}
		maps.Copy(d, found)
	}
	if _, found := d["slaves_connected"]; !found { // MySQL; without the privilege PROCESS it shows this user's sessions only
		var n int
		if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'").Scan(&n); err != nil {
			return nil, lang.Errorf("looking for replicas: %v", err)
		}
		d["slaves_connected"] = strconv.Itoa(n)
	}
	return d, nil
}

// durable warns of settings with which a crash or a fail-over loses messages that are kept and deleted.
func durable(ctx context.Context, db *sql.DB) (lang.Message, error) {
	d, err := readDurability(ctx, db)
	if err != nil {
		return lang.Message{}, err
	}
	return d.judge()
}

// flushed warns of settings with which a power cut loses commits. Replicas of the main database may lack pay infos, which can be
// written again.
func flushed(ctx context.Context, db *sql.DB) (lang.Message, error) {
	d, err := readDurability(ctx, db)
	if err != nil {
		return lang.Message{}, err
	}
	if bad, remedies := d.unflushed(); bad != nil {
		return lang.Message{}, advice{lang.Join(bad, "; "), lang.Join(remedies, "; ")}
	}
	return lang.M("commits are flushed"), nil
}

func (d durability) on(names ...string) bool {
	for _, name := range names {
		if d[name] == "ON" || d[name] == "1" {
			return true
		}
	}
	return false
}

// unflushed names the settings with which a power cut loses commits, with what to do.
func (d durability) unflushed() (bad, remedies []lang.Message) {
	if flush := d["innodb_flush_log_at_trx_commit"]; flush != "" && flush != "1" {
		bad = append(bad, lang.M("innodb_flush_log_at_trx_commit is %s: a power cut loses the last second's commits", flush))
		remedies = append(remedies, lang.M("set innodb_flush_log_at_trx_commit = 1"))
	}
	if d.on("log_bin") && d["sync_binlog"] != "1" {
		bad = append(bad, lang.M("sync_binlog is %s: a power cut loses the last commits of the binary log, and a replica never gets them", d["sync_binlog"]))
		remedies = append(remedies, lang.M("set sync_binlog = 1"))
	}
	return bad, remedies
}

func (d durability) judge() (lang.Message, error) {
	var fine []lang.Message
	bad, remedies := d.unflushed()
	warn := func(remedy, problem lang.Message) { bad, remedies = append(bad, problem), append(remedies, remedy) }
	if flush := d["innodb_flush_log_at_trx_commit"]; flush == "" || flush == "1" {
		fine = append(fine, lang.M("commits are flushed"))
	}
	switch {
	case d.on("wsrep_on"):
		if !d.on("wsrep_ready") || d["wsrep_cluster_status"] != "Primary" {
			return lang.Message{}, lang.Errorf("this Galera node takes no statements: it is %s in a component that is %s", d["wsrep_local_state_comment"], d["wsrep_cluster_status"])
		}
		if size, _ := strconv.Atoi(d["wsrep_cluster_size"]); size < 3 { // a number, or 0
			warn(lang.M("bring the missing nodes back; have three or more"), lang.M("the Galera cluster has %s nodes: with one more lost the rest has no majority and stops", d["wsrep_cluster_size"]))
		}
		fine = append(fine, lang.M("Galera: %s, %s nodes; a named lock is seen on its node only", d["wsrep_local_state_comment"], d["wsrep_cluster_size"]))
	case d["wsrep_cluster_status"] == "Primary":
		return lang.Message{}, lang.Errorf("wsrep_on is OFF on this Galera node: no other node gets what is written here")
	case d["group_replication_group_name"] != "":
		fine = append(fine, lang.M("group replication"))
	case d["slaves_connected"] != "0" || d.on("log_bin") && d.on("gtid_mode"):
		switch {
		case !d.on("rpl_semi_sync_master_enabled", "rpl_semi_sync_source_enabled"):
			warn(lang.M("turn semi-synchronous replication on"), lang.M("replication is asynchronous (%s replicas seen): a fail-over loses messages that were kept and deleted", d["slaves_connected"]))
		case !d.on("rpl_semi_sync_master_status", "rpl_semi_sync_source_status"):
			warn(lang.M("check the replicas, and make the timeout of semi-synchronous replication longer"), lang.M("semi-synchronous replication is on but not in force, since no replica has answered in time: a fail-over loses messages that were kept and deleted"))
		case d["rpl_semi_sync_master_wait_point"] == "AFTER_COMMIT" || d["rpl_semi_sync_source_wait_point"] == "AFTER_COMMIT":
			warn(lang.M("set the wait point of semi-synchronous replication to AFTER_SYNC"), lang.M("semi-synchronous replication waits AFTER_COMMIT: others see, and may delete, messages that no replica has yet"))
		default:
			fine = append(fine, lang.M("semi-synchronous replication is in force"))
		}
	case d.on("log_bin"):
		fine = append(fine, lang.M("no replica is seen"))
	}
	if bad != nil {
		return lang.Message{}, advice{lang.Join(slices.Concat(bad, fine), "; "), lang.Join(remedies, "; ")}
	}
	return lang.Join(fine, ", "), nil
}
