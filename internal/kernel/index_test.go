package kernel

import "testing"

func TestIndexMetBy(t *testing.T) {
	order := Index{[]string{"order_no"}, true}
	cell := Index{[]string{"post_order_id"}, false}
	for name, tt := range map[string]struct {
		wanted Index
		have   []string
		unique bool
		want   bool
	}{
		"unique: the same column":                {order, []string{"order_no"}, true, true},
		"unique: an index that is not":           {order, []string{"order_no"}, false, false},
		"unique: more columns":                   {order, []string{"order_no", "shop"}, true, false}, // two rows could have one order number
		"the same column":                        {cell, []string{"post_order_id"}, false, true},
		"the column first":                       {cell, []string{"post_order_id", "act_type"}, false, true},
		"the column after main_device_id":        {cell, []string{"main_device_id", "post_order_id"}, false, true},
		"the column after both":                  {cell, []string{"main_device_id", "act_type", "post_order_id"}, false, true},
		"the column after both, the other way":   {cell, []string{"act_type", "main_device_id", "post_order_id"}, false, true},
		"without the column":                     {cell, []string{"main_device_id", "act_type"}, false, false},
		"the column after one that is not known": {cell, []string{"cell_sn", "post_order_id"}, false, false},
		"a unique index without the column":      {cell, []string{"main_device_id"}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.wanted.metBy(tt.have, tt.unique); got != tt.want {
				t.Errorf("%v is met by %v, unique %v: %v, want %v", tt.wanted, tt.have, tt.unique, got, tt.want)
			}
		})
	}
}
