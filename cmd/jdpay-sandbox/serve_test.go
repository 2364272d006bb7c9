package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"
)

// TestMissingDatabaseIsSaidAtOnce: a server that runs and refuses is no server that is just starting.
func TestMissingDatabaseIsSaidAtOnce(t *testing.T) {
	server := testenv.MariaDB(t)
	ctx, cancel := context.WithTimeout(t.Context(), databaseTimeout/2) // less than the wait for a server that starts
	defer cancel()
	for name, dsn := range map[string]string{
		"1049": "root@tcp(" + server.Addr() + ")/nosuch",
		"1045": "nobody:wrong@tcp(" + server.Addr() + ")/",
	} {
		begun := time.Now()
		_, err := openCompany(ctx, dsn)
		if err == nil || !strings.Contains(err.Error(), name) || ctx.Err() != nil {
			t.Errorf("%v after %s, want error %s while there is time left", err, time.Since(begun), name)
		}
	}
}
