/* One job and two instances: claim, instance lock, lease, conclusion. See README.md for what is left out.
 *
 * Each block of an atomic statement is one SQL statement or one step under the runner's mutex; between two of them
 * anything else may happen. Each NO_R_… removes a rule; check.sh requires that
 * this is noticed. */

#define NOBODY 2

mtype = { ready, running, done };       /* states of the job; waiting is ready here */
mtype = { living, stopped, gone };      /* states of a process */

/* Table jdpay_job. until is lease_until: 2 ahead, 1 passed, 0 passed by more than ownOrphanAfter. */
mtype state = ready;
byte lease = NOBODY;
byte until = 0;

/* The named locks as the server has them. lockable: this database has such locks at all. */
bit lock[3];
bit lockable;

/* The processes. since is heldSince: 0 not held, 1 held, 2 held for a lease time. alone: so long without its lock that
 * lease_until decides. mem: the runner's map held. */
mtype life[3] = living;
byte since[3];
bit alone[3];
bit mem[3];

/* What only the model knows. cut: the lock is not had yet, or was lost otherwise than with all others. effects: the handler has acted.
 * finished: the handler has said "done", and its conclusion is neither written nor refused by the fence. */
bit cut[3] = 1;
bit effects;
bit finished[3];

/* How many faults happen, of any kind, and how many tries end with "again": both must end for the job to end. */
#ifndef FAULTS
#define FAULTS 2
#endif
byte faults = FAULTS, retries = 1;

#define up(p) (life[p] == living)

/* R-CLAIM-STILL-DUE: the statement that takes a job repeats the condition under which it was found. */
#ifdef NO_R_CLAIM_STILL_DUE
#define stillDue(p) true
#else
#define stillDue(p) due(p)
#endif

/* R-LEASE-AND-LOCK: a running job is taken over when lease_until has passed and its holder's lock is gone, not before. */
#ifdef NO_R_LEASE_AND_LOCK
#define lockGone true
#else
#define lockGone (!lock[lease])
#endif

/* R-LOCK-AGED: only who has held its own lock for a lease time judges others: a restarted server has lost all locks. */
#ifdef NO_R_LOCK_AGED
#define aged(p) (since[p] >= 1)
#else
#define aged(p) (since[p] == 2)
#endif

/* R-OWN-ORPHAN: an instance takes its own job again when nobody has renewed the lease for long. */
#ifdef NO_R_OWN_ORPHAN
#define ownOrphan(p) false
#else
#define ownOrphan(p) (lease == p && until == 0)
#endif

/* R-LEASE-ALONE: an instance that cannot have its lock goes by lease_until. */
#ifdef NO_R_LEASE_ALONE
#define goesAlone(p) false
#else
#define goesAlone(p) alone[p]
#endif

#define orphan(p) (until < 2 && ((goesAlone(p) && lease != p) || (aged(p) && lockGone) || ((aged(p) || alone[p]) && ownOrphan(p))))
#define due(p)    (state == ready || (state == running && orphan(p)))

/* R-CONCLUDE-UNTIL-WRITTEN: a conclusion is tried until it is written or the process stops. */
#ifdef NO_R_CONCLUDE_UNTIL_WRITTEN
#define GIVE_UP mem[p] = 0; break
#else
#define GIVE_UP skip
#endif

/* A server that restarts takes the judge's lock, too, which the judge notices up to a second later. STRICT shows it. */
#ifdef STRICT
#define unnoticed(p) false
#else
#define unnoticed(p) (since[p] > 0 && !lock[p])
#endif

/* No living process is robbed, but of what it cannot prove to be its own: its lock was cut, or there are no locks. */
inline take(p) {
	assert(state != done);
	if
	:: state == running && lease != p -> assert(!up(lease) || cut[lease] || alone[p] || unnoticed(p))
	:: else
	fi;
	state = running; lease = p; until = 2
}

/* One UPDATE … WHERE lease = p: done, or ready for another try. */
inline conclude(p) {
	if
#ifdef NO_R_FENCE
	:: true ->
#else
	/* R-FENCE: a conclusion names the lease; who has lost it changes nothing. */
	:: state == running && lease == p ->
#endif
		assert(state != done);
		if
		:: finished[p] -> state = done
		:: else -> state = ready
		fi;
		lease = NOBODY; until = 0
	:: else
	fi
}

/* Runner.claim and MySQL.Claim: look, then take and start. */
proctype Claim(byte p) {
	do
	:: atomic { up(p) && due(p) }
		atomic { up(p) ->
			if
			:: stillDue(p) -> take(p);
#ifdef NO_R_START_ONCE
				assert(!mem[p]);  /* two tries at once in one process */
#endif
				/* R-START-ONCE: a job that this instance works on is not started a second time. */
				mem[p] = 1
			:: stillDue(p) && faults > 0 -> faults--; take(p)  /* the answer is lost */
			:: else
			fi }
	od
}

/* Runner.run: the handler, then its conclusion, which ends the job's place in this process. */
proctype Try(byte p) {
	do
	:: atomic { up(p) && mem[p] ->
			assert(!finished[p]);  /* else it acts again on what it knows to be done */
			effects = 1;
			if
			:: finished[p] = 1
			:: retries > 0 -> retries--
			fi }
		do
		:: atomic { up(p) -> conclude(p); mem[p] = 0; finished[p] = 0; break }
		:: atomic { up(p) && faults > 0 -> faults--; conclude(p); GIVE_UP }  /* written, the answer is lost */
		:: atomic { up(p) && faults > 0 -> faults--; GIVE_UP }
		od
	od
}

/* A cabinet's reply concludes the command, whoever runs it. */
proctype Reply() {
	bit was;
	atomic { effects }
#ifdef NO_R_REPLY_LOCKS
	was = (state == done);
	atomic {
		if
		:: !was -> assert(state != done); state = done; lease = NOBODY; until = 0
		:: else
		fi }
#else
	/* R-REPLY-LOCKS: the command's row is locked from the look at its state to its conclusion. */
	atomic {
		if
		:: state != done -> state = done; lease = NOBODY; until = 0
		:: else
		fi }
#endif
}

/* Runner.keepLock and keepLeases. A lock is retaken sooner than any lock gets old: 1.2 s against a lease time of 2 s. */
#define locked(p) (!up(p) || lock[p] || cut[p])
proctype Keep(byte p) {
	do
	:: atomic { up(p) && lockable && !lock[p] && since[p] == 0 -> lock[p] = 1; since[p] = 1; cut[p] = 0 }
	:: atomic { up(p) && since[p] > 0 && !lock[p] -> since[p] = 0 }
	:: atomic { up(p) && since[p] == 1 && lock[p] && locked(0) && locked(1) -> since[p] = 2 }
	:: atomic { up(p) && !lockable && !alone[p] -> alone[p] = 1 }
#ifndef NO_R_RENEW
	/* R-RENEW: the lease of a job that is being worked on is prolonged before it runs out. */
	:: atomic { up(p) && mem[p] && state == running && lease == p && until < 2 -> until = 2 }
#endif
	od
}

/* Time. The lease of a living process runs out by a stall; the server gives up the connections of others. */
proctype Clock() {
	do
	:: atomic { state == running && until > 0 && (!up(lease) || !mem[lease]) -> until-- }
#ifdef NO_R_RENEW
	:: atomic { state == running && until > 0 && up(lease) && mem[lease] -> until-- }
#else
	:: atomic { state == running && until > 0 && up(lease) && mem[lease] && faults > 0 -> faults--; until-- }
#endif
	:: atomic { !up(0) && lock[0] -> lock[0] = 0; cut[0] = 1 }
	:: atomic { !up(1) && lock[1] -> lock[1] = 0; cut[1] = 1 }
	od
}

/* Faults happen or not, in any order; one process is left living. */
#define both (up(0) && up(1))
#define loses(p) lock[p] = 0; cut[p] = 1
inline stop(p) {
	life[p] = stopped;
	if
	:: !lock[p] -> cut[p] = 1
	:: else
	fi
}
inline restart() {
	if :: !up(0) -> cut[0] = 1 :: else fi;
	if :: !up(1) -> cut[1] = 1 :: else fi;
	lock[0] = 0; lock[1] = 0
}
inline crash(p) { life[p] = gone; mem[p] = 0; since[p] = 0; alone[p] = 0; finished[p] = 0 }

proctype Faults() {
	do
	:: atomic { faults > 0 && both -> faults--;
		if
		:: crash(0)
		:: crash(1)
		:: stop(0)
		:: stop(1)
		fi }
	:: atomic { faults > 0 && (lock[0] || lock[1]) -> faults--;
		if
		:: restart()
		:: lock[0] -> loses(0)
		:: lock[1] -> loses(1)
		fi }
	:: atomic { life[0] == stopped -> life[0] = living }
	:: atomic { life[1] == stopped -> life[1] = living }
	:: break
	od
}

init {
	atomic {
		if :: lockable = 1 :: lockable = 0 fi;
		run Keep(0); run Keep(1); run Claim(0); run Claim(1); run Try(0); run Try(1); run Reply(); run Clock(); run Faults()
	}
}

/* Whatever the scheduler does: there are no cycles without done, and no end without it. */
ltl finishedInTheEnd { []<> (state == done) }
