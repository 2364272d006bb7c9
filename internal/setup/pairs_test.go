package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/config"
)

// TestKeysThatContradictEachOther has pairs of keys that are right alone and wrong together. Each text names both.
func TestKeysThatContradictEachOther(t *testing.T) {
	for name, tt := range map[string]struct {
		environ  []string
		faults   []string
		warnings []string
	}{
		"one queue for both listeners": {
			environ: []string{"SyncReply__QueueName=notify"},
			faults:  []string{`SyncReply:QueueName = "notify" (env SyncReply__QueueName): the same queue as JDPay:NotifyQueueName = "notify" (appsettings.json:4), so each listener would take messages of the other; name the queue of cabinets' replies, or leave it empty`},
		},
		"the sandbox's key outside it": {
			environ: []string{"JDPay__Md5Key=sandbox-signing-key", "Mns__Endpoint=http://mns.test"},
			faults:  []string{`JDPay:Md5Key = "["***"]" (env JDPay__Md5Key): the sandbox's key, which everybody can read, so anybody could sign payments; give the key that JD has issued`},
		},
		"the sandbox's key inside it": {environ: []string{"JDPay__Md5Key=sandbox-signing-key", "Mns__Endpoint=http://mns.test", "Mns__AccessKeyId=sandbox-ak", "Mns__AccessKeySecret=sandbox-sk"}},
		"two queues":                  {environ: []string{"SyncReply__QueueName=replies"}},
		"a reply is required, and none can come": {
			environ: []string{"Mqtt__RequireReply=true"},
			faults:  []string{`Mqtt:RequireReply = "true" (env Mqtt__RequireReply): no reply can arrive while SyncReply:QueueName is empty, so each command would be repeated and then parked; give SyncReply:QueueName, or set it to false`},
		},
		"a reply is required": {environ: []string{"Mqtt__RequireReply=true", "SyncReply__QueueName=replies"}},
		"a reply is required, from an empty queue": {
			environ: []string{"Mqtt__RequireReply=true", "SyncReply__QueueName="},
			faults:  []string{`Mqtt:RequireReply = "true" (env Mqtt__RequireReply): no reply can arrive while SyncReply:QueueName (env SyncReply__QueueName) is empty, so each command would be repeated and then parked; give SyncReply:QueueName, or set it to false`},
		},
		"the wait for a reply is too long": {
			environ: []string{"Mqtt__RequireReply=true", "SyncReply__QueueName=replies", "Mqtt__ReplyTimeout=00:20:00"},
			faults:  []string{`Mqtt:ReplyTimeout = "20m" (env Mqtt__ReplyTimeout): longer than Mqtt:CommandTtl = "15m", so a command without a reply would not be sent again; give less than that`},
		},
		"the command's time is too short": {
			environ: []string{"Mqtt__RequireReply=true", "SyncReply__QueueName=replies", "Mqtt__CommandTtl=5s"},
			faults:  []string{`Mqtt:ReplyTimeout = "10s": longer than Mqtt:CommandTtl = "5s" (env Mqtt__CommandTtl), so a command without a reply would not be sent again; give less than that`},
		},
		"one try": {environ: []string{"Mqtt__RequireReply=true", "SyncReply__QueueName=replies", "Mqtt__ReplyTimeout=15m"}},
		"the wait is too long, and nothing waits": {
			environ:  []string{"Mqtt__ReplyTimeout=20m"},
			warnings: []string{`Mqtt:ReplyTimeout: longer than Mqtt:CommandTtl = "15m", so with Mqtt:RequireReply a command without a reply would not be sent again`},
		},
		"a short command, and nothing waits": {environ: []string{"Mqtt__CommandTtl=5s"}},
		"numbers that the platform has, too": {
			environ: []string{
				"JDApi__Signer=jos", "JDApi__UpdateWaybillStatusPath=a.b", "JDApi__AppKey=k", "JDApi__AppSecret=s", "JDApi__AccessToken=t", "JDApi__BaseUrl=https://jd.test",
				"JDApi__DoneCodes__0=2", "JDApi__DoneCodes__1=HAD", "JDApi__DoneCodes__2= 100 ",
			},
			warnings: []string{`JDApi:DoneCodes: 2, 100: with JDApi:Signer = "jos" (env JDApi__Signer) a number counts only as the service's own; the platform's errors, which are numbers, too, are never done`},
		},
		"numbers without the platform": {environ: []string{"JDApi__DoneCodes__0=2"}},
		"a code that means two things": {
			environ:  []string{"JDApi__DoneCodes=X", "JDApi__RetryCodes__0=LATER", "JDApi__RetryCodes__1=X"},
			warnings: []string{`JDApi:RetryCodes: X has no effect, since it is in JDApi:DoneCodes = "["X"]" (env JDApi__DoneCodes), too`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, err := loadMinimal(t, tt.environ...)
			if diff := cmp.Diff(tt.faults, faultsOf(t, err)); diff != "" {
				t.Error(diff)
			}
			if err == nil {
				if diff := cmp.Diff(tt.warnings, loaded.Warnings); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// TestContradictionsNameTheWrittenKeys: a key is named as the user wrote it, also in the fault of another one.
func TestContradictionsNameTheWrittenKeys(t *testing.T) {
	dir := t.TempDir()
	text := strings.Replace(minimal, `"JDPay": {"NotifyQueueName": "notify", `, "\"JDPayNotifyQueueName\": \"both\",\n  \"SyncReply\": {\"QueueName\": \"both\"},\n  \"JDPay\": {", 1)
	if err := os.WriteFile(filepath.Join(dir, "appsettings.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(config.Options{Dir: dir, Environ: []string{}})
	want := []string{`SyncReply:QueueName = "both" (appsettings.json:5): the same queue as JDPayNotifyQueueName = "both" (appsettings.json:4), so each listener would take messages of the other; name the queue of cabinets' replies, or leave it empty`}
	if diff := cmp.Diff(want, faultsOf(t, err)); diff != "" {
		t.Error(diff)
	}
}
