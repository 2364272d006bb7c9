package kernel

import (
	"context"
	"database/sql"
	"math"
	"strconv"
	"strings"
)

// CellTable has the cells that are assigned to parcels, in the main database.
var CellTable = Table{
	"kernel_smartbox_boxact_info",
	[]Column{
		{"id", "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY"},
		{"main_device_id", "BIGINT NOT NULL"},
		{"act_type", "INT NOT NULL DEFAULT 0"},
		{"post_order_id", "VARCHAR(32) NOT NULL"},
		{"cell_sn", "VARCHAR(32) NOT NULL"},
	},
	[]Index{{[]string{"post_order_id"}, false}},
}

// Cell is the cell of a parcel.
type Cell struct {
	SN, OtherSN string // the oldest, and one that differs
	Err         error  // a *BadValueError: a row cannot be used
}

// Cells returns the oldest cell assigned to each parcel, as the replaced program took it. A parcel is an order's id as text, with
// the main device's id of its cabinet.
func Cells(ctx context.Context, db *sql.DB, parcels map[string]int64) (map[string]Cell, error) {
	cells := make(map[string]Cell, len(parcels))
	if len(parcels) == 0 {
		return cells, nil
	}
	var args []any
	for id, mainDeviceID := range parcels {
		args = append(args, mainDeviceID, id)
	}
	// Pairs joined by OR instead of a list of rows: MySQL 5.6 uses the index only for this form.
	pairs := strings.Repeat(" OR main_device_id = ? AND post_order_id = ?", len(args)/2)[len(" OR "):]
	rows, err := db.QueryContext(ctx, "SELECT id, post_order_id, cell_sn FROM kernel_smartbox_boxact_info WHERE act_type = 0 AND ("+pairs+")", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	first := make(map[string]int64, len(parcels))
	for rows.Next() {
		var postID string
		var rowID, serial sql.NullString
		if err := rows.Scan(&rowID, &postID, &serial); err != nil {
			return nil, err
		}
		postID = plainID(postID)
		id, err := strconv.ParseInt(rowID.String, 10, 64)
		if err != nil {
			id = math.MinInt64 // treat it as the first
		}
		this := Cell{SN: serial.String}
		switch {
		case err != nil:
			this.Err = &BadValueError{CellTable.Name, "id", "post_order_id", postID, rowID}
		case !serial.Valid:
			this.Err = &BadValueError{CellTable.Name, "cell_sn", "post_order_id", postID, serial}
		}
		older, newer := this, cells[postID]
		if before, ok := first[postID]; ok && before <= id {
			older, newer = newer, older
		} else {
			first[postID] = id
		}
		if newer.SN != older.SN && newer.SN != "" {
			older.OtherSN = newer.SN
		}
		cells[postID] = older
	}
	return cells, rows.Err()
}
