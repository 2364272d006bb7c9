package config

import (
	"testing"

	"jdpay-listener/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// TestForeignKeysAreIgnored has a file as .NET programs share it with their host and their log library.
func TestForeignKeysAreIgnored(t *testing.T) {
	loaded := mustLoad(t, `{
		"$schema": "https://json.schemastore.org/appsettings.json",
		"AllowedHosts": "*", "urls": "http://*:5000", "https_port": 443,
		"Logging": {
			"IncludeScopes": false, "LogLevel": {"Microsoft": "Warning", "Microsoft.Hosting.Lifetime": "Information"},
			"Console": {"IncludeScopes": false, "LogLevel": {"Default": "Debug"}}, "EventLog": {"LogLevel": {"Default": "Warning"}}
		},
		"Serilog": {"MinimumLevel": {"Default": "Information", "Override": {"Microsoft": "Warning"}}, "WriteTo": [{"Name": "File", "Args": {"path": "x"}}]},
		"Kestrel": {"Endpoints": {"Http": {"Url": "http://*:5000"}}},
		"NLog": {"Enabled": true},
		"ConnectionStrings": {"Default": "Server=x", "Hangfire": "Server=y"}
	}`)
	if diff := cmp.Diff([]string(nil), testenv.Texts(loaded.Warnings)); diff != "" {
		t.Error(diff)
	}
}

// TestTracingVariablesAreNoKeys: OTEL_* belong to OpenTelemetry.
func TestTracingVariablesAreNoKeys(t *testing.T) {
	loaded := mustLoad(t, `{}`, "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", "OTEL_SERVICE_NAME=x", "OTEL_RESOURCE_ATTRIBUTES=a__b=c", "OTEL_TRACES_SAMPLER=always_on")
	if diff := cmp.Diff([]string(nil), testenv.Texts(loaded.Warnings)); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownKeysSuggestOnlyNearNames(t *testing.T) {
	const file = "appsettings.Production.json"
	for content, want := range map[string]string{
		`{"ConnectionStrings": {"Acount": "x"}}`:             "unknown key ConnectionStrings:Acount (" + file + ":1); the nearest known one is ConnectionStrings:Account",
		`{"Logging": {"LogLevel": {"Defualt": "Debug"}}}`:    "unknown key Logging:LogLevel:Defualt (" + file + ":1); the nearest known one is Logging:LogLevel:Default",
		`{"Logging": {"LogLvel": {"Default": "Debug"}}}`:     "unknown key Logging:LogLvel:Default (" + file + ":1); the nearest known one is Logging:LogLevel:Default",
		`{"Loging": {"Format": "text"}}`:                     "unknown key Loging:Format (" + file + ":1); the nearest known one is Logging:Format",
		`{"Mqtt": {"ClientId": "x"}}`:                        "unknown key Mqtt:ClientId (" + file + ":1); the nearest known one is Mqtt:ClientIdPrefix",
		`{"Mqtt": {"Enabled": true}}`:                        "unknown key Mqtt:Enabled (" + file + ":1); the nearest known one is Mqtt:Tls:Enabled",
		`{"Redis": {"InstanceName": "x"}}`:                   "unknown key Redis:InstanceName (" + file + ":1); it is ignored",
		`{"RedisPassword": "x"}`:                             "unknown key RedisPassword (" + file + ":1); the nearest known one is Redis:Password",
		`{"Dev001.ThirdService": {"EMQUser": "x"}}`:          "unknown key Dev001.ThirdService:EMQUser (" + file + ":1); it is ignored",
		`{"Dev001.ThirdService": {"EMQSrver": "x"}}`:         "unknown key Dev001.ThirdService:EMQSrver (" + file + ":1); the nearest known one is Dev001.ThirdService:EMQServer",
		`{"ConnectionStrings": {"MySqlServerAcc": "x"}}`:     "unknown key ConnectionStrings:MySqlServerAcc (" + file + ":1); the nearest known one is MySqlServerAcc",
		`{"AppSettings": {"EMQServer": "x"}}`:                "unknown key AppSettings:EMQServer (" + file + ":1); the nearest known one is EMQServer",
		`{"SyncReply": {"Fields": {"Time": "time"}}}`:        "unknown key SyncReply:Fields:Time (" + file + ":1); it is ignored", // of earlier versions
		`{"OurFlag": true}`:                                  "unknown key OurFlag (" + file + ":1); it is ignored",
		`{"Swagger": {"Enabled": true, "Title": "x"}}`:       "unknown section Swagger (Swagger:Enabled, " + file + ":1); it is ignored",
		`{"App": {"SelfUrl": "x", "Cors": ["a", "b"]}}`:      "unknown section App (App:Cors:0, " + file + ":1); it is ignored",
		`{"Elasticsearch": {"Nodes": [{"Url": "http://"}]}}`: "unknown key Elasticsearch:Nodes:0:Url (" + file + ":1); the nearest known one is Elasticsearch:Url",
	} {
		t.Run(content, func(t *testing.T) {
			if diff := cmp.Diff([]string{want}, testenv.Texts(mustLoad(t, content).Warnings)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
