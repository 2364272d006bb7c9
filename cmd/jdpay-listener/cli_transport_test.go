package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"jdpay-listener/internal/setup"
)

// spaced replaces the spaces between a table's columns, whose width does not matter.
func spaced(s string) string { return regexp.MustCompile(` {2,}`).ReplaceAllString(s, " | ") }

func TestTransportTable(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, value := range map[string]string{
		"ConnectionStrings__Account": "Server=db.test;Database=d;Uid=u;Pwd=p;SslMode=Preferred", "ConnectionStrings__Main": "u:p@unix(/run/mysqld.sock)/d",
		"Mns__Endpoint": "http://mns.test", "Mns__AccessKeyId": "id", "Mns__AccessKeySecret": "s", "JDPay__NotifyQueueName": "q", "JDPay__Md5Key": "a-key-of-the-tests",
		"Mqtt__Server": "mqtts://broker.test", "JDApi__BaseUrl": "https://jd.test", "JDApi__ProducerCode": "P", "JDApi__CloudProducerCode": "C",
		"Redis__Server": "redis.test,password=p",
	} {
		t.Setenv(name, value)
	}
	t.Run("as configured", func(t *testing.T) {
		out, errOut, code := inProcess(t, "", "config", "check")
		if code != exitOK {
			t.Fatalf("exit %d: %s", code, errOut)
		}
		mustContain(t, spaced(out),
			"CONNECTION | WHERE | ENCRYPTED | VERIFIED | CREDENTIALS | SESSION\n",
			"account database | network | if offered | no | to an impostor | -\n",
			"main database | this machine | no | no | to an impostor | -\n",
			"mns | network | no | no | protected | -\n",
			"mqtt broker | network | yes | yes | none | -\n",
			"jd api | network | yes | yes | none | -\n",
			"redis | network | no | no | plaintext | -\n",
			"ops port | this machine | no | no | none | -\n")
		mustContain(t, errOut, "warning: ConnectionStrings:Account: a server without TLS", "warning: Redis:Server: the connection is not encrypted")
		if strings.Contains(errOut, "ConnectionStrings:Main") {
			t.Errorf("a warning about a local socket: %s", errOut)
		}
	})
	t.Run("as JSON", func(t *testing.T) {
		out, _, _ := inProcess(t, "", "config", "check", "--json")
		var got struct{ Transport []setup.Link }
		if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Transport) != 7 || got.Transport[0].Credentials != setup.Exposed || !got.Transport[1].Local {
			t.Errorf("%v: %+v", err, got)
		}
	})
	t.Run("with Security:Strict every command is refused", func(t *testing.T) {
		for _, args := range [][]string{{"config", "check"}, {"run"}, {"doctor"}} {
			_, errOut, code := inProcess(t, "", append(args, "--set", "Security:Strict=true")...)
			if code != exitUsage || strings.Count(errOut, "refused by Security:Strict") != 3 {
				t.Errorf("%v: exit %d: %s", args, code, errOut)
			}
			mustContain(t, errOut, "ConnectionStrings:Account", "(env Mns__Endpoint): refused", "Redis:Server")
		}
	})
	t.Run("a secret as a flag is refused", func(t *testing.T) {
		for _, flag := range []string{"--set=JDPay:Md5Key=hunter2-and-more-of-it", "--JDPay:Md5Key=hunter2-and-more-of-it"} {
			_, errOut, code := inProcess(t, "", "config", "check", flag)
			if code != exitUsage || strings.Contains(errOut, "hunter2") {
				t.Errorf("%s: exit %d: %s", flag, code, errOut)
			}
			mustContain(t, errOut, "JDPay:Md5Key (flag --set): every user of this machine can read a program's flags", "JDPay__Md5Key_FILE")
		}
	})
}
