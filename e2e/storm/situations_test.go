package storm

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/mnsserver"
	"jdpay-listener/internal/testenv"
)

// situation is one for which the code has a special rule. reach causes it and reports whether it occurred, by what can be
// observed from outside: rows, locks, connections, received messages.
type situation struct {
	name  string
	reach func(w *storm) bool
}

var situations = []situation{
	{"a job is taken over while its former owner has a transaction open", (*storm).takeover},
	{"a reply concludes a command that is still being sent", (*storm).earlyReply},
	{"a notification and its copy are kept by one statement", (*storm).copyInBatch},
	{"a kept message is delivered again", (*storm).redelivery},
	{"deadlock: keeping messages", (*storm).deadlockKeep},
	{"deadlock: settling payments", (*storm).deadlockSettle},
	{"deadlock: matching replies", (*storm).deadlockMatch},
	{"deadlock: concluding jobs", (*storm).deadlockConclude},
	{"deadlock: claiming jobs", (*storm).deadlockClaim},
	{"deadlock: renewing leases", (*storm).deadlockRenew},
	{"a payment arrives while the database is read-only, and connections are replaced", (*storm).readOnly},
	{"the connection of a settlement is cut", (*storm).cutSettlement},
	{"the instance lock is lost and taken again", (*storm).lostLock},
	{"the database dies in the middle of a settlement", (*storm).databaseDies},
	{"the broker dies while a command waits for its reply", (*storm).brokerDies},
	{"kill -9 in the middle of a settlement", func(w *storm) bool { return w.endOwner(syscall.SIGKILL) }},
	{"SIGTERM in the middle of a settlement", func(w *storm) bool { return w.endOwner(syscall.SIGTERM) }},
	{"a cabinet gets its command again, and then confirms twice", (*storm).silentCabinet},
	{"JD accepts a status and its reply is lost", (*storm).lostReply},
}

const (
	maxSituationTries = 40
	reachTimeout      = 15 * time.Second // for what should happen at once, on a busy machine
)

// reach causes a situation while nothing else is broken and payments continue. It returns how many tries that took.
func (w *storm) reach(s situation) (was bool, tries int) {
	w.T.Helper()
	for tries := range maxSituationTries {
		w.MNS.ClearFaults()
		w.JD.ClearScripts()
		w.repair(time.Now().Add(time.Hour))
		for _, p := range w.replicas {
			w.Eventually(time.Minute, "a replica runs", func() bool { return p.Ended() || strings.Contains(p.Text(), `"msg":"started"`) })
		}
		if s.reach(w) {
			return true, tries + 1
		}
	}
	return false, maxSituationTries
}

// ask returns the only value of a query as a text; it is empty if there is none or if the query fails.
func (w *storm) ask(query string, args ...any) string {
	var value string
	if err := w.DB.QueryRow(query, args...).Scan(&value); err != nil {
		return ""
	}
	return value
}

// nextPayment returns a payment for a situation, and creates its order.
func (w *storm) nextPayment() sandbox.Sent {
	w.T.Helper()
	if len(w.reserved) == 0 {
		w.T.Fatal("there are not enough payments for the situations")
	}
	m := w.reserved[0]
	w.reserved = w.reserved[1:]
	if err := sandbox.AddOrders(w.DB, *m.Order); err != nil {
		w.T.Fatal(err)
	}
	return m
}

// send sends a payment for a situation.
func (w *storm) send(m sandbox.Sent) {
	w.sent = append(w.sent, m)
	w.pay(m)
}

// suppressReplies has the order's cabinet call instead when it gets a command, and not confirm it. The returned function ends
// that and confirms.
func (w *storm) suppressReplies(m sandbox.Sent, instead func()) (confirm func()) {
	order := fmt.Sprint(m.Order.ID)
	w.mu.Lock()
	w.instead[order] = instead
	w.mu.Unlock()
	return func() {
		w.mu.Lock()
		delete(w.instead, order)
		w.mu.Unlock()
		if got := w.Cabinet.Commands("pay-complete-" + order); len(got) > 0 { // else the cabinet confirms when it gets the command
			w.confirms(got[0])
		}
	}
}

// leased is a job and its lease.
type leased struct {
	id    int64
	lease string
}

// running waits for a job of a kind with these arguments that is newer than after.
func (w *storm) running(kind, args string, after int64) (j leased) {
	testenv.Poll(reachTimeout, func() bool {
		return w.DB.QueryRow("SELECT id, lease FROM jdpay_job WHERE id > ? AND kind = ? AND state = 'running' AND args = ?", after, kind, args).Scan(&j.id, &j.lease) == nil
	})
	return j
}

// newest returns the newest job's id.
func (w *storm) newest() (id int64) {
	_ = w.DB.QueryRow("SELECT MAX(id) FROM jdpay_job").Scan(&id)
	return id
}

// becomes waits until a query returns the wanted value.
func (w *storm) becomes(want, query string, args ...any) bool {
	return testenv.Poll(reachTimeout, func() bool { return w.ask(query, args...) == want })
}

// settled waits until a payment is settled.
func (w *storm) settled(m sandbox.Sent) bool {
	return w.becomes("1", "SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND ref = ? AND outcome = 'settled'", m.OrderNo)
}

// commanded waits until an order's command waits for its reply, and returns its job.
func (w *storm) commanded(m sandbox.Sent) (id int64) {
	testenv.Poll(reachTimeout, func() bool {
		return w.DB.QueryRow("SELECT id FROM jdpay_job WHERE unique_key = ? AND state = 'waiting'", fmt.Sprint("pay-complete:", m.Order.ID)).Scan(&id) == nil
	})
	return id
}

// owner returns the replica that has a lease.
func (w *storm) owner(lease string) *box.Process {
	for i, p := range w.replicas {
		if strings.HasPrefix(lease, fmt.Sprintf("replica-%d:", i)) && !p.Ended() {
			return p
		}
	}
	return nil
}

// settling has a payment's settlement wait for a lock of the test, in an open transaction on the returned connection.
func (w *storm) settling(m sandbox.Sent) (k *blocker, j leased, connection int64) {
	k, err := w.block(false)
	if err != nil {
		return nil, leased{}, 0
	}
	after := w.newest()
	if k.lockOrder(m.OrderNo) == nil {
		w.send(m)
		j, connection = w.running("settle", m.Body, after), k.waiter()
	}
	if j.id == 0 || connection == 0 || w.owner(j.lease) == nil {
		k.rollBack()
		return nil, leased{}, 0
	}
	return k, j, connection
}

// takeover freezes the owner of a job during its transaction and ends its instance lock, as on a machine that hangs for
// long. When another replica has the job, the former owner continues.
func (w *storm) takeover() bool {
	m := w.nextPayment()
	k, j, connection := w.settling(m)
	if k == nil {
		return false
	}
	defer k.rollBack()
	owner := w.owner(j.lease)
	_ = owner.Cmd.Process.Signal(syscall.SIGSTOP)
	defer func() { _ = owner.Cmd.Process.Signal(syscall.SIGCONT) }()
	if _, err := w.DB.Exec("KILL " + w.ask("SELECT IS_USED_LOCK(?)", j.lease)); err != nil {
		return false
	}
	k.rollBack()
	taken := w.becomes("1", "SELECT COUNT(*) FROM jdpay_job WHERE id = ? AND state = 'running' AND lease <> ?", j.id, j.lease) && w.inTransaction(connection)
	_ = owner.Cmd.Process.Signal(syscall.SIGCONT)
	return w.settled(m) && taken
}

// earlyReply freezes all replicas when a command arrives. The one that has sent it stays frozen until the others have
// concluded it by its reply.
func (w *storm) earlyReply() bool {
	m := w.nextPayment()
	frozen := slices.Clone(w.replicas)
	signal := func(s syscall.Signal, except *box.Process) {
		for _, p := range frozen {
			if p != except {
				_ = p.Cmd.Process.Signal(s)
			}
		}
	}
	arrived := make(chan struct{}, 100)
	confirm := w.suppressReplies(m, func() { signal(syscall.SIGSTOP, nil); arrived <- struct{}{} })
	defer signal(syscall.SIGCONT, nil)
	w.send(m)
	select {
	case <-arrived:
	case <-time.After(reachTimeout):
		confirm()
		return false
	}
	// Statements that the frozen replicas sent before are finished first.
	w.becomes("0", "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE user = 'jdpay' AND command = 'Query'")
	key := fmt.Sprint("pay-complete:", m.Order.ID)
	lease := w.ask("SELECT lease FROM jdpay_job WHERE unique_key = ? AND state = 'running'", key)
	sender := w.owner(lease)
	confirm()
	if sender == nil { // the command was concluded before the replica was frozen
		return false
	}
	signal(syscall.SIGCONT, sender)
	return w.becomes("confirmed", "SELECT outcome FROM jdpay_job WHERE unique_key = ? AND state = 'done'", key)
}

func (w *storm) copyInBatch() bool {
	m := w.nextPayment()
	w.sent = append(w.sent, m)
	begin := time.Now()
	w.MNS.Put(box.NotifyQueue, m.Body, m.Body)
	w.history.add(fmt.Sprint(m.Order.ID), begin, time.Now(), event{what: notify})
	return w.settled(m) && w.becomes("1", `SELECT COUNT(*) FROM jdpay_job a JOIN jdpay_job b ON a.ref = b.ref AND a.created_at = b.created_at
		WHERE a.ref = ? AND a.kind = 'settle' AND b.kind = 'settle' AND a.outcome = 'settled' AND b.outcome = 'duplicate'`, m.OrderNo)
}

// redelivery drops the deletions of messages until the queue delivers one again.
func (w *storm) redelivery() bool {
	for _, op := range []mnsserver.Op{mnsserver.DeleteMessage, mnsserver.BatchDeleteMessage} {
		w.MNS.Inject(mnsserver.Fault{Op: op, Queue: box.NotifyQueue, Times: -1, Drop: mnsserver.DropRequest})
	}
	defer w.MNS.ClearFaults()
	m := w.nextPayment()
	w.send(m)
	if !w.settled(m) {
		return false
	}
	w.MNS.ShiftClock(31 * time.Second)
	return testenv.Poll(reachTimeout, func() bool {
		return slices.ContainsFunc(w.MNS.Messages(box.NotifyQueue), func(q mnsserver.Message) bool { return q.Body == m.Body && q.DequeueCount > 1 })
	})
}

// daemonConnections returns the ids of the replicas' connections.
func (w *storm) daemonConnections() []string {
	return strings.Split(w.ask("SELECT COALESCE(GROUP_CONCAT(id), '') FROM information_schema.PROCESSLIST WHERE user = 'jdpay'"), ",")
}

// readOnly makes the database read-only and writable again, as a switch-over that is reverted.
func (w *storm) readOnly() bool {
	if _, err := w.DB.Exec("SET GLOBAL group_concat_max_len = 100000"); err != nil {
		return false
	}
	m := w.nextPayment()
	before := w.daemonConnections()
	refusals := func() (n int) {
		for _, p := range w.replicas {
			n += strings.Count(p.Text(), "Error 1290")
		}
		return n
	}
	known := refusals()
	if _, err := w.DB.Exec("SET GLOBAL read_only = 1"); err != nil {
		return false
	}
	w.send(m)
	refused := testenv.Poll(reachTimeout, func() bool { return refusals() > known })
	if _, err := w.DB.Exec("SET GLOBAL read_only = 0"); err != nil {
		w.T.Fatal(err)
	}
	return refused && w.settled(m) && testenv.Poll(reachTimeout, func() bool {
		now := w.daemonConnections()
		replaced := slices.ContainsFunc(now, func(id string) bool { return !slices.Contains(before, id) })
		return replaced && slices.ContainsFunc(before, func(id string) bool { return !slices.Contains(now, id) })
	})
}

func (w *storm) cutSettlement() bool {
	m := w.nextPayment()
	k, _, connection := w.settling(m)
	if k == nil {
		return false
	}
	defer k.rollBack()
	if _, err := w.DB.Exec(fmt.Sprint("KILL ", connection)); err != nil {
		return false
	}
	k.rollBack()
	return w.settled(m)
}

func (w *storm) lostLock() bool {
	lease := w.ask("SELECT lease FROM jdpay_job WHERE state = 'running' AND lease IS NOT NULL LIMIT 1")
	m := w.nextPayment()
	if lease == "" {
		k, j, _ := w.settling(m)
		if k == nil {
			return false
		}
		k.rollBack()
		lease = j.lease
	} else {
		w.send(m)
	}
	p, lock := w.owner(lease), w.ask("SELECT IS_USED_LOCK(?)", lease)
	if p == nil || lock == "" {
		return false
	}
	if _, err := w.DB.Exec("KILL " + lock); err != nil {
		return false
	}
	return testenv.Poll(reachTimeout, func() bool {
		now := w.ask("SELECT IS_USED_LOCK(?)", lease)
		return now != "" && now != lock && !p.Ended()
	})
}

func (w *storm) databaseDies() bool {
	m := w.nextPayment()
	k, _, connection := w.settling(m)
	if k == nil {
		return false
	}
	defer k.rollBack()
	open := w.inTransaction(connection)
	w.database.Kill()
	if err := w.database.Start(); err != nil {
		w.T.Fatalf("the database does not come back: %v", err)
	}
	return w.settled(m) && open
}

func (w *storm) brokerDies() bool {
	m := w.nextPayment()
	confirm := w.suppressReplies(m, func() {})
	w.send(m)
	id := w.commanded(m)
	w.Broker.Stop()
	w.Broker.Start(w.T)
	confirm()
	return id != 0 && w.becomes("done", "SELECT state FROM jdpay_job WHERE id = ?", id)
}

// endOwner ends a replica whose settlement waits for a lock.
func (w *storm) endOwner(s syscall.Signal) bool {
	m := w.nextPayment()
	k, j, connection := w.settling(m)
	if k == nil {
		return false
	}
	defer k.rollBack()
	open := w.inTransaction(connection)
	owner := w.owner(j.lease)
	_ = owner.Cmd.Process.Signal(s)
	k.rollBack()
	select {
	case <-owner.Done:
	case <-time.After(time.Minute):
		w.T.Errorf("a replica does not end by %s", s)
		return false
	}
	if s == syscall.SIGTERM && owner.Err != nil {
		w.T.Errorf("a replica stopped with %v\n%s", owner.Err, owner.Tail())
	}
	return w.settled(m) && open
}

func (w *storm) silentCabinet() bool {
	m := w.nextPayment()
	order := fmt.Sprint(m.Order.ID)
	confirm := w.suppressReplies(m, func() {})
	w.send(m)
	again := testenv.Poll(reachTimeout, func() bool { return w.history.count(order, command) > 1 })
	confirm()
	confirm()
	return again && w.becomes("1", "SELECT COUNT(*) FROM jdpay_job WHERE kind = 'reply' AND ref = ? AND outcome = 'repeated'", m.OrderNo)
}

func (w *storm) lostReply() bool {
	m := w.nextPayment()
	order := fmt.Sprint(m.Order.ID)
	w.history.loseReplies(order, 1)
	w.send(m)
	return testenv.Poll(reachTimeout, func() bool { return w.history.count(order, acceptJD) > 1 })
}
