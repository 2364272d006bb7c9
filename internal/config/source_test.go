package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"jdpay-listener/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// TestLaterSourceWins adds sources one by one; each wins over those before.
func TestLaterSourceWins(t *testing.T) {
	opts := testOptions(t, "DOTNET_ENVIRONMENT=Staging")
	write(t, opts.Dir, "appsettings.json", minimal)
	expect := func(server, source string) {
		t.Helper()
		loaded, err := Load(opts)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Setting{"Mqtt:Server", server, source}, setting(t, loaded, "Mqtt:Server")); diff != "" {
			t.Error(diff)
		}
	}
	expect("broker", "appsettings.json:5")
	write(t, opts.Dir, "appsettings.Production.json", `{"mqtt": {"server": "other-environment"}}`)
	expect("broker", "appsettings.json:5")
	write(t, opts.Dir, "configs/appsettings.Staging.json", "\n{\"mqtt\": {\"server\": \"configs\"}}")
	expect("configs", "configs/appsettings.Staging.json:2")
	write(t, opts.Dir, "appsettings.Staging.json", `{"mqtt": {"server": "staging"}}`)
	expect("staging", "appsettings.Staging.json:1")
	opts.Environ = append(opts.Environ, "MQTT__server=plain")
	expect("plain", "env MQTT__server")
	opts.Environ = append(opts.Environ, "JDPAY_Mqtt__Server=prefixed")
	expect("prefixed", "env JDPAY_Mqtt__Server")
	opts.Set = append(opts.Set, "Mqtt:Server=flag")
	expect("flag", "flag --set")
	opts.Set = append(opts.Set, "mqtt:server=second=flag")
	expect("second=flag", "flag --set")
}

func TestDefaultFiles(t *testing.T) {
	tests := map[string]struct {
		present []string
		environ []string
		read    []string
	}{
		"none":                      {},
		"environment is Production": {present: []string{"appsettings.json", "appsettings.Production.json", "appsettings.Development.json"}, read: []string{"appsettings.json", "appsettings.Production.json"}},
		"working directory before configs": {
			present: []string{"appsettings.json", "configs/appsettings.json", "configs/appsettings.Production.json"},
			read:    []string{"appsettings.json", "configs/appsettings.Production.json"},
		},
		"ASPNETCORE_ENVIRONMENT": {
			present: []string{"appsettings.Test.json"}, environ: []string{"ASPNETCORE_ENVIRONMENT=Test"},
			read: []string{"appsettings.Test.json"},
		},
		"DOTNET_ENVIRONMENT before ASPNETCORE_ENVIRONMENT": {
			present: []string{"appsettings.Test.json", "appsettings.Live.json"},
			environ: []string{"ASPNETCORE_ENVIRONMENT=Test", "DOTNET_ENVIRONMENT=Live"},
			read:    []string{"appsettings.Live.json"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := testOptions(t, tt.environ...)
			for _, file := range tt.present {
				write(t, opts.Dir, file, "{}")
			}
			loaded, _ := Load(opts) // the required keys are missing
			if diff := cmp.Diff(tt.read, loaded.Files); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNamedFilesReplaceTheDefaultOnes(t *testing.T) {
	opts := testOptions(t)
	write(t, opts.Dir, "appsettings.json", `{"Mqtt": {"Port": 1}}`)
	elsewhere := write(t, t.TempDir(), "b.json", `{"Mqtt": {"Server": "second"}}`)
	write(t, opts.Dir, "a.json", minimal)
	opts.Files = []string{"a.json", elsewhere}
	loaded, err := Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	if m := loaded.Config.Mqtt; m.Server != "second" || m.Port != 1883 {
		t.Errorf("got %s:%d", m.Server, m.Port)
	}
	if diff := cmp.Diff(opts.Files, loaded.Files); diff != "" {
		t.Error(diff)
	}
}

// TestWhereFilesAreLookedFor: the first place with a file wins.
func TestWhereFilesAreLookedFor(t *testing.T) {
	const here, there = "appsettings.json", "configs/appsettings.Production.json"
	for name, tt := range map[string]struct {
		here, host []string
		files      []string // --config
		variable   string   // JDPAY_CONFIG
		read       []string // {host} is the host's folder
		from       string
	}{
		"nowhere":                      {from: "{host}"},
		"the host's":                   {host: []string{"appsettings.json", "appsettings.Production.json", "configs/appsettings.json"}, read: []string{"{host}/appsettings.json", "{host}/appsettings.Production.json"}, from: "{host}"},
		"here before the host's":       {here: []string{here}, host: []string{"appsettings.json", "appsettings.Production.json"}, read: []string{here}, from: FromHere},
		"configs before the host's":    {here: []string{there}, host: []string{"appsettings.json"}, read: []string{there}, from: FromHere},
		"the variable before all":      {here: []string{here, "a.json", "b.json"}, host: []string{"appsettings.json"}, variable: "a.json:b.json", read: []string{"a.json", "b.json"}, from: FromVariable},
		"an empty variable":            {here: []string{here}, variable: "", read: []string{here}, from: FromHere},
		"the flag before the variable": {here: []string{here, "a.json", "b.json"}, files: []string{"b.json"}, variable: "a.json", read: []string{"b.json"}, from: FromFlag},
	} {
		t.Run(name, func(t *testing.T) {
			opts := testOptions(t, "JDPAY_CONFIG="+tt.variable)
			opts.HostDir, opts.Files = t.TempDir(), tt.files
			for _, file := range tt.here {
				write(t, opts.Dir, file, "{}")
			}
			for _, file := range tt.host {
				write(t, opts.HostDir, file, "{}")
			}
			loaded, _ := Load(opts) // the required keys are missing
			var read []string
			for _, file := range loaded.Files {
				read = append(read, strings.Replace(file, opts.HostDir, "{host}", 1))
			}
			if from := strings.Replace(loaded.FilesFrom, opts.HostDir, "{host}", 1); !slices.Equal(read, tt.read) || from != tt.from {
				t.Errorf("read %q from %s, want %q from %s", read, from, tt.read, tt.from)
			}
			if len(loaded.Warnings) > 0 {
				t.Errorf("JDPAY_CONFIG is taken for a key: %v", loaded.Warnings)
			}
		})
	}
	t.Run("a file of the variable is missing", func(t *testing.T) {
		opts := testOptions(t, "JDPAY_CONFIG=gone.json")
		write(t, opts.Dir, here, minimal)
		_, err := Load(opts)
		if faults := faultsOf(t, err); len(faults) != 1 || !strings.HasPrefix(faults[0], "gone.json: cannot be read") {
			t.Errorf("%q", faults)
		}
	})
}

func TestUnreadableSources(t *testing.T) {
	opts := testOptions(t,
		"Mqtt__Password_FILE=missing-secret", "ConnectionStrings__Account_FILE=.", "JDPay__Md5Key__0_FILE=missing-key")
	write(t, opts.Dir, "a.json", minimal)
	opts.Files = []string{"a.json", "missing.json"}
	opts.Set = []string{"Mqtt:Password:hunter2"}
	_, err := Load(opts)
	want := []string{
		"missing.json: cannot be read: no such file or directory; correct its name or permissions",
		"ConnectionStrings:Account (file . via env ConnectionStrings__Account_FILE): cannot be read: is a directory; correct the path or the file's permissions",
		"JDPay:Md5Key:0 (file missing-key via env JDPay__Md5Key__0_FILE): cannot be read: no such file or directory; correct the path or the file's permissions",
		"Mqtt:Password (file missing-secret via env Mqtt__Password_FILE): cannot be read: no such file or directory; correct the path or the file's permissions",
		"--set number 1: has no =; write --set Key:Path=value",
	}
	if diff := cmp.Diff(want, faultsOf(t, err)); diff != "" {
		t.Error(diff)
	}
}

// TestSecretsAreRefusedAsFlags: every user can read a program's flags with ps.
func TestSecretsAreRefusedAsFlags(t *testing.T) {
	const problem = "every user of this machine can read a program's flags, and a secret in them"
	give := func(name string) string {
		return "; give it in appsettings.json, as the environment variable " + name + ", or in a file that " + name + "_FILE names"
	}
	for assignment, want := range map[string]string{
		"JDPay:Md5Key=" + marker + marker + marker:                  "JDPay:Md5Key (flag --set): " + problem + give("JDPay__Md5Key"),
		"jdpay:md5key:0=" + marker + marker + marker:                "jdpay:md5key:0 (flag --set): " + problem + give("jdpay__md5key__0"),
		"JDPayMd5Key=" + marker:                                     "JDPayMd5Key (flag --set): " + problem + give("JDPayMd5Key"),
		"Dev001.ThirdService:RedisPwd=" + marker:                    "Dev001.ThirdService:RedisPwd (flag --set): " + problem + give("Dev001.ThirdService__RedisPwd"),
		"JDApi:Headers:X-Key=" + marker:                             "JDApi:Headers:X-Key (flag --set): " + problem + give("JDApi__Headers__X-Key"),
		"ConnectionStrings:Main=u:" + marker + "@tcp(h)/d?tls=true": "ConnectionStrings:Main (flag --set): " + problem + give("ConnectionStrings__Main"),
		"Elasticsearch:Url=https://u:" + marker + "@es":             "Elasticsearch:Url (flag --set): " + problem + "; give user and password in keys of their own, by another source",
		"Mqtt:Server=10.0.0.5":                                      "",
		"Elasticsearch:Url=https://es":                              "",
	} {
		t.Run(assignment, func(t *testing.T) {
			opts := testOptions(t)
			write(t, opts.Dir, "appsettings.json", minimal)
			opts.Set = []string{assignment}
			_, err := Load(opts)
			var got string
			if err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestMissingKeysAreNoFaultsBesideABrokenFile: they may be given in the file that cannot be read.
func TestMissingKeysAreNoFaultsBesideABrokenFile(t *testing.T) {
	opts := testOptions(t, "Mns__BatchSize=17")
	write(t, opts.Dir, "appsettings.json", "{")
	_, err := Load(opts)
	want := []string{
		"appsettings.json:1:2: not valid JSON: parsing value: unexpected EOF; correct the file",
		`Mns:BatchSize = "17" (env Mns__BatchSize): out of range; give a whole number from 1 to 16`,
	}
	if diff := cmp.Diff(want, faultsOf(t, err)); diff != "" {
		t.Error(diff)
	}
}

func TestVariablesThatAreKeys(t *testing.T) {
	tests := map[string]struct {
		variable string
		key      string // that got the value x
		warning  string
	}{
		"a key":                                  {variable: "Redis__ReplyKeyPrefix=x", key: "Redis:ReplyKeyPrefix"},
		"a key in capitals":                      {variable: "REDIS__REPLYKEYPREFIX=x", key: "Redis:ReplyKeyPrefix"},
		"a key with the prefix":                  {variable: "JDPAY_Redis__ReplyKeyPrefix=x", key: "Redis:ReplyKeyPrefix"},
		"a prefix in lower case":                 {variable: "jdpay_redis__replykeyprefix=x", key: "Redis:ReplyKeyPrefix"},
		"section JDPay in capitals is no prefix": {variable: "JDPAY__NOTIFYQUEUENAME=x", key: "JDPay:NotifyQueueName"},
		"section JDPay after the prefix":         {variable: "JDPAY_JDPay__NotifyQueueName=x", key: "JDPay:NotifyQueueName"},
		"a flat key":                             {variable: "ElasticSearchUrl=http://x", key: "Elasticsearch:Url"},
		"a flat key with the prefix":             {variable: "JDPAY_ElasticSearchUrl=http://x", key: "Elasticsearch:Url"},
		"another program's variable":             {variable: "PATH=x"},
		"another program's nested variable":      {variable: "Serilog__MinimumLevel=x"},
		"a section's name alone":                 {variable: "HOST=x"},
		"no name":                                {variable: "=C:=x"},
		"the operator's name":                    {variable: "JDPAY_OPERATOR=anna"},
		"a typing error in a section of ours": {
			variable: "Mqtt__Sever=x", warning: "unknown key Mqtt:Sever (env Mqtt__Sever); the nearest known one is Mqtt:Server",
		},
		"a typing error after the prefix": {
			variable: "JDPAY_MQTT_SERVER=x", warning: "unknown key MQTT_SERVER (env JDPAY_MQTT_SERVER); the nearest known one is Mqtt:Server",
		},
		"a file for what is no secret": {
			variable: "Mqtt__Server_FILE=x", warning: "unknown key Mqtt:Server_FILE (env Mqtt__Server_FILE); the nearest known one is Mqtt:Server",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			// The minimal configuration has a queue name; without it the flat key counts too.
			opts := testOptions(t, tt.variable)
			write(t, opts.Dir, "appsettings.json", minimal)
			loaded, err := Load(opts)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if tt.warning != "" {
				want = []string{tt.warning}
			}
			if diff := cmp.Diff(want, testenv.Texts(loaded.Warnings)); diff != "" {
				t.Error(diff)
			}
			if tt.key == "" {
				return
			}
			name, value, _ := strings.Cut(tt.variable, "=")
			if diff := cmp.Diff(Setting{tt.key, value, "env " + name}, setting(t, loaded, tt.key)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSecretsFromFiles(t *testing.T) {
	opts := testOptions(t)
	file := func(name, content string) string { return write(t, opts.Dir, name, content) }
	opts.Environ = []string{
		"Mqtt__Username=u",
		"Mqtt__Password_FILE=" + file("password", "line\n\n"), // one newline is the editor's, two are not
		"JDPay__Md5Key__0_FILE=" + file("key0", "new\r\n"),
		"JDPAY_JDPay__Md5Key__1_file=" + file("key1", " old "),
		"ConnectionStrings__Account_FILE=" + file("account", "Server=s;Database=d;Uid=u;Pwd=p\n"),
		"MySqlServer_FILE=" + file("main", "Server=s2;Database=d;Uid=u\n"),
		"JDApi__Headers__X-Token_FILE=token", // relative to Dir
		"Redis__EndPoints_FILE=" + file("redis", "r:1,password=x"),
	}
	file("token", "t")
	write(t, opts.Dir, "appsettings.json", strings.Replace(minimal, `"Main"`, `"Ignored"`, 1))
	loaded, err := Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	c := loaded.Config
	got := []string{
		c.Mqtt.Password.Reveal(), c.JDPay.Md5Key[0].Reveal(), c.JDPay.Md5Key[1].Reveal(), c.ConnectionStrings.Account.Reveal(),
		c.ConnectionStrings.Main.Reveal(), c.JDApi.Headers["X-Token"].Reveal(), c.Redis.EndPoints[0].Reveal(),
	}
	want := []string{"line\n", "new", " old ", "Server=s;Database=d;Uid=u;Pwd=p", "Server=s2;Database=d;Uid=u", "t", "r:1,password=x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wantSource := "file " + filepath.Join(opts.Dir, "password") + " via env Mqtt__Password_FILE"
	if diff := cmp.Diff(Setting{"Mqtt:Password", "***", wantSource}, setting(t, loaded, "Mqtt:Password")); diff != "" {
		t.Error(diff)
	}
}

// TestLastOfTheSameVariableCounts: a caller that appends to an environment overrides values.
func TestLastOfTheSameVariableCounts(t *testing.T) {
	loaded := mustLoad(t, "", "Mqtt__Port=1", "Mqtt__Port=2")
	if got := loaded.Config.Mqtt.Port; got != 2 {
		t.Errorf("got %d", got)
	}
}

func TestContradictoryVariablesAreFaults(t *testing.T) {
	_, err := loadMinimal(t, "",
		"Mqtt__Port=1", "MQTT__PORT=2", "JDPay__Md5Key=a", "JDPay__Md5Key__0=b", "Mqtt__Password=x", "Mqtt__Password_FILE=/dev/null", "Mqtt__Username=u")
	want := []string{
		"Mqtt:Password (file /dev/null via env Mqtt__Password_FILE): given twice, first by env Mqtt__Password; remove one of them",
		"Mqtt:Port (env Mqtt__Port): given twice, first by env MQTT__PORT; remove one of them",
		"JDPay:Md5Key:0 (env JDPay__Md5Key__0): given below a key that also has a value of its own, by env JDPay__Md5Key; remove one of them",
	}
	if diff := cmp.Diff(want, faultsOf(t, err)); diff != "" {
		t.Error(diff)
	}
}
