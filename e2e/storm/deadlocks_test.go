package storm

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"syscall"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/testenv"
)

// blocker is a transaction of the test that locks rows which daemons need.
type blocker struct {
	w    *storm
	conn *sql.Conn
	id   int64 // of the connection
}

// blockerMark marks the test's statements in the server's report of a deadlock.
const blockerMark = "/* storm */ "

// block begins a transaction. A heavy one changes so many rows that in a deadlock the server rolls the other one back.
func (w *storm) block(heavy bool) (*blocker, error) {
	k := &blocker{w: w}
	var err error
	if k.conn, err = w.DB.Conn(context.Background()); err != nil {
		return nil, err
	}
	stmts := []string{"SET SESSION innodb_lock_wait_timeout = 10", "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN"}
	if heavy {
		stmts = append(stmts, "INSERT INTO storm_weight SELECT seq FROM seq_1_to_3000")
	}
	for _, stmt := range stmts {
		if err := k.exec(stmt); err != nil {
			k.rollBack()
			return nil, err
		}
	}
	if err := k.conn.QueryRowContext(context.Background(), "SELECT CONNECTION_ID()").Scan(&k.id); err != nil {
		k.rollBack()
		return nil, err
	}
	return k, nil
}

func (k *blocker) exec(stmt string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := k.conn.ExecContext(ctx, blockerMark+stmt, args...)
	return err
}

// rollBack rolls the transaction back. It may be called again.
func (k *blocker) rollBack() {
	_ = k.exec("ROLLBACK") // the server may have died, and the connection with it
	_ = k.conn.Close()
}

func (k *blocker) lockOrder(no string) error {
	return k.exec("SELECT order_id FROM kernelorder_charge WHERE order_no = ? FOR UPDATE", no)
}

func (k *blocker) lockJob(id int64) error {
	return k.exec("SELECT id FROM jdpay_job WHERE id = ? FOR UPDATE", id)
}

// lockDue locks a job's entry in the index of due jobs, but not its row: a transaction that changes the job's state locks the
// row first, and then waits for the entry.
func (k *blocker) lockDue(id int64) error {
	return k.exec(`SELECT i.state FROM jdpay_job i FORCE INDEX (ix_jdpay_job_due) JOIN (SELECT state, kind, priority, next_try_at FROM jdpay_job WHERE id = ?) j
		ON i.state = j.state AND i.kind = j.kind AND i.priority = j.priority AND i.next_try_at = j.next_try_at LOCK IN SHARE MODE`, id)
}

// waiter waits until a daemon's transaction waits for this one, and returns its connection, or 0 if none does.
//
// It polls every 130 ms: the server refreshes these tables only if they were not read for 100 ms.
func (k *blocker) waiter() int64 {
	tick := time.NewTicker(130 * time.Millisecond)
	defer tick.Stop()
	for range 20 {
		<-tick.C
		var id int64
		if err := k.w.DB.QueryRow(`SELECT r.trx_mysql_thread_id FROM information_schema.INNODB_LOCK_WAITS w
			JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id
			WHERE b.trx_mysql_thread_id = ? LIMIT 1`, k.id).Scan(&id); err == nil {
			return id
		}
	}
	return 0
}

// inTransaction reports whether a connection has a transaction open.
func (w *storm) inTransaction(connection int64) bool {
	tick := time.NewTicker(130 * time.Millisecond)
	defer tick.Stop()
	<-tick.C // see waiter
	return w.ask("SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_mysql_thread_id = ?", connection) == "1"
}

// rolledBack reports whether the latest deadlock was one with the test and ended with the rollback of a daemon's
// transaction, whose statement contains the text.
func (w *storm) rolledBack(text string) bool {
	var kind, name, status string
	if err := w.DB.QueryRow("SHOW ENGINE INNODB STATUS").Scan(&kind, &name, &status); err != nil {
		return false
	}
	_, status, _ = strings.Cut(status, "LATEST DETECTED DEADLOCK")
	status, _, found := strings.Cut(status, "*** WE ROLL BACK TRANSACTION (")
	if !found {
		return false
	}
	_, first, _ := strings.Cut(status, "*** (1) TRANSACTION:")
	first, second, _ := strings.Cut(first, "*** (2) TRANSACTION:")
	victim, other := first, second
	if strings.Contains(first, blockerMark) {
		victim, other = second, first
	}
	reached := strings.Contains(other, blockerMark) && !strings.Contains(victim, blockerMark) && strings.Contains(victim, text)
	if !reached {
		w.T.Logf("the latest deadlock is another one than that of %q; its victim: %.3000s", text, victim)
	}
	return reached
}

// deadlock causes a deadlock: take locks what a daemon's transaction has locked, which waits for this one with a statement
// that contains the text. It reports whether the server rolled the daemon's transaction back.
func (k *blocker) deadlock(text string, take func() error) bool {
	waiter := k.waiter()
	if waiter == 0 {
		k.w.T.Logf("no transaction waits for the test's, which wants a deadlock with %q", text)
		return false
	}
	if err := take(); err != nil {
		k.w.T.Logf("the test's transaction is the victim, or waits in vain, and not the one with %q: %v", text, err)
		return false
	}
	return k.w.rolledBack(text)
}

// deadlockKeep inserts the keys of two messages in the opposite order of the daemon, the first one while all daemons are
// stopped.
func (w *storm) deadlockKeep() bool {
	k, err := w.block(true)
	if err != nil {
		return false
	}
	defer k.rollBack()
	a, b := w.nextPayment(), w.nextPayment()
	for _, p := range w.replicas {
		_ = p.Cmd.Process.Signal(syscall.SIGSTOP)
		defer func() { _ = p.Cmd.Process.Signal(syscall.SIGCONT) }()
	}
	begin := time.Now()
	w.MNS.Put(box.NotifyQueue, a.Body, b.Body)
	w.sent = append(w.sent, a, b)
	keys := map[string]string{}
	for _, q := range w.MNS.Messages(box.NotifyQueue) {
		keys[q.Body] = "settle:" + box.NotifyQueue + ":" + q.ID
	}
	for _, m := range []sandbox.Sent{a, b} {
		w.history.add(fmt.Sprint(m.Order.ID), begin, time.Now(), event{what: notify})
	}
	insert := func(m sandbox.Sent) error {
		return k.exec("INSERT INTO jdpay_job (kind, unique_key, args, state, next_try_at, created_at) VALUES ('storm', ?, '', 'done', NOW(), NOW())", keys[m.Body])
	}
	if insert(b) != nil {
		return false
	}
	for _, p := range w.replicas {
		_ = p.Cmd.Process.Signal(syscall.SIGCONT)
	}
	return k.deadlock("INSERT INTO jdpay_job", func() error { return insert(a) })
}

// deadlockSettle locks the job that a settlement concludes last, then the order that the settlement locked first.
func (w *storm) deadlockSettle() bool {
	heavy, err := w.block(true)
	if err != nil {
		return false
	}
	defer heavy.rollBack()
	m := w.nextPayment()
	first, j, _ := w.settling(m)
	if first == nil {
		return false
	}
	defer first.rollBack()
	if heavy.lockJob(j.id) != nil {
		return false
	}
	first.rollBack()
	return heavy.deadlock("SET lease = NULL", func() error { return heavy.lockOrder(m.OrderNo) })
}

// deadlockMatch locks the job of a reply, then the command that the reply's transaction locked first.
func (w *storm) deadlockMatch() bool {
	heavy, err := w.block(true)
	if err != nil {
		return false
	}
	defer heavy.rollBack()
	first, err := w.block(false)
	if err != nil {
		return false
	}
	defer first.rollBack()
	m := w.nextPayment()
	confirm := w.suppressReplies(m, func() {})
	defer confirm()
	w.send(m)
	id := fmt.Sprint("pay-complete-", m.Order.ID)
	waiting := w.commanded(m)
	if waiting == 0 || !testenv.Poll(reachTimeout, func() bool { return len(w.Cabinet.Commands(id)) > 0 }) || first.lockJob(waiting) != nil {
		return false
	}
	after := w.newest()
	confirm()
	var j leased
	if !testenv.Poll(reachTimeout, func() bool {
		return w.DB.QueryRow("SELECT id, lease FROM jdpay_job WHERE id > ? AND kind = 'reply' AND state = 'running' AND args = ?", after,
			box.ReplyBody(w.Cabinet.Commands(id)[0], "0", "ok")).Scan(&j.id, &j.lease) == nil
	}) || first.waiter() == 0 || heavy.lockJob(j.id) != nil {
		return false
	}
	first.rollBack()
	return heavy.deadlock("SET lease = NULL", func() error { return heavy.lockJob(waiting) })
}

// deadlockConclude locks the index entry of a job that is about to be concluded as a duplicate, then its row.
func (w *storm) deadlockConclude() bool {
	heavy, err := w.block(true)
	if err != nil {
		return false
	}
	defer heavy.rollBack()
	m := w.nextPayment()
	w.send(m)
	if !w.settled(m) {
		return false
	}
	first, err := w.block(false)
	if err != nil {
		return false
	}
	defer first.rollBack()
	after := w.newest()
	if first.lockOrder(m.OrderNo) != nil {
		return false
	}
	w.pay(m)
	j := w.running("settle", m.Body, after)
	if j.id == 0 || first.waiter() == 0 || heavy.lockDue(j.id) != nil {
		return false
	}
	first.rollBack()
	return heavy.deadlock("SET lease = NULL", func() error { return heavy.lockJob(j.id) })
}

// deadlockClaim locks the index entry of a command that gets no reply, then its row.
func (w *storm) deadlockClaim() bool {
	heavy, err := w.block(true)
	if err != nil {
		return false
	}
	defer heavy.rollBack()
	m := w.nextPayment()
	defer w.suppressReplies(m, func() {})()
	w.send(m)
	id := w.commanded(m)
	return id != 0 && heavy.lockDue(id) == nil && heavy.deadlock("SET state = 'running'", func() error { return heavy.lockJob(id) })
}

// deadlockRenew has two settlements wait, and locks the second one's job, then the first one's.
func (w *storm) deadlockRenew() bool {
	heavy, err := w.block(true)
	if err != nil {
		return false
	}
	defer heavy.rollBack()
	first, err := w.block(false)
	if err != nil {
		return false
	}
	defer first.rollBack()
	a, b := w.nextPayment(), w.nextPayment()
	after := w.newest()
	if first.lockOrder(a.OrderNo) != nil || first.lockOrder(b.OrderNo) != nil {
		return false
	}
	begin := time.Now()
	w.MNS.Put(box.NotifyQueue, a.Body, b.Body)
	w.sent = append(w.sent, a, b)
	for _, m := range []sandbox.Sent{a, b} {
		w.history.add(fmt.Sprint(m.Order.ID), begin, time.Now(), event{what: notify})
	}
	x, y := w.running("settle", a.Body, after), w.running("settle", b.Body, after)
	if x.id == 0 || x.lease != y.lease || heavy.lockJob(max(x.id, y.id)) != nil {
		return false
	}
	return heavy.deadlock("SET lease_until", func() error { return heavy.lockJob(min(x.id, y.id)) })
}
