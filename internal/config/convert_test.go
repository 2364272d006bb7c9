package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// convert writes a file, converts it, and loads both.
func convert(t *testing.T, content string) (made Converted, old, converted *Loaded) {
	t.Helper()
	dir := t.TempDir()
	made, err := Convert(write(t, dir, "old.json", content))
	if err != nil {
		t.Fatal(err)
	}
	name := write(t, dir, "new.json", string(made.Text))
	old, _ = Load(Options{Dir: dir, Files: []string{"old.json"}, Environ: []string{}})
	converted, _ = Load(Options{Dir: dir, Files: []string{name}, Environ: []string{}})
	return made, old, converted
}

// TestConvertKeepsEveryValue: the new file says the same as the old one, whichever keys that had.
func TestConvertKeepsEveryValue(t *testing.T) {
	sample, err := os.ReadFile(samplePath)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"the sample":           string(sample),
		"the minimum":          minimal,
		"flat keys":            "{" + legacyFlat + "," + legacyRest + "}",
		"in the section":       `{"Dev001.ThirdService": {` + legacyFlat + "}," + legacyRest + "}",
		"empty flat keys":      `{"RedisDBId": "", "EMQPort": "", "RedisEndPoints": [], "EMQServer": "b"}`,
		"lists and maps":       `{"JDPay": {"Md5Key": ["new key", "old \"key\" <&>"]}, "Payment": {"PayTypes": {"WXPAY": "3", "支付宝": 4}}, "JDApi": {"Headers": {"X-Key": "007", "Y": "true"}}}`,
		"schedules":            `{"Jobs": {"Enabled": "False", "Concurrency": {"settle": 5}, "Retry": {"settle": {"FirstWait": "00:00:02", "Factor": 1.5}, "x": {"MaxWait": 60}}}}`,
		"ten keys":             `{"JDPay": {"Md5Key": ["0","1","2","3","4","5","6","7","8","9","10"]}}`,
		"numbers as texts":     `{"JDApi": {"ProducerCode": 17, "MaxPerSecond": "0.50"}, "Mqtt": {"Port": "01883", "Username": true}, "Host": {"ShutdownTimeout": 45}}`,
		"the profile's object": `{"JDPay": {"SignProfile": {"Name": "data_key", "Exclude": ["sign", "signType"]}}}`,
		"an empty list":        `{"SyncReply": {"SuccessCodes": []}, "JDPay": {"Exclude": ""}}`,
		"a value that is none": `{"EMQPort": "188x", "Payment": {"AmountUnit": "dollar"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			made, old, converted := convert(t, content)
			if diff := compare(old.Config, converted.Config); diff != "" {
				t.Errorf("%s\n%s", diff, made.Text)
			}
			if len(converted.Warnings) > 0 || len(converted.faults) != len(old.faults) {
				t.Errorf("warnings %v, faults %v, before %v", converted.Warnings, converted.faults, old.faults)
			}
			// Plain JSON but for its comments.
			var plain strings.Builder
			for line := range strings.Lines(string(made.Text)) {
				if !strings.HasPrefix(strings.TrimSpace(line), "//") {
					plain.WriteString(line)
				}
			}
			if !json.Valid([]byte(plain.String())) {
				t.Errorf("%s", made.Text)
			}
		})
	}
}

func TestConvertedFileReads(t *testing.T) {
	made, _, _ := convert(t, `{
		"Serilog": {"MinimumLevel": "Debug"}, "AllowedHosts": "*", "Logging": {"LogLevel": {"Default": "Debug", "Microsoft": "Warning"}},
		"Dev001.ThirdService": {"EMQServer": "10.0.0.1", "EMQPort": "1884", "RedisPwd": "", "EMQUser": "x"},
		"JDPayMd5Key": "0123456789abcdef", "JDApi": {"ProducerCode": "P"}, "ConnectionStrings": {"Account": "Server=a;Database=d;Uid=u;Pwd=\"p;w\""}
	}`)
	want := `{
  // Made of old.json by "jdpay-listener config init". What is not here has its default:
  // docs/configuration.md.
  "Logging": {
    "LogLevel": {
      // Least level that is logged. (old.json:2)
      "Default": "Debug"
    }
  },
  "ConnectionStrings": {
    // Database with the recharge orders and the job table. (old.json:4)
    "Account": "Server=a;Database=d;Uid=u;Pwd=\"p;w\"",
    // REQUIRED: Database with the post orders, devices and pay infos.
    "Main": ""
  },
  "Mns": {
    // REQUIRED: http(s)://<account>.mns.<region>.aliyuncs.com, its VPC and internal forms, or any
    // http://host:port.
    "Endpoint": ""
  },
  "JDPay": {
    // REQUIRED: Queue with JD's pay notifications.
    "NotifyQueueName": "",
    // Signing key, or a list of them while a key is rotated. A placeholder such as change-me is refused;
    // fewer than 16 characters are a warning. (JDPayMd5Key, old.json:4)
    "Md5Key": "0123456789abcdef"
  },
  "Mqtt": {
    // Host of the broker; host:port, tcp:// and mqtts:// forms are understood.
    // (Dev001.ThirdService:EMQServer, old.json:3)
    "Server": "10.0.0.1",
    // Port of the broker (8883 for an mqtts:// server that names none). (Dev001.ThirdService:EMQPort,
    // old.json:3)
    "Port": 1884
  },
  "JDApi": {
    // REQUIRED: the replaced program had this address in its code, not in its file: search its source for
    // updateWaybillStatus or JDBaseModel, or run strings -el *.dll | grep -i http in its folder; else look at
    // its outgoing connections, or ask JD
    "BaseUrl": "",
    // Producer of JD sending cabinets (device type 6). (old.json:4)
    "ProducerCode": "P",
    // REQUIRED: Producer of all other cabinets.
    "CloudProducerCode": ""
  }
}
`
	if diff := cmp.Diff(want, string(made.Text)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ConnectionStrings:Account", "JDPay:Md5Key"}, made.Secrets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"AllowedHosts", "Dev001.ThirdService:EMQUser", "Logging:LogLevel:Microsoft", "Serilog"}, made.LeftOut); diff != "" {
		t.Error(diff)
	}
	var required []string
	for _, r := range made.Required {
		required = append(required, r[:strings.Index(r, ": ")])
	}
	if diff := cmp.Diff([]string{"ConnectionStrings:Main", "Mns:Endpoint", "JDPay:NotifyQueueName", "JDApi:BaseUrl", "JDApi:CloudProducerCode"}, required); diff != "" {
		t.Error(diff)
	}
}

func TestConvertMergesFilesAndIgnoresTheEnvironment(t *testing.T) {
	t.Setenv("Mqtt__Server", "from-the-environment")
	dir := t.TempDir()
	made, err := Convert(write(t, dir, "a.json", `{"EMQServer": "a", "EMQPort": 1}`), write(t, dir, "b.json", `{"EMQServer": "b"}`))
	if err != nil || !strings.Contains(string(made.Text), `"Server": "b"`) || !strings.Contains(string(made.Text), `"Port": 1`) {
		t.Errorf("%v\n%s", err, made.Text)
	}
	for name, content := range map[string]string{"not UTF-8": "{\"EMQServer\": \"\xbe\xa9\"}", "twice": `{"EMQPort": 1, "emqport": 2}`} {
		if _, err := Convert(write(t, dir, "c.json", content)); len(faultsOf(t, err)) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Convert(filepath.Join(dir, "none.json")); !strings.Contains(err.Error(), "cannot be read") {
		t.Error(err)
	}
}
