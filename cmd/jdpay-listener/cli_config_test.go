package main

import (
	"os"
	"strings"
	"testing"
)

// oldFile is a file of the replaced program, with what .NET's host and its log library keep in it.
const oldFile = `{
  // 京东寄件支付监听
  "AllowedHosts": "*",
  "Logging": { "LogLevel": { "Default": "Information", "Microsoft": "Warning" }, "Console": { "IncludeScopes": false } },
  "Serilog": { "MinimumLevel": { "Default": "Information" }, "WriteTo": [ { "Name": "Console" }, ], },
  "ConnectionStrings": { "Hangfire": "Server=10.0.0.9;Uid=hangfire;Pwd=other-password" },
  "Dev001.ThirdService": {
    "EMQServer": "10.0.0.1",
    "EMQPort": "1883",
    "RedisEndPoints": "",
    "RedisServer": "10.0.0.2:6379",
    "RedisPwd": "redis-password",
    "RedisDBId": "3",
    "MNSSH_AccessKey": "key-id-of-mns",
    "MNSSH_SecretKey": "secret-key-of-mns",
    "MNSSH_EndPoint": "http://1234567890.mns.cn-shanghai.aliyuncs.com",
    "MySqlServer": "Data Source=10.0.0.3;Initial Catalog=kernel;User ID=svc;Password='db;pa=ss';Charset=utf8;Pooling=true",
    "MySqlServerAcc": "Server=10.0.0.3;Port=3307;Database=account;Uid=svc;Pwd=db-password;SslMode=None",
    "ElasticSearchUrl": "http://10.0.0.4:9200",
    "JDPayNotifyQueueName": "JDPayNotifyQueue",
    "JDPayMd5Key": "0123456789abcdef0123456789abcdef",
    "JDProducerCode": "JDSEND",
    "JDCloundProducerCode": "JDCLOUD",
  },
}
`

// oldSecrets are parts of the secrets in oldFile.
var oldSecrets = []string{"redis-password", "key-id-of-mns", "secret-key-of-mns", "pa=ss", "db-password", "other-password", "0123456789abcdef"}

func containsSecret(text string) bool {
	for _, secret := range oldSecrets {
		if strings.Contains(text, secret) {
			return true
		}
	}
	return false
}

// TestReplacedProgramsFileWorksUnchanged: but for the one address that the replaced program had in its code.
func TestReplacedProgramsFileWorksUnchanged(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("appsettings.json", []byte("\uFEFF"+oldFile), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errOut, code := inProcess(t, "", "config", "check")
	_, faults, _ := strings.Cut(errOut, "\n") // behind the line about the files
	if code != exitUsage || out != "" || strings.Count(faults, "\n") != 1 || !strings.HasPrefix(faults, "JDApi:BaseUrl: required but not set") ||
		!strings.Contains(errOut, "the replaced program had this address in its code") {
		t.Errorf("exit %d, stdout %q, stderr %s", code, out, errOut)
	}

	t.Setenv("JDApi__BaseUrl", "https://jd.example.com")
	out, errOut, code = inProcess(t, "", "config", "check")
	if code != exitOK || containsSecret(out+errOut) || strings.Contains(errOut, "unknown") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	for _, want := range []string{
		"Server=10.0.0.3;Port=3306;Database=kernel;Uid=svc;Pwd=***;SslMode=Preferred", "Server=10.0.0.3;Port=3307;Database=account;Uid=svc;Pwd=***;SslMode=None",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %s in\n%s", want, out)
		}
	}
	if !strings.Contains(errOut, "warning: Dev001.ThirdService:MySqlServer: Pooling has no effect here") {
		t.Errorf("warnings name the user's own key:\n%s", errOut)
	}
}

func TestConfigCheckPrintsFaultsAlone(t *testing.T) {
	t.Chdir(t.TempDir())
	file := strings.NewReplacer(`"1883"`, `"188x"`, `"RedisDBId": "3"`, `"RedisDbNumber": "3"`, `"EMQServer"`, `"EMQSever"`).Replace(oldFile)
	if err := os.WriteFile("appsettings.json", []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errOut, code := inProcess(t, "", "config", "check")
	lines := strings.Split(strings.TrimSpace(errOut), "\n")
	want := []string{
		"files: appsettings.json (in the working directory)",
		"warning: unknown key Dev001.ThirdService:EMQSever (appsettings.json:8); the nearest known one is Dev001.ThirdService:EMQServer",
		"warning: unknown key Dev001.ThirdService:RedisDbNumber (appsettings.json:13); ", `Dev001.ThirdService:EMQPort = "188x" (appsettings.json:9): not valid`,
		"Mqtt:Server: required but not set; set it, or the replaced program's EMQServer, ", "JDApi:BaseUrl: required but not set",
	}
	if code != exitUsage || out != "" || len(lines) != len(want) {
		t.Fatalf("exit %d, stdout %q, stderr\n%s", code, out, errOut)
	}
	for i, prefix := range want {
		if !strings.HasPrefix(lines[i], prefix) {
			t.Errorf("got %s, want %s…", lines[i], prefix)
		}
	}
	if out, _, code := inProcess(t, "", "config", "check", "--json"); code != exitUsage || !strings.Contains(out, `"given": "Dev001.ThirdService:EMQPort"`) || !strings.Contains(out, `"Jobs:KeepDone"`) {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestConfigInit(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("Mqtt__Server", "from-the-environment")
	if err := os.WriteFile("old.json", []byte(oldFile), 0o644); err != nil {
		t.Fatal(err)
	}
	printed, notes, code := inProcess(t, "", "config", "init", "--from", "old.json")
	if code != exitOK || !strings.Contains(printed, `"Server": "10.0.0.1"`) || containsSecret(notes) {
		t.Fatalf("exit %d\n%s%s", code, printed, notes)
	}
	for _, want := range []string{
		"secrets in clear: ConnectionStrings:Account, ConnectionStrings:Main, Mns:AccessKeyId, Mns:AccessKeySecret, JDPay:Md5Key, Redis:Server, Redis:Password;",
		"left out, since no key of this program: AllowedHosts, ConnectionStrings:Hangfire, Logging:Console:IncludeScopes, Logging:LogLevel:Microsoft, Serilog\n",
		"fill in JDApi:BaseUrl: the replaced program had this address in its code", "then: jdpay-listener config check --config FILE\n",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("there is no %q in\n%s", want, notes)
		}
	}

	_, notes, code = inProcess(t, "", "config", "init", "--from", "old.json", "--output", "new.json")
	written, err := os.ReadFile("new.json")
	if err != nil || code != exitOK || string(written) != printed || !strings.HasPrefix(notes, "written: new.json, readable by its owner alone\n") {
		t.Fatalf("%v, exit %d\n%s", err, code, notes)
	}
	if info, err := os.Stat("new.json"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v", err, info.Mode())
	}
	// The result has one fault: what the replaced program never had.
	if _, errOut, code := inProcess(t, "", "config", "check", "--config", "new.json"); code != exitUsage || strings.Count(errOut, "\n") != 1 || !strings.HasPrefix(errOut, "JDApi:BaseUrl (new.json:") {
		t.Errorf("exit %d: %s", code, errOut)
	}
	t.Setenv("JDApi__BaseUrl", "https://jd.example.com")
	if _, errOut, code := inProcess(t, "", "config", "check", "--config", "new.json"); code != exitOK {
		t.Errorf("exit %d: %s", code, errOut)
	}

	t.Run("an existing file is not overwritten without leave", func(t *testing.T) {
		if err := os.WriteFile("mine.json", []byte("mine"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, errOut, code := inProcess(t, "", "config", "init", "--from", "old.json", "--output", "mine.json")
		if content, _ := os.ReadFile("mine.json"); code != exitFailed || string(content) != "mine" || !strings.Contains(errOut, "mine.json exists and is left as it is") {
			t.Errorf("exit %d: %s", code, errOut)
		}
		_, errOut, code = inProcess(t, "", "config", "init", "--from", "old.json", "--output", "mine.json", "--force")
		content, _ := os.ReadFile("mine.json")
		if info, err := os.Stat("mine.json"); err != nil || code != exitOK || string(content) != printed || info.Mode().Perm() != 0o600 {
			t.Errorf("exit %d, mode %v: %s", code, info.Mode(), errOut)
		}
	})
	t.Run("a new file may replace its old one", func(t *testing.T) {
		if _, errOut, code := inProcess(t, "", "config", "init", "--from", "old.json", "--output", "old.json", "--force"); code != exitOK {
			t.Fatalf("exit %d: %s", code, errOut)
		}
		if content, _ := os.ReadFile("old.json"); string(content) != printed {
			t.Errorf("got %s", content)
		}
		if left, _ := os.ReadDir("."); len(left) != 3 {
			t.Errorf("left behind: %v", left)
		}
	})
}
