package inspect

import (
	"fmt"
	"testing"
)

func TestIndexMet(t *testing.T) {
	order := Index{"kernelorder_charge", []string{"order_no"}, true}
	cell := Index{"kernel_smartbox_boxact_info", []string{"post_order_id"}, false}
	for _, tt := range []struct {
		wanted Index
		have   []string
		unique bool
		want   bool
	}{
		{order, []string{"order_no"}, true, true},
		{order, []string{"order_no"}, false, false},
		{order, []string{"order_no", "shop"}, true, false}, // one order number could stand in two rows
		{cell, []string{"post_order_id"}, false, true},
		{cell, []string{"post_order_id", "act_type"}, false, true},
		{cell, []string{"main_device_id", "post_order_id"}, false, true},
		{cell, []string{"main_device_id", "act_type", "post_order_id"}, false, true},
		{cell, []string{"act_type", "main_device_id", "post_order_id"}, false, true},
		{cell, []string{"main_device_id", "act_type"}, false, false},
		{cell, []string{"cell_sn", "post_order_id"}, false, false},
		{cell, []string{"main_device_id"}, true, false},
	} {
		t.Run(fmt.Sprintf("%s with %v unique %v", tt.wanted, tt.have, tt.unique), func(t *testing.T) {
			if got := tt.wanted.met(tt.have, tt.unique); got != tt.want {
				t.Errorf("met %v, want %v", got, tt.want)
			}
		})
	}
}
