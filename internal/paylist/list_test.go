package paylist

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"
	"pgregory.net/rapid"
)

func read(text string, o Options) (*List, error) {
	return Read(strings.NewReader(text), int64(len(text)), o)
}

// jdHeader is that of the merchant's file of JD.
const jdHeader = "订单号,银行订单号,订单金额,业务类型,订单类型,订单状态,已退款金额,清算状态(1),交易时间,处理时间,原订单号,手续费,账户名称,备注1,备注2,银行名称,业务订单号\n"

func packed(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte("order_no,amount\nR1,8.00\n"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRead(t *testing.T) {
	gbk, err := simplifiedchinese.GBK.NewEncoder().String("商户订单号,应结订单金额\nR1,8.00\n")
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	fmt.Fprint(z, "order_no,amount\nR1,8.00\n")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	one := []Row{{Order: "R1", Fen: 800, Line: 2}}
	for name, tt := range map[string]struct {
		text       string
		options    Options
		rows       []Row
		refunds    int
		unreadable int
	}{
		"comma":                   {text: "order_no,amount\nR1,8.00\n", rows: one},
		"tab, CRLF":               {text: "订单号\t订单金额\r\nR1\t8\r\n", rows: one},
		"semicolon":               {text: "amount;order_no\n8.0;R1", rows: one},
		"byte order mark":         {text: "\ufefforder_no,amount\nR1,8.00\n", rows: one},
		"GBK":                     {text: gbk, rows: one},
		"gzip":                    {text: zipped.String(), rows: one},
		"zip":                     {text: packed(t, "a.csv"), rows: one},
		"formula cells, backtick": {text: "order_no,amount\n=\"R1\",`8.00\n", rows: one},
		"quoted, trailing blanks": {text: "order_no,amount\n\"R1\t\",\" 8.00 \"\n", rows: one},
		"thousands":               {text: "order_no,amount\nR1,\"￥1,008.00元\"\n", rows: []Row{{Order: "R1", Fen: 100800, Line: 2}}},
		"before the header":       {text: "# made by\n商户：某某\n\norder_no,amount\nR1,8.00\n", rows: []Row{{Order: "R1", Fen: 800, Line: 5}}},
		"comment, blank line":     {text: "order_no,amount\n\n#x\nR1,8.00\n", rows: []Row{{Order: "R1", Fen: 800, Line: 4}}},
		"totals":                  {text: "order_no,amount\nR1,8.00\n合计：1笔,8.00\n", rows: one},
		"named columns":           {text: "a,b,c\n1.00,R1,8.00\n", options: Options{Order: "b", Amount: "c", External: "a"}, rows: []Row{{Order: "R1", External: "1.00", Fen: 800, Line: 2}}},
		"sorted, several rows":    {text: "order_no,amount\nR2,1.00\nR1,8.00\nR2,2.00\n", rows: []Row{{Order: "R1", Fen: 800, Line: 3}, {Order: "R2", Fen: 100, Line: 2}, {Order: "R2", Fen: 200, Line: 4}}},
		"refunds":                 {text: "order_no,amount,type\nR1,8.00,pay\nR1,-8.00,pay\nR3,8.00,REFUND\n", rows: one, refunds: 2},
		"a row that is no amount": {text: "order_no,amount\nR1,8.00\nR2,abc\n,3\n", rows: one, unreadable: 2},
		"JD, a comma in a remark": {
			text: jdHeader + "=\"R1\",B1,8.00,x,消费,成功,0,1,\"2016-01-01 10:00:00\t\",y,,0.1,n,r,one,two,bank,R1 \n" +
				"R9,B9,-8.00,x,退款单,成功,0,1,t,y,R1,0.1,n,r,,bank,-1\n", rows: one, refunds: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := read(tt.text, tt.options)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.rows, list.Rows); diff != "" || list.Refunds != tt.refunds || len(list.Unreadable) != tt.unreadable {
				t.Errorf("%d refunds, %d unreadable\n%s", list.Refunds, len(list.Unreadable), diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"empty":                    {"", "empty"},
		"scientific notation":      {"order_no,amount\n2.0201E+17,8.00\n", "line 2: the order number is 2.0201E+17"},
		"lost digits":              {"order_no,amount\n202011200000001000,8\n202011200000002000,8\n202011200000003000,8\n", "has lost the last digits"},
		"another number of fields": {"order_no,amount\nR1,8.00,9\n", "line 2: it has 3 fields"},
		"no such column":           {"a,b\n1,2\n", "The longest line has a, b"},
		"cut off":                  {"order_no,amount\nR1,8.00\n合计,2,16.00\n", "line 3: the totals do not match"},
		"NUL":                      {"order_no,amount\nR1,8\x00.00\n", "NUL"},
		"a field of megabytes":     {"order_no,amount\nR1," + strings.Repeat("9", 2<<20) + "\n", "64 KiB"},
		"a quote without end":      {"order_no,amount\n\"R1,8.00\n" + strings.Repeat("R2,8.00\n", 20_000), "quote"},
		"UTF-16":                   {"\xff\xfeo\x00", "UTF-16"},
		"no row":                   {"order_no,amount\n", "no row"},
		"two files":                {packed(t, "a.csv", "b.csv"), "2 entries"},
		"a path":                   {packed(t, "../a.csv"), "not a plain file"},
		"damaged zip":              {"PK\x03\x04xxxx", "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			if list, err := read(tt.text, Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, %v; want %q", list, err, tt.want)
			}
		})
	}
	if _, err := read("order_no,amount\nR1,8\n", Options{Order: "x"}); err == nil || !strings.Contains(err.Error(), `no column "x" (--order-column); the columns are order_no, amount`) {
		t.Error(err)
	}
}

// TestAnyInput: no text makes the reader panic, and what it reads adds up.
func TestAnyInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.SampledFrom([]string{"R1", "8.00", "-1", "\"", "=\"x\"", ",", "\n", "\t", "\xff\xb1", "合计", "1e9", "", " ", "#", "\x00", "order_no,amount\n"})
		list, err := read("order_no,amount\n"+strings.Join(rapid.SliceOf(cell).Draw(t, "cells"), ""), Options{})
		if err != nil {
			return
		}
		var sum int64
		for _, r := range list.Rows {
			sum += r.Fen
		}
		if sum != list.Fen {
			t.Fatalf("rows of %d fen, and a sum of %d", sum, list.Fen)
		}
	})
}
