package replica

import (
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

// TestTallyForgetsWhatIsWritten: also of an instance that is never without work.
func TestTallyForgetsWhatIsWritten(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	db := server.Open(t, server.Create(t))
	if _, err := db.Exec("CREATE TABLE jdpay_minute (minute DATETIME, lease VARCHAR(64), payments INT, fen BIGINT, rejected INT, parked INT, took TEXT, PRIMARY KEY (minute, lease))"); err != nil {
		t.Fatal(err)
	}
	var tally Tally
	begin := time.Date(2026, 11, 20, 4, 0, 0, 0, time.UTC)
	for i := range 60 {
		tally.Payment(begin.Add(time.Duration(i)*time.Minute), 1)
		if err := tally.Flush(t.Context(), db, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(tally.minutes); n > 10 {
		t.Errorf("it holds %d minutes", n)
	}
	if sum, err := Sum(t.Context(), db, begin); err != nil || sum.Payments != 60 {
		t.Errorf("%+v, %v", sum, err)
	}
}
