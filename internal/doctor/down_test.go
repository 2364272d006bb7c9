package doctor

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/testenv"
)

// TestExamineNothing examines dependencies that are all down: each is told once, and what needs it is not checked.
func TestExamineNothing(t *testing.T) {
	loaded := load(
		t, "ConnectionStrings__Account=Server=127.0.0.1;Port=1;Database=x;Uid=u;Pwd=hush-hush", "ConnectionStrings__Main=Server=127.0.0.1;Port=1;Database=x;Uid=u;Pwd=hush-hush",
		"Mns__Endpoint=http://127.0.0.1:1", "Mns__AccessKeyId=ak", "Mns__AccessKeySecret=sk", "JDPay__NotifyQueueName=notify", "SyncReply__QueueName=replies", "Mqtt__Server=127.0.0.1", "Mqtt__Port=1",
		"JDApi__BaseUrl=http://127.0.0.1:1", "Redis__Server=127.0.0.1:1", "Elasticsearch__Url=http://127.0.0.1:1",
	)
	failed := map[string]string{}
	for _, f := range Examine(t.Context(), loaded) {
		if f.Failed() {
			failed[f.Name] = f.Remedy.String()
		}
		if f.Detail.IsZero() || f.Remedy.IsZero() && (!f.OK || f.Warning) || strings.Contains(f.Detail.String()+f.Remedy.String(), "hush") {
			t.Errorf("%+v", f)
		}
		if strings.Contains(f.Detail.String(), "dial tcp") || f.Failed() && !strings.Contains(f.Detail.In(lang.Chinese), "127.0.0.1:1 拒绝连接") {
			t.Errorf("%s: not in words, or not in Chinese: %s; %s", f.Name, f.Detail, f.Detail.In(lang.Chinese))
		}
		if f.Failed() && f.Unchecked || f.OK && f.Unchecked {
			t.Errorf("it is more than one thing: %+v", f)
		}
		for prefix, cause := range map[string]string{
			"account ": "account database", "main ": "main database", "table ": "account database", "mqtt ": "mqtt broker", "redis ": "redis",
			"mns queue notify ": "mns queue notify", "mns queue replies ": "mns queue replies",
		} {
			if strings.HasPrefix(f.Name, prefix) && f.Name != cause && (!f.Unchecked || f.Detail.String() != "not checked: "+cause+" cannot be reached") {
				t.Errorf("%+v", f)
			}
		}
	}
	for name, want := range map[string]string{
		"account database": "server and port in ConnectionStrings:Account", "main database": "server and port in ConnectionStrings:Main", "mqtt broker": "Mqtt:Server",
		"mns queue notify": "Mns:Endpoint", "mns queue replies": "Mns:Endpoint", "jd api": "JDApi:BaseUrl", "redis": "section Redis", "elasticsearch": "section Elasticsearch",
	} {
		if !strings.Contains(failed[name], want) {
			t.Errorf("%s: the remedy is %q", name, failed[name])
		}
		delete(failed, name)
	}
	if len(failed) > 0 {
		t.Errorf("also failed: %v", failed)
	}
}

// TestDatabaseFaults requires a remedy that fits the error.
func TestDatabaseFaults(t *testing.T) {
	server := func(number uint16) error { return &mysql.MySQLError{Number: number, Message: "no"} }
	d := databaseProbes{name: "account database", key: "ConnectionStrings:Account"}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"not there":            {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, "the server is up"},
		"the wrong password":   {server(1045), "user and password"},
		"too few rights":       {server(1142), "deploy/grants.sql"},
		"no such database":     {server(1049), "name of the database"},
		"no more connections":  {server(1040), "Max Pool Size"},
		"a lost Galera node":   {server(1047), "Galera"},
		"a missing column":     {server(1054), "tables"},
		"anything else":        {server(1234), "error 1234"},
		"a server without TLS": {mysql.ErrNoTLS, "SslMode"},
		"a judgement":          {errors.New("is older than MySQL 5.6"), "upgrade"},
	} {
		t.Run(name, func(t *testing.T) {
			f := probe{name: "version", remedy: lang.Plain("upgrade"), run: func(context.Context) (lang.Message, error) { return lang.Message{}, d.fault(tt.err) }}.find(t.Context())
			if !f.Failed() || !strings.Contains(f.Remedy.String(), tt.want) || tt.want != "upgrade" && strings.Contains(f.Remedy.String(), "upgrade") {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestPackets connects without the right to send several statements, like a proxy that passes one on only.
func TestPackets(t *testing.T) {
	server := testenv.MariaDB(t)
	name := server.Create(t)
	own, err := setup.OpenDatabase(config.NewSecret("Server=" + server.Host + ";Port=" + strconv.Itoa(server.Port) + ";Database=" + name + ";Uid=root;SslMode=None"))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	_, err = packets(t.Context(), own)
	checkLevel(t, err, "ok")
	db, err := sql.Open("mysql", "root@tcp("+server.Addr()+")/"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = packets(t.Context(), db)
	checkLevel(t, err, "fail", "two statements in one packet do not arrive whole")
}
