package docs_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
)

// asyncAPI is what the tests read of asyncapi.yaml.
type asyncAPI struct {
	Channels map[string]struct {
		Address  string
		Messages map[string]any
	}
	Operations map[string]struct {
		Action   string
		Channel  map[string]string
		Bindings map[string]map[string]any
	}
	Components struct {
		Messages map[string]struct {
			Payload  map[string]string
			Data     map[string]string `yaml:"x-data"`
			Examples []struct {
				Name    string
				Payload any
			}
		}
		Schemas map[string]any
	}
}

func readAsyncAPI(t *testing.T) (doc asyncAPI) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, "asyncapi.yaml")), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestAsyncAPIExamples requires that the program reads and writes each example, and that it fits its schema.
func TestAsyncAPIExamples(t *testing.T) {
	doc := readAsyncAPI(t)
	defaults := defaultConfig(t)
	seen := 0
	for name, m := range doc.Components.Messages {
		for _, e := range m.Examples {
			seen++
			t.Run(name, func(t *testing.T) {
				text := toJSON(t, e.Payload)
				if err := doc.validate(t, m.Payload, text); err != nil {
					t.Error(err)
				}
				switch name {
				case "command":
					var want, got any
					var c device.Command
					d := json.NewDecoder(bytes.NewReader(text))
					d.DisallowUnknownFields()
					if err := d.Decode(&c); err != nil {
						t.Fatal(err)
					}
					written, err := json.Marshal(c)
					if err != nil || json.Unmarshal(written, &got) != nil || json.Unmarshal(text, &want) != nil || !cmp.Equal(want, got) {
						t.Errorf("the program writes %s", written)
					}
					if id, ok := device.ParseMessageID(c.MessageId); !ok || id != c.PostOrderId {
						t.Errorf("%s is not the message id of order %d", c.MessageId, c.PostOrderId)
					}
				case "cabinetReply":
					doc.checkReply(t, defaults, string(text))
				default: // an envelope
					rules := message.Rules{Keys: []string{"TESTKEY"}, Profile: message.Profile{Name: "kv_amp_bare", SkipEmpty: true}, Format: message.Format{Zone: time.UTC}}
					for form, body := range map[string]string{"raw": string(text), "base64": base64.StdEncoding.EncodeToString(text)} {
						rules.BodyEncoding = message.BodyAuto
						env, p, err := rules.Open(body)
						if err != nil {
							t.Fatalf("%s: %v", form, err)
						}
						if err := doc.validate(t, m.Data, p.Text); err != nil {
							t.Error(err)
						}
						if name == "reply" {
							doc.checkReply(t, defaults, string(p.Text))
						} else if _, err := rules.Notification(env, p); err != nil || !p.IsPayment() {
							t.Errorf("%s: %v", p.Text, err)
						}
					}
				}
			})
		}
	}
	if seen < 4 {
		t.Errorf("%d examples", seen)
	}
}

// checkReply requires that a payload is a cabinet's reply with the default names and a code that means success.
func (doc asyncAPI) checkReply(t *testing.T, c *config.Config, text string) {
	t.Helper()
	p, err := message.DecodePayload(text)
	f := c.SyncReply.Fields
	rules := payment.ReplyRules{MessageID: f.MessageId, Device: f.Device, Code: f.Code, Text: f.Text}
	if err != nil || p.IsPayment() || rules.Complete(p) != nil || p.Get(f.Device) == "" || !slices.Contains(c.SyncReply.SuccessCodes, p.Get(f.Code)) {
		t.Errorf("%s is no reply: %v", text, err)
	}
}

// TestAsyncAPISchemas compares the fields of the schemas with those that the program reads and writes.
func TestAsyncAPISchemas(t *testing.T) {
	doc := readAsyncAPI(t)
	fields := func(schema string) (list []string) {
		for name := range doc.Components.Schemas[schema].(map[string]any)["properties"].(map[string]any) {
			list = append(list, name)
		}
		return list
	}
	contract := read(t, "contract.md")
	var payments, replies []string
	for _, row := range rows(contract, "## The message") {
		if len(row) < 3 {
			continue
		}
		for _, name := range words(row[0]) {
			if slices.Contains([]string{"messageId", "deviceSn", "code", "message", "time"}, name) {
				replies = append(replies, name)
			} else {
				payments = append(payments, name)
			}
		}
	}
	compare(t, fields("payment"), payments)
	compare(t, fields("reply"), replies)

	f := defaultConfig(t).SyncReply.Fields
	compare(t, fields("reply"), []string{f.MessageId, f.Device, f.Code, f.Text})
	written, err := json.Marshal(device.Command{})
	if err != nil {
		t.Fatal(err)
	}
	var command map[string]any
	if err := json.Unmarshal(written, &command); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range command {
		names = append(names, name)
	}
	compare(t, fields("command"), names)
}

// TestAsyncAPIAddresses compares addresses and delivery with the defaults of the configuration and the MQTT session.
func TestAsyncAPIAddresses(t *testing.T) {
	doc, c := readAsyncAPI(t), defaultConfig(t)
	if got := doc.Channels["commands"].Address; got != c.Mqtt.PayCompleteTopic {
		t.Errorf("the topic is %s, want %s", got, c.Mqtt.PayCompleteTopic)
	}
	if got, want := doc.Channels["publishedReplies"].Address, c.Redis.ReplyKeyPrefix+"{messageId}"; got != want {
		t.Errorf("the channel is %s, want %s", got, want)
	}
	if got := doc.Operations["sendCommands"].Bindings["mqtt"]; got["qos"] != 1 || got["retain"] != false {
		t.Errorf("the command's delivery is %v", got)
	}
	// Both queues take payments; only one takes replies.
	if len(doc.Channels["notifications"].Messages) != 1 || len(doc.Channels["replies"].Messages) != 2 {
		t.Error("the queues' messages")
	}
}

// defaultConfig has the defaults of every key.
func defaultConfig(t *testing.T) *config.Config {
	t.Helper()
	loaded, _ := config.Load(config.Options{Dir: t.TempDir(), Environ: []string{}}) // its faults are the required keys
	return loaded.Config
}

func toJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// validate checks a JSON text against the schema that a reference names.
func (doc asyncAPI) validate(t *testing.T, ref map[string]string, text []byte) error {
	t.Helper()
	name := strings.TrimPrefix(ref["$ref"], "#/components/schemas/")
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(toJSON(t, doc.Components.Schemas[name])))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	if err := c.AddResource("schema.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatalf("schema %s: %v", name, err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(instance)
}
