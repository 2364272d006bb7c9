package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// downConfig writes a configuration whose servers are all at port 1 of this host, where none is, and returns the file's path.
func downConfig(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "appsettings.json")
	const connection = `"Server=127.0.0.1;Port=1;Uid=root;Pwd=geheim;Database=company;SslMode=None"`
	text := `{"ConnectionStrings": {"Account": ` + connection + `, "Main": ` + connection + `},
		"Mns": {"Endpoint": "http://127.0.0.1:1", "AccessKeyId": "id", "AccessKeySecret": "secret"}, "JDPay": {"NotifyQueueName": "q", "Md5Key": "a-long-signing-key"},
		"Mqtt": {"Server": "127.0.0.1", "Port": 1}, "JDApi": {"BaseUrl": "http://127.0.0.1:1", "ProducerCode": "P", "CloudProducerCode": "C"}}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestCommandsWithoutADatabase requires that commands say in words, in both languages, which database is down and what to do.
func TestCommandsWithoutADatabase(t *testing.T) {
	file := downConfig(t)
	for _, line := range []string{"explain R1", "trace R1", "find R123", "jobs list", "jobs show 1", "jobs retry 1", "audit", "migrate", "verify --job 1"} {
		for language, wants := range map[string][]string{
			"en": {"the account database cannot be used", "ConnectionStrings:Account", "jdpay-listener doctor", "nothing listens at the server's address"},
			"zh": {"账务数据库不可用", "ConnectionStrings:Account", "jdpay-listener doctor", "服务器地址拒绝连接"},
		} {
			_, errOut, code := inProcess(t, "", append(strings.Fields(line), "--config", file, "--lang", language)...)
			if code != exitFailed || strings.Contains(errOut, "dial tcp") || strings.Count(errOut, "\n") != 1 {
				t.Errorf("%s in %s: exit %d: %s", line, language, code, errOut)
			}
			mustContain(t, errOut, wants...)
		}
	}
}
