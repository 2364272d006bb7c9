package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFile(t *testing.T) {
	tests := map[string]struct {
		content string
		want    map[string]string // path to text
		faults  []string
	}{
		"comments, trailing commas and a byte order mark": {
			content: "\uFEFF// top\n{\"A\": /* in */ \"x\", // end\n}",
			want:    map[string]string{"a": "x"},
		},
		"sections, lists, numbers and booleans": {
			content: `{"S": {"N": 1.50, "B": true, "L": ["x", 2, {"Deep": "y"}]}}`,
			want:    map[string]string{"s:n": "1.50", "s:b": "true", "s:l:0": "x", "s:l:1": "2", "s:l:2:deep": "y"},
		},
		"a colon in a name separates sections": {
			content: `{"S:A": "x", "S": {"B": "y"}}`,
			want:    map[string]string{"s:a": "x", "s:b": "y"},
		},
		"null and an empty section give no key, an empty list gives an empty text": {
			content: `{"Nothing": null, "List": [], "Section": {}}`,
			want:    map[string]string{"list": ""},
		},
		"escapes": {
			content: `{"A": "\"\\\u00e9寄"}`,
			want:    map[string]string{"a": `"\é寄`},
		},
		"a key twice, whatever its case": {
			content: "{\n\"Mqtt\": {\n\"Server\": \"a\",\n\"server\": \"b\"}}",
			want:    map[string]string{"mqtt:server": "a"},
			faults:  []string{"Mqtt:server (f.json:4): given twice, first by f.json:3; remove one of them"},
		},
		"a section twice": {
			content: "{\"Mqtt\": {\"Server\": \"a\"},\n\"MQTT\": {\"Port\": 1}}",
			want:    map[string]string{"mqtt:server": "a"},
			faults:  []string{"MQTT (f.json:2): given twice, first by f.json:1; remove one of them"},
		},
		"a key twice by two spellings of its path": {
			content: "{\"Mqtt\": {\"Server\": \"a\"},\n\"Mqtt:Server\": \"b\"}",
			want:    map[string]string{"mqtt:server": "a"},
			faults:  []string{"Mqtt:Server (f.json:2): given twice, first by f.json:1; remove one of them"},
		},
		"one value and a section for the same key": {
			content: "{\"A\": \"x\",\n\"A:B\": \"y\"}",
			want:    map[string]string{"a": "x", "a:b": "y"},
			faults:  []string{"A:B (f.json:2): given below a key that also has a value of its own, by f.json:1; remove one of them"},
		},
		"an alias beside its key": {
			content: "{\"JDPay\": {\"SkipEmpty\": true,\n\"SignProfile\": {\"SkipEmpty\": false}}}",
			want:    map[string]string{"jdpay:skipempty": "true"},
			faults:  []string{"JDPay:SkipEmpty (f.json:2): given twice, first by f.json:1; remove one of them"},
		},
		"a missing brace": {
			content: "{\n  \"A\": \"x\"\n",
			faults:  []string{"f.json:3:1: not valid JSON: parsing object after value: unexpected EOF; correct the file"},
		},
		"a missing comma": {
			content: "{\n  \"A\": \"x\"\n  \"B\": 1}",
			faults:  []string{"f.json:3:3: not valid JSON: invalid character '\"' after object value (expecting ',' or '}'); correct the file"},
		},
		"a broken text is not quoted": {
			content: "{\"Password\": \"hun\\ter\x01\"}",
			faults:  []string{"f.json:1:14: not valid JSON: invalid literal (a text with \\ that is not doubled, or with a line break or a control character); correct the file"},
		},
		"GBK in a comment": {
			content: "{\n  // \xbe\xa9\xb6\xab\n  \"A\": 1}",
			faults:  []string{"f.json:2:6: not UTF-8: byte 0xBE; save the file as UTF-8; it may be GBK: iconv -f GBK -t UTF-8"},
		},
		"GBK in a text": {
			content: "{\n\n  \"A\": \"京\", \"B\": \"\xbe\xa9\"}",
			faults:  []string{"f.json:3:21: not UTF-8: byte 0xBE; save the file as UTF-8; it may be GBK: iconv -f GBK -t UTF-8"},
		},
		"UTF-16": {
			content: "\xff\xfe{\x00}\x00",
			faults:  []string{"f.json:1:1: not UTF-8 but UTF-16; save the file as UTF-8"},
		},
		"no object": {
			content: `["A"]`,
			faults:  []string{"f.json: does not hold a JSON object; write { … } around the keys"},
		},
		"an empty file": {
			content: "",
			faults:  []string{"f.json:1:1: not valid JSON: parsing value: unexpected EOF; correct the file"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, faults := parseFile("f.json", []byte(tt.content))
			var got map[string]string
			for path, e := range l {
				if got == nil {
					got = map[string]string{}
				}
				got[path] = e.Text
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			var lines []string
			for _, f := range faults {
				lines = append(lines, f.String())
			}
			if diff := cmp.Diff(tt.faults, lines); diff != "" {
				t.Error(diff)
			}
		})
	}
}
