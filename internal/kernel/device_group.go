package kernel

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"

	"jdpay-listener/internal/sqldb"
)

// CabinetTable has the cabinets, in the main database.
var CabinetTable = Table{
	"kernel_device_group",
	[]Column{
		{"device_sn", "VARCHAR(64) NOT NULL"},
		{"main_device_id", "BIGINT NOT NULL"},
		{"device_type", "INT NOT NULL"},
	},
	[]Index{{[]string{"device_sn"}, false}},
}

// Cabinet is a cabinet as the main database knows it: a device group. The names in JSON are those in Redis.
type Cabinet struct {
	DeviceSN     string `json:"device_sn"` // as its own row has it
	MainDeviceID int64  `json:"main_device_id"`
	DeviceType   int    `json:"device_type"`
	Err          error  `json:"-"` // a *BadValueError: the row cannot be used
}

// Cabinets reads cabinets by serials. The database decides which serials equal a row's: each row comes with a digit for
// each serial, 1 if they are equal.
func Cabinets(ctx context.Context, db *sql.DB, serials []string) (map[string]Cabinet, error) {
	var asked []any
	rows, err := CabinetTable.selectIn(ctx, db, "device_sn", serials, func(serials []any) (*sql.Rows, error) {
		asked = serials
		return db.QueryContext(ctx, "SELECT CONCAT("+strings.Repeat(", device_sn = ?", len(serials))[2:]+`), device_sn, main_device_id, device_type
			FROM kernel_device_group WHERE device_sn IN `+sqldb.In(len(serials)), slices.Concat(serials, serials)...)
	})
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	cabinets := make(map[string]Cabinet, len(serials))
	for rows.Next() {
		var equal string
		var c Cabinet
		var mainDeviceID, deviceType sql.NullString
		if err := rows.Scan(&equal, &c.DeviceSN, &mainDeviceID, &deviceType); err != nil {
			return nil, err
		}
		if c.MainDeviceID, err = strconv.ParseInt(mainDeviceID.String, 10, 64); err != nil {
			c.Err = &BadValueError{CabinetTable.Name, "main_device_id", "device_sn", c.DeviceSN, mainDeviceID}
		}
		if c.DeviceType, err = strconv.Atoi(deviceType.String); err != nil {
			c.Err = &BadValueError{CabinetTable.Name, "device_type", "device_sn", c.DeviceSN, deviceType}
		}
		for i := range asked {
			serial := asked[i].(string)
			if _, ok := cabinets[serial]; equal[i] == '1' && (!ok || c.DeviceSN == serial) {
				cabinets[serial] = c
			}
		}
	}
	return cabinets, rows.Err()
}
