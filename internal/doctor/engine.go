package doctor

import (
	"context"
	"crypto/rand"
	"database/sql"
	"strings"

	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

// Checks of what the promises need of the engine; docs/contract.md lists them.

// leastPacket is what one message needs with its evidence, each byte escaped; every server's default is at least this.
const leastPacket = 1 << 20

// ofEngine are the probes of what the job table needs, and the main database does not.
func (d databaseProbes) ofEngine() []probe {
	rolledBack := d.probe("transactions", lang.M("see the server's manual: transactions must be InnoDB's, at READ COMMITTED"), transactions)
	rolledBack.needs = "table jdpay_job"
	return []probe{
		{"table jdpay_job keys", "table jdpay_job", lang.M("stop the daemon, correct the column or create the index, and run `jdpay-listener audit`"), d.on(jobKeys)},
		{"account external id", "account tables", d.start, d.on(externalID)},
		rolledBack,
		d.probe("locks", lang.M("connect to the server itself, or through a proxy that keeps a session on one server"), namedLock),
		d.probe("packets", d.start, packets),
	}
}

// keptSettings checks that sessions keep what they were given.
func keptSettings(ctx context.Context, db *sql.DB) (lang.Message, error) {
	return lang.M("kept by each session"), sqldb.CheckSessions(ctx, db)
}

// engines checks that the tables that the daemon writes are InnoDB.
func engines(tables []string) func(context.Context, *sql.DB) (lang.Message, error) {
	return func(ctx context.Context, db *sql.DB) (lang.Message, error) {
		wrong, hidden, err := inspect.Engines(ctx, db, tables)
		switch {
		case err != nil:
			return lang.Message{}, err
		case wrong != nil:
			return lang.Message{}, lang.Errorf("not InnoDB, so that nothing is rolled back and a crash loses what is written: %s", strings.Join(wrong, ", "))
		case hidden != nil:
			return lang.Message{}, notTried{
				lang.M("this user cannot see which tables are behind %s", strings.Join(hidden, ", ")),
				lang.M("make sure that they are InnoDB, or run doctor as a user with SHOW VIEW on the views and SELECT on the tables"),
			}
		}
		return lang.Plain("InnoDB"), nil
	}
}

// triggers warns of triggers on the tables that the daemon writes.
func triggers(tables []string) func(context.Context, *sql.DB) (lang.Message, error) {
	return func(ctx context.Context, db *sql.DB) (lang.Message, error) {
		found, err := inspect.Triggers(ctx, db, tables)
		if err == nil && found != nil {
			err = advice{
				lang.M("what these triggers do is a part of each payment, and their errors are its errors: %s", strings.Join(found, ", ")),
				lang.M("drop the trigger, or make sure that it writes InnoDB tables only, and changes none of the columns in docs/contract.md"),
			}
		}
		return lang.M("none that this user may see"), err
	}
}

// leastExternalID is the length of JD's trade numbers in the company's table, in characters.
const leastExternalID = 128

// externalID warns of a column that does not give every externalId back as it is.
func externalID(ctx context.Context, db *sql.DB) (lang.Message, error) {
	var kind string
	var most int64 // 0: not a text
	err := db.QueryRowContext(ctx, `SELECT LOWER(data_type), COALESCE(character_maximum_length, 0) FROM information_schema.columns
		WHERE table_schema = DATABASE() AND table_name = 'kernelorder_charge' AND column_name = 'external_id'`).Scan(&kind, &most)
	if err == nil && most < leastExternalID {
		is := lang.M("a %s of %d characters", kind, most)
		if most == 0 {
			is = lang.M("a %s", kind)
		}
		err = advice{
			lang.M("kernelorder_charge.external_id is %s: a payment whose externalId it does not give back as it is is parked as bad_external_id", is),
			lang.M("make the column a VARCHAR(128)"),
		}
	}
	return lang.M("holds %d characters", most), err
}

// jobKeys checks that the same work can be inserted once only.
func jobKeys(ctx context.Context, db *sql.DB) (lang.Message, error) {
	wrong, err := inspect.JobKeys(ctx, db)
	if err == nil && wrong != nil {
		err = lang.Errorf("not as `jdpay-listener migrate` makes them: %s", strings.Join(wrong, "; "))
	}
	return lang.M("unique, byte by byte"), err
}

// packetSize checks that a message with its evidence fits into a statement.
func packetSize(ctx context.Context, db *sql.DB) (lang.Message, error) {
	most, err := sqldb.MaxPacket(ctx, db)
	if err == nil && most < leastPacket-2 {
		err = lang.Errorf("the server takes statements of up to %d bytes only", most)
	}
	return lang.M("statements of up to %d bytes", most), err
}

// transactions writes a row of jdpay_cursor in a transaction that is rolled back.
func transactions(ctx context.Context, db *sql.DB) (lang.Message, error) {
	if _, err := engines([]string{"jdpay_cursor"})(ctx, db); err != nil { // it would keep the row
		return lang.Message{}, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return lang.Message{}, err
	}
	defer func() { _ = tx.Rollback() }() // it has said what it has to say, or another error is in the finding
	name := "doctor:" + rand.Text()
	_, err = tx.ExecContext(ctx, "INSERT INTO jdpay_cursor (name, finished_at, job_id) VALUES (?, UTC_TIMESTAMP(6), 0)", name)
	if sqldb.IsDenied(err) {
		return writes(err)
	} else if err != nil {
		return lang.Message{}, err
	}
	res, err := tx.ExecContext(ctx, "UPDATE jdpay_cursor SET job_id = 0 WHERE name = ?", name)
	if err != nil {
		return lang.Message{}, err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return lang.Message{}, &fault{
			lang.Errorf("an UPDATE that matches a row and leaves it as it is counts %d rows, not 1", n),
			lang.M("connect to the server itself, or through a proxy that passes on what the client asks for (CLIENT_FOUND_ROWS)"),
		}
	}
	count := func(when lang.Message) error {
		var rows int
		if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM jdpay_cursor WHERE name = ?", name).Scan(&rows); err != nil {
			return err
		}
		if rows > 0 {
			return lang.Errorf("another session sees a row %s", when)
		}
		return nil
	}
	if err := count(lang.M("that is not committed")); err != nil {
		return lang.Message{}, err
	}
	if err := tx.Rollback(); err != nil {
		return lang.Message{}, err
	}
	return lang.M("rolled back, unseen by others; matched rows are counted"), count(lang.M("that was rolled back"))
}
