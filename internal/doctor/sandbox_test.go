package doctor

import (
	"testing"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/setup"
)

// TestLockChecksOnTheSandbox makes the checks of sessions on the sandbox's database, which knows less SQL than MySQL.
func TestLockChecksOnTheSandbox(t *testing.T) {
	server, err := mysqlserver.Start("company")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	db, err := setup.OpenDatabase(config.NewSecret(server.DSN("company")))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = namedLock(t.Context(), db)
	checkLevel(t, err, "ok")
	_, err = packets(t.Context(), db)
	checkLevel(t, err, "ok")
}
