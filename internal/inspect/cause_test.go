package inspect

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/testenv"
)

// TestCauseOfServerErrors has a real server refuse statements, and requires words instead of its texts.
func TestCauseOfServerErrors(t *testing.T) {
	t.Parallel()
	server := testenv.MariaDB(t)
	name := server.Create(t, schema.Account, schema.Main)
	db := openDB(t, server.DSN(name))
	user := "u" + name
	for _, statement := range []string{
		"CREATE USER '" + user + "'@'%' IDENTIFIED BY 'secret'",
		"GRANT SELECT (order_no) ON " + name + ".kernelorder_charge TO '" + user + "'@'%'",
		"CREATE VIEW broken AS SELECT order_no, term_no FROM kernelorder_charge",
		"INSERT INTO kernelorder_charge (order_id, order_no) VALUES (1, 'R1')",
		"ALTER TABLE kernelorder_charge DROP COLUMN term_no, DROP COLUMN pay_type",
		"ALTER TABLE kernel_postorder_pay_info ADD COLUMN extra INT NOT NULL",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _, _ = db.Exec("DROP USER '" + user + "'@'%'") })
	as := func(change func(*mysql.Config)) *sql.DB {
		cfg, err := mysql.ParseDSN(server.DSN(name))
		if err != nil {
			t.Fatal(err)
		}
		change(cfg)
		return openDB(t, cfg.FormatDSN())
	}
	limited := as(func(c *mysql.Config) { c.User, c.Passwd = user, "secret" })
	for statement, c := range map[string]struct {
		db     *sql.DB
		en, zh string
	}{
		"UPDATE kernelorder_charge SET pay_type = 2 WHERE order_id = 1": {
			db, "the database has no column pay_type: ALTER TABLE kernelorder_charge ADD COLUMN pay_type INT NULL",
			"数据库缺少列 pay_type，请执行 ALTER TABLE kernelorder_charge ADD COLUMN pay_type INT NULL",
		},
		"SELECT post_order_id, device_no FROM kernel_post_order": {db, "the database has no column device_no: `doctor` says how to add it", "数据库缺少列 device_no，`doctor` 会说明如何补上"},
		"SELECT * FROM kernel_post":                              {db, "the database has no table kernel_post: create it, or a view with this name", "数据库中没有表 kernel_post，请创建该表或同名视图"},
		"SELECT * FROM broken":                                   {db, "view broken is broken: a table, column or right that it uses is missing", "视图 broken 已失效：缺少其引用的表、列或权限"},
		"INSERT INTO kernel_postorder_pay_info (post_order_id, payment_status, payment_type, pay_time, pay_message) VALUES ('1', 1, 1, NOW(), '')": {
			db, "column extra was added without a default value: give it one", "新增的列 extra 没有默认值，请为其设置默认值",
		},
		"INSERT INTO kernelorder_charge (order_id, order_no) VALUES (1, 'R2')":            {db, "another row has the same unique key", "存在唯一键相同的行"},
		"UPDATE kernelorder_charge SET order_source = REPEAT('x', 65) WHERE order_id = 1": {db, "column order_source cannot hold the value: compare its type with the documentation", "列 order_source 无法保存该值，请核对其类型"},
		"INSERT INTO kernelorder_charge (order_id, order_no) VALUES (2, NULL)":            {db, "column order_no takes no NULL", "列 order_no 不允许为 NULL"},
		"UPDATE kernelorder_charge SET order_no = 'R2'":                                   {limited, "the database's user has no UPDATE right on table kernelorder_charge: deploy/grants.sql gives it", "数据库用户没有表 kernelorder_charge 的 UPDATE 权限，请按 deploy/grants.sql 授权"},
		"SELECT amount FROM kernelorder_charge":                                           {limited, "the database's user has no SELECT right on kernelorder_charge.amount: deploy/grants.sql gives it", "数据库用户没有 kernelorder_charge.amount 的 SELECT 权限，请按 deploy/grants.sql 授权"},
		"SELECT 1 /* password */":                                                         {as(func(c *mysql.Config) { c.User, c.Passwd = user, "wrong" }), "the database refuses the user or the password: check ConnectionStrings", "数据库拒绝了用户名或密码，请检查 ConnectionStrings"},
		"SELECT 1 /* database */":                                                         {as(func(c *mysql.Config) { c.User, c.Passwd, c.DBName = user, "secret", "mysql" }), "the database's user has no access to this database: deploy/grants.sql gives it", "数据库用户无权访问该数据库，请按 deploy/grants.sql 授权"},
		"SELECT 2 /* database */":                                                         {as(func(c *mysql.Config) { c.DBName = "nowhere" }), "the database does not exist on this server: check ConnectionStrings", "服务器上没有这个数据库，请检查 ConnectionStrings"},
		"SELECT 1 /* address */":                                                          {as(func(c *mysql.Config) { c.Net, c.Addr = "tcp", "127.0.0.1:1" }), "nothing listens at the server's address (connection refused)", "服务器地址拒绝连接（connection refused）"},
	} {
		_, err := c.db.Exec(statement)
		if err == nil {
			t.Errorf("%s succeeded", statement)
			continue
		}
		text := "marking 1 orders paid: " + err.Error()
		if en, zh := Cause(text, lang.English), Cause(text, lang.Chinese); en != c.en || zh != c.zh {
			t.Errorf("%s: %v:\n%s\n%s", statement, err, en, zh)
		}
	}
}

func TestCauseOfOtherErrors(t *testing.T) {
	for text, want := range map[string][2]string{
		"reading kernel_post_order: no row in kernel_post_order with post_order_id = '7'": {
			"no row in kernel_post_order with post_order_id = '7'", "表 kernel_post_order 中没有 post_order_id = '7' 的行",
		},
		"kernel_device_group.device_type is NULL in the row with device_sn = 'D1': correct the row": {
			"kernel_device_group.device_type is NULL in the row with device_sn = 'D1': correct the row",
			"device_sn = 'D1' 的行中 kernel_device_group.device_type 的值为 NULL，请更正该行",
		},
		"jd is down, the circuit breaker is open": {"JD does not answer, and calls wait until it does", "京东接口无响应，恢复后会自动继续"},
		"not connected to the mqtt broker 10.0.0.1:1883: dial tcp 10.0.0.1:1883: connect: connection refused": {
			"the MQTT broker cannot be reached", "无法连接 MQTT 服务器",
		},
		`mns: receive on queue "q": access refused: check the access key, its secret and its rights on the queue (HTTP 403 AccessDenied; No.; request id 1)`: {
			"MNS refuses access (AccessDenied): check the access key, its secret and its rights on the queue", "MNS 拒绝访问（AccessDenied），请检查 AccessKey、密钥及其对队列的权限",
		},
		`mns: receive on queue "q": no response from MNS: check the endpoint and the network (dial tcp: lookup a: no such host)`: {
			"the server's name is not known (DNS)", "无法解析服务器域名（DNS）",
		},
		`mns: receive on queue "q": the queue does not exist: create it, or correct its name, the account or the region (HTTP 404 QueueNotExist)`: {
			"the queue does not exist: create it, or correct its name, the account or the region", "队列不存在，请创建队列，或更正队列名、账号或地域",
		},
		"it refuses the notice: code 93000, invalid webhook url": {
			"it refuses the notice: code 93000, invalid webhook url", "机器人拒绝了告警，代码 93000：invalid webhook url",
		},
		"beginning a transaction: context deadline exceeded":             {"the server does not answer in time", "服务器响应超时"},
		"panic in the handler of settle: boom\ngoroutine 1 [running]:\n": {"the program has an error (panic): `jobs show` prints it", "程序内部错误（panic），请用 `jobs show` 查看"},
		"something new.\nand more":                                       {"something new", "something new"},
		"Error 1146 (42S02): Table 'prod_account.kernelorder_charge' doesn't exist": {
			"the database has no table kernelorder_charge: create it, or a view with this name", "数据库中没有表 kernelorder_charge，请创建该表或同名视图",
		},
		// MySQL 8.0 names database and table in another way than MariaDB 10.11.
		"Error 1142 (42000): UPDATE command denied to user 'u'@'h' for table 't1'":      {"the database's user has no UPDATE right on table t1: deploy/grants.sql gives it", "数据库用户没有表 t1 的 UPDATE 权限，请按 deploy/grants.sql 授权"},
		"Error 1142 (42000): UPDATE command denied to user 'u'@'h' for table `db`.`t1`": {"the database's user has no UPDATE right on table t1: deploy/grants.sql gives it", "数据库用户没有表 t1 的 UPDATE 权限，请按 deploy/grants.sql 授权"},
	} {
		if en, zh := Cause(text, lang.English), Cause(text, lang.Chinese); en != want[0] || zh != want[1] {
			t.Errorf("%s:\n%s\n%s", text, en, zh)
		}
	}
	if err := errors.New(strings.Repeat("x", 500)); len(Cause(err.Error(), lang.English)) > 210 {
		t.Error("a long text is not cut")
	}
}

// TestExplainWordsTheCause requires that explain prints no driver's text.
func TestExplainWordsTheCause(t *testing.T) {
	w := newWorld(t)
	w.order(1, "8.00")
	w.exec("ALTER TABLE kernelorder_charge DROP COLUMN pay_type")
	w.serve()
	w.keep(pay("R1", "8.00"))
	w.eventually("a try fails", 1, "SELECT COUNT(*) FROM jdpay_job WHERE ref = 'R1' AND last_error IS NOT NULL")
	trace, err := LookUp(t.Context(), w.db, w.db, "R1")
	if err != nil {
		t.Fatal(err)
	}
	for l, want := range map[lang.Lang]string{
		lang.English: "the database has no column pay_type: ALTER TABLE kernelorder_charge ADD COLUMN pay_type INT NULL", lang.Chinese: "数据库缺少列 pay_type",
	} {
		if text := trace.Explain(l, time.UTC); !strings.Contains(text, want) || strings.Contains(text, "Error 1054") {
			t.Errorf("%s", text)
		}
	}
}

// TestObjectionsInChinese explains parked jobs whose last error package payment has worded: in Chinese no English is left but
// what a cabinet said, in English the text stays.
func TestObjectionsInChinese(t *testing.T) {
	for reason, want := range map[string]string{
		"paid 16.96 yuan, the order's amount is 99.00":                                                  "（实付 16.96 元，订单金额 99.00 元）",
		`the order was paid already by externalId "EARLIER"; this is "X5": the customer needs a refund`: "（该订单已由 externalId “EARLIER” 支付，本次为 “X5”，需给客户退款）",
		`the order was paid already: externalId "", 8.00 yuan, pay type 99, unknown time; this is not shown to be a copy: externalId "X5", 8.00 yuan, pay type 2, 2019-11-20 12:00:00`: "（该订单已支付（externalId “”，8.00 元，支付方式 99，unknown time），无法证明本次是其重复通知（externalId “X5”，8.00 元，支付方式 2，2019-11-20 12:00:00））",
		`kernelorder_charge.external_id does not give externalId "007" back as it is: make it a VARCHAR that is long enough, with a character set that has all of it`:                  "（kernelorder_charge.external_id 存入 externalId “007” 后读回不一致，请改为足够长、字符集完整的 VARCHAR）",
		`malformed message: amount "8.001" has a fraction of a fen`: "（金额 “8.001” 无法识别）",
		`malformed message: payTime "noon" is not a time: expected 2006-01-02 15:04:05, 2006/1/2 15:04, 20060102150405, ISO 8601, or epoch seconds or milliseconds`: "（支付时间 “noon” 无法识别）",
		`malformed message: payAmount is missing`:                                                                        "（缺少 payAmount）",
		`malformed message: data is not a JSON object: invalid character 'h' looking for beginning of value`:             "（data 无法解析）",
		`payStatus is "REFUND", which is not one of Payment:SuccessStatuses`:                                             "（payStatus 为 “REFUND”，不在 Payment:SuccessStatuses 之列）",
		"the cabinet refused with code 17: door is jammed {order}":                                                       "（柜机拒绝，代码 17：door is jammed {order}）",
		"its time was over at 2020-01-01T04:00:00Z, before it was stored":                                                "（有效时间到 2020-01-01 04:00:00 为止，入账时已过）",
		"its time was over at 2020-01-01T04:00:00Z, while the parcel was looked up":                                      "（有效时间到 2020-01-01 04:00:00 为止，查询包裹期间已过）",
		`the order was paid already by externalId "A\"; this is \"B"; this is "X5": the customer needs a refund`:         `externalId "A\"; this is`,
		"jd will not take the status until something is corrected: http 403: paid 1 yuan, the order's amount is 2 or so": "（jd will not take",
	} {
		j := job.Row{ID: 5, Kind: payment.KindSettle, State: job.Parked, Outcome: payment.PaidTwice, LastError: reason}
		trace := &Trace{OrderNo: "R1", Order: &kernel.Order{ID: 1, Amount: "99.00"}, Jobs: []job.Row{j}}
		if got := trace.Explain(lang.Chinese, time.UTC); !strings.Contains(got, want) {
			t.Errorf("%q does not contain %q", got, want)
		}
		if got := trace.Explain(lang.English, time.UTC); !strings.Contains(got, "("+strings.Replace(reason, "T04:00:00Z", " 04:00:00", 1)+")") {
			t.Errorf("%q does not contain %q", got, reason)
		}
	}
}
