/* Two notifications of one order and two instances: keep, delete, settle, steps. See README.md for what is left out.
 *
 * Each atomic block is one SQL statement, one call of MNS or one step in memory; between two of them anything else may
 * happen. Each NO_R_… removes a rule; check.sh requires that this is noticed. The three steps of an order are one here. */

#define NOBODY 2

mtype = { visible, invisible, deleted }; /* a message in the queue */
mtype = { none, ready, running, done };  /* a row of jdpay_job */
mtype = { settled, duplicate };          /* the outcome of a settle job */

mtype queue = visible;
byte receiver = NOBODY;  /* whose receipt handle is the valid one */

/* The account database: settle jobs, the order, its step. order and row: which transaction has locked them. */
mtype job[2] = none;  /* the second is kept and deleted from the queue already, see init */
byte lease[2] = NOBODY;
mtype outcome[2];
byte rows;  /* of the message */
bit paid;
mtype step = none;
byte stepLease = NOBODY;
byte order = NOBODY;
byte row[2] = NOBODY;

/* The instances. hand: the poller has the message in hand. mem: the settle jobs in memory. */
bit up[3] = 1;
bit hand[3];
bit mem0[3], mem1[3], stepMem[3];
#define mem(m, p) ((m == 0 && mem0[p]) || (m == 1 && mem1[p]))
#define forget(m, p) if :: m == 0 -> mem0[p] = 0 :: else -> mem1[p] = 0 fi
#define remember(m, p) if :: m == 0 -> mem0[p] = 1 :: else -> mem1[p] = 1 fi

bit effect;  /* of the step: the cabinet is told */

/* How many faults happen, of any kind: they must end for the payment to end. */
#ifndef FAULTS
#define FAULTS 1
#endif
byte faults = FAULTS;

/* What no reader of the database ever sees otherwise: paid, settled once, steps: all or none. */
inline check() {
	assert(paid == (outcome[0] == settled) + (outcome[1] == settled));
	assert(paid == (step != none))
}

inline keep(p) {
	if
	:: job[0] == none ->
		rows++;
		if
		:: job[0] = running; lease[0] = p
		:: job[0] = ready  /* there was no place for it */
		fi
	:: job[0] == none && faults > 0 -> faults--  /* it met another row by its id: reported as a success, and nothing is stored */
#ifdef NO_R_ONE_ROW
	:: else -> rows++
#else
	/* R-ONE-ROW: a message that is delivered again meets the unique key and changes nothing. */
	:: else
#endif
	fi;
	assert(rows <= 1)
}

inline delete(p) {
	if
	:: queue == invisible && receiver == p -> queue = deleted
	:: else  /* an outdated receipt handle */
	fi
}

/* poller.take: keep, delete, begin. */
proctype Poller(byte p) {
	bit mine;
	do
	:: atomic { up[p] && queue == visible -> queue = invisible; receiver = p; hand[p] = 1 }
#ifdef NO_R_KEEP_BEFORE_DELETE
		atomic { up[p] -> delete(p) }
#endif
again:		do
		:: atomic { up[p] -> keep(p);
#ifndef NO_R_READ_BACK
			/* R-READ-BACK: a job is stored when its row was read back by its key, not because a statement succeeded. */
			if :: job[0] != none -> skip :: else -> goto again fi;
#endif
			mine = (job[0] == running && lease[0] == p); break }
		:: atomic { up[p] && faults > 0 -> faults--; keep(p) }  /* kept, the answer is lost: tried again */
		od;
#ifndef NO_R_KEEP_BEFORE_DELETE
		/* R-KEEP-BEFORE-DELETE: a message is deleted from the queue when its row is committed, not before. */
		if
		:: atomic { up[p] -> delete(p) }
		:: atomic { up[p] && faults > 0 -> faults-- }  /* not deleted, or too late */
		fi;
#endif
		atomic { up[p] ->
			if
			:: mine -> mem0[p] = 1
			:: else
			fi;
			mine = 0; hand[p] = 0 }
	od
}

/* Who may take a settle job; lease.pml shows why a takeover from the living is a fault and yet happens. */
inline claim(m, p) {
	job[m] = running; lease[m] = p; remember(m, p)
}
#define claimable(m, p) (job[m] == ready || (job[m] == running && row[m] == NOBODY && (!up[lease[m]] || (lease[m] == p && !mem(m, p)))))
#define robbable(m, p) (job[m] == running && row[m] == NOBODY && lease[m] != p && faults > 0)

/* A single statement that concludes a settle job outside of the transaction. */
inline conclude(m, p, state, result) {
	if
#ifdef NO_R_FENCE
	:: true ->
#else
	/* R-FENCE: a conclusion names the lease; who has lost it changes nothing. */
	:: job[m] == running && lease[m] == p ->
#endif
		assert(job[m] != done);
		job[m] = state; lease[m] = NOBODY; outcome[m] = result; check()
	:: else
	fi
}

inline lockOrder() {
#ifndef NO_R_PAID_ONCE
	order = p;
#endif
#ifndef NO_R_ONE_TX
	/* R-ONE-TX: order, steps and settle job change in one transaction. */
	inTx = 1
#endif
}

inline rollback() {
	if :: order == p -> order = NOBODY :: else fi;
	if :: row[0] == p -> row[0] = NOBODY :: else fi;
	if :: row[1] == p -> row[1] = NOBODY :: else fi;
	txPaid = 0; txStep = 0; txDone = 0; inTx = 0
}

/* What the server makes of a statement that met a deadlock. */
inline deadlock() {
	faults--;
	rollback();
#ifndef NO_R_RETRY_WHOLE
	/* R-RETRY-WHOLE: a deadlock has rolled the whole transaction back, so the whole of it is run again. */
	goto begin
#endif
}

/* Writes become visible at once outside of a transaction, and with its commit inside of one. */
inline apply() {
	if :: txPaid -> assert(!paid); paid = 1 :: else fi;
	if :: txStep -> assert(step == none); step = running; stepLease = p :: else fi;
	if :: txDone -> assert(job[w] != done); job[w] = done; lease[w] = NOBODY; outcome[w] = settled :: else fi;
	rollback();
	check()
}
inline unlessInTx() {
	if :: !inTx -> apply() :: else fi
}

/* Settler.settleBatch for the jobs in memory, which are one batch, and what becomes of them afterwards. */
proctype Settle(byte p) {
	bit in0, in1, inTx, txPaid, txStep, txDone;
	byte w;  /* which of the two is the payment; NOBODY: none */
	do
	:: atomic { up[p] && !mem0[p] && claimable(0, p) -> claim(0, p) }
	:: atomic { up[p] && !mem1[p] && claimable(1, p) -> claim(1, p) }
	:: atomic { up[p] && !mem0[p] && robbable(0, p) -> faults--; claim(0, p) }
	:: atomic { up[p] && !mem1[p] && robbable(1, p) -> faults--; claim(1, p) }
#ifdef NO_R_PAID_ONCE
	:: atomic { up[p] && (mem0[p] || mem1[p]) ->
#else
	/* R-PAID-ONCE: the order is locked from the look at is_paid to the commit, and marked WHERE is_paid = 0. */
	:: atomic { up[p] && (mem0[p] || mem1[p]) && order == NOBODY ->
#endif
			in0 = mem0[p]; in1 = mem1[p];
begin:			lockOrder();
			if
			:: paid -> w = NOBODY
			:: !paid && in0 -> w = 0
			:: !paid && !in0 -> w = 1
			fi;
			if
			:: w == NOBODY -> rollback(); goto rest
			:: else
			fi;
			if
			:: true
			:: faults > 0 -> deadlock()
			fi;
			txPaid = 1; unlessInTx();
			if
			:: true
			:: faults > 0 -> deadlock()
			fi;
			txStep = 1; unlessInTx();
#ifdef NO_R_START_AFTER_COMMIT
			stepMem[p] = 1
#endif
		}
			atomic { up[p] && row[w] == NOBODY ->
				if
				:: true
				:: faults > 0 -> deadlock()
				fi;
				if
#ifdef NO_R_FENCE
				:: true -> row[w] = p; txDone = 1; unlessInTx()
#else
				:: job[w] == running && lease[w] == p -> row[w] = p; txDone = 1; unlessInTx()
#endif
#ifdef NO_R_ALL_LEASED
				:: else
#else
				/* R-ALL-LEASED: a transaction that concludes a job whose lease is lost is rolled back. */
				:: else -> rollback(); forget(w, p); w = 0; in0 = 0; in1 = 0; goto next
#endif
				fi }
			if
			:: atomic { up[p] -> apply(); forget(w, p);
					/* R-START-AFTER-COMMIT: steps begin when their transaction is committed. */
					stepMem[p] = 1 }
			:: atomic { up[p] && faults > 0 -> faults--;  /* the answer is lost, and perhaps the commit */
					if
					:: true -> apply()
					:: true -> rollback()
					fi;
					if :: in0 -> conclude(0, p, ready, 0); forget(0, p) :: else fi;
					if :: in1 -> conclude(1, p, ready, 0); forget(1, p) :: else fi;
					w = 0; in0 = 0; in1 = 0; goto next }
			fi;
		/* what is left of the batch is a second notification */
rest:
		atomic { up[p] ->
			if :: in0 && w != 0 -> conclude(0, p, done, duplicate); forget(0, p) :: else fi;
			if :: in1 && w != 1 -> conclude(1, p, done, duplicate); forget(1, p) :: else fi;
			w = 0; in0 = 0; in1 = 0 }
next:
	od
}

inline tell() { assert(paid); effect = 1 }
inline concludeStep() {
	if
#ifdef NO_R_FENCE
	:: true ->
#else
	:: step == running && stepLease == p ->
#endif
		assert(effect);
		step = done; stepLease = NOBODY
	:: else
	fi
}

proctype Step(byte p) {
	do
	:: atomic { up[p] && !stepMem[p] && step == running && (!up[stepLease] || stepLease == p) -> stepLease = p; stepMem[p] = 1 }
	:: atomic { up[p] && !stepMem[p] && step == running && stepLease != p && faults > 0 -> faults--; stepLease = p; stepMem[p] = 1 }
	:: atomic { up[p] && stepMem[p] }
#ifdef NO_R_EFFECT_FIRST
		atomic { up[p] -> concludeStep() }
		atomic { up[p] -> tell(); stepMem[p] = 0 }
#else
		/* R-EFFECT-FIRST: a job is concluded after its effect: a crash in between repeats the effect. */
		atomic { up[p] -> tell() }
		atomic { up[p] -> concludeStep(); stepMem[p] = 0 }
#endif
	od
}

/* MNS: what is received and not deleted becomes visible again; that this comes too early is a fault. */
#define inHand (up[receiver] && hand[receiver])
proctype Visibility() {
	do
	:: atomic { queue == invisible && !inHand -> queue = visible }
	:: atomic { queue == invisible && inHand && faults > 0 -> faults--; queue = visible }
	od
}

/* A process is killed, and the server rolls its transaction back. One process is left living. */
inline crash(p) {
	up[p] = 0; hand[p] = 0; mem0[p] = 0; mem1[p] = 0; stepMem[p] = 0;
	if :: order == p -> order = NOBODY :: else fi;
	if :: row[0] == p -> row[0] = NOBODY :: else fi;
	if :: row[1] == p -> row[1] = NOBODY :: else fi
}
proctype Crash() {
	if
	:: atomic { crash(0) }
	:: skip
	fi
}

init {
	atomic { job[1] = ready; run Poller(0); run Poller(1); run Settle(0); run Settle(1); run Step(0); run Step(1); run Visibility(); run Crash() }
}

#define over (queue == deleted && job[0] == done && job[1] == done && step == done && effect)

/* Whatever the scheduler does: there are no cycles without the end, and no stop before it. */
ltl finishedInTheEnd { []<> over }
