package migrate

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed schema/*.sql
var migrations embed.FS

// versionTable is where goose notes which migrations have run.
const versionTable = "jdpay_job_version"

// ErrNotMigrated means that the job table, or the table of operators' acts beside it, is missing or older than this
// program.
var ErrNotMigrated = errors.New("table jdpay_job is missing or out of date: run `jdpay-listener migrate`")

func ownMigrations() fs.FS {
	dir, err := fs.Sub(migrations, "schema")
	if err != nil { // only of a path that is not valid
		panic(err)
	}
	return dir
}

// columnMigrations are the migrations that add columns or indexes. MySQL commits such a statement by itself and has no IF NOT
// EXISTS for them: a process that is killed before its version is noted would leave a migration that fails whenever it is
// repeated. Replicas of a version that does not know a column go on working, because their statements name columns.
func columnMigrations() []*goose.Migration {
	return []*goose.Migration{
		addColumns(3, "ALTER TABLE jdpay_job ADD COLUMN trace VARCHAR(55) NULL, ADD COLUMN enqueued_at DATETIME(6) NULL"),
		// How far each Follower has come.
		addColumns(4, `CREATE TABLE IF NOT EXISTS jdpay_cursor (
			name        VARCHAR(64) NOT NULL PRIMARY KEY,
			finished_at DATETIME(6) NOT NULL,
			job_id      BIGINT      NOT NULL
		) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
			"CREATE INDEX ix_jdpay_job_finished ON jdpay_job (finished_at, id)"),
		goose.NewGoMigration(5, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, createAlerts); err != nil {
				return err
			}
			return moveAlerts(ctx, tx)
		}}, nil),
		addColumns(6, createReplicas...),
	}
}

// createReplicas creates the tables of package replica.
var createReplicas = []string{
	`CREATE TABLE IF NOT EXISTS jdpay_replica (
			lease      VARCHAR(64)  NOT NULL PRIMARY KEY,
			version    VARCHAR(128) NOT NULL,
			started_at DATETIME(6)  NOT NULL,
			seen_at    DATETIME(6)  NOT NULL
		) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
	`CREATE TABLE IF NOT EXISTS jdpay_minute (
			minute   DATETIME    NOT NULL,
			lease    VARCHAR(64) NOT NULL,
			payments INT         NOT NULL,
			fen      BIGINT      NOT NULL,
			rejected INT         NOT NULL,
			parked   INT         NOT NULL,
			took     TEXT        NOT NULL,
			PRIMARY KEY (minute, lease)
		) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
	`CREATE TABLE IF NOT EXISTS jdpay_pause (
			name     VARCHAR(191) NOT NULL PRIMARY KEY,
			since    DATETIME(6)  NOT NULL,
			ends_at  DATETIME(6)  NOT NULL,
			who      VARCHAR(128) NOT NULL,
			reason   TEXT         NOT NULL
		) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
}

// createAlerts creates the table of package alert. unique_key is set while an alert is open; told_… say what each receiver knows: 1
// that it opened, 2 the reminder, 3 that it is over.
const createAlerts = `CREATE TABLE IF NOT EXISTS jdpay_alert (
			id             BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
			unique_key     VARCHAR(191) NULL,
			cause          VARCHAR(64)  NOT NULL,
			ref            VARCHAR(64)  NULL,
			job_id         BIGINT       NULL,
			event          TINYINT      NOT NULL DEFAULT 0,
			text_en        TEXT         NULL,
			text_zh        TEXT         NULL,
			since          DATETIME(6)  NOT NULL,
			seen_until     DATETIME(6)  NULL,
			over_at        DATETIME(6)  NULL,
			due_at         DATETIME(6)  NULL,
			told_at        DATETIME(6)  NULL,
			told_dingtalk  TINYINT      NOT NULL DEFAULT 0,
			told_wecom     TINYINT      NOT NULL DEFAULT 0,
			told_feishu    TINYINT      NOT NULL DEFAULT 0,
			told_webhook   TINYINT      NOT NULL DEFAULT 0,
			send_error     VARCHAR(255) NULL,
			silenced_until DATETIME(6)  NULL,
			silenced_by    VARCHAR(128) NULL,
			silence_reason TEXT         NULL,
			UNIQUE KEY uk_jdpay_alert_unique_key (unique_key),
			KEY ix_jdpay_alert_due (due_at, id),
			KEY ix_jdpay_alert_over (over_at, seen_until),
			KEY ix_jdpay_alert_ref (ref)
		) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`

// addColumns is a migration of statements, each of which is taken as done if the columns or the index exist.
func addColumns(version int64, stmts ...string) *goose.Migration {
	return goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		for _, stmt := range stmts {
			_, err := tx.ExecContext(ctx, stmt)
			var refused *mysql.MySQLError
			if errors.As(err, &refused) && (refused.Number == duplicateColumn || refused.Number == duplicateIndex) {
				continue
			}
			if err != nil {
				return err
			}
		}
		return nil
	}}, nil)
}

// The server's errors when what is to be added exists.
const (
	duplicateColumn = 1060
	duplicateIndex  = 1061
)

func migrator(db *sql.DB, dir fs.FS, code ...*goose.Migration) (*goose.Provider, error) {
	store, err := database.NewStore(database.DialectMySQL, versionTable)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider("", db, dir, goose.WithStore(store), goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(code...))
}

// CheckVersion returns ErrNotMigrated if the job table does not fit this program. It changes nothing.
func CheckVersion(ctx context.Context, db *sql.DB) error {
	var tables int
	if err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_name IN ('jdpay_job', '`+versionTable+`')`).Scan(&tables); err != nil {
		return fmt.Errorf("looking for table jdpay_job: %w", err)
	}
	if tables < 2 { // what a user may not read, the server does not show it
		return fmt.Errorf("%w; if it has run, let this user read jdpay_job and %s (deploy/grants.sql)", ErrNotMigrated, versionTable)
	}
	p, err := migrator(db, ownMigrations(), columnMigrations()...)
	if err != nil {
		return err
	}
	pending, err := p.HasPending(ctx)
	if err != nil {
		return fmt.Errorf("reading the version of table jdpay_job: %w", err)
	}
	if pending {
		return ErrNotMigrated
	}
	return nil
}
