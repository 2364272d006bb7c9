package message

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzReadObject compares readObject with encoding/json.
func FuzzReadObject(f *testing.F) {
	for _, text := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a" : 1 , "b":[{"x":"}"},2] , "c":{"d":{}} ,"e":null}`, `{"a":"\"\\","a":"x"}`, `{"\u0061\/":"\ud83d"}`,
		`null`, `[]`, `"x"`, `1`, ``, `{`, `{"a"}`, `{"a":1,}`, `{"a":1}{`, `{"a":1} x`, "{\"\xff\":\"\xff\"}", "\t{\r\n\"a\"\n:\ttrue}\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want map[string]json.RawMessage
		err := json.Unmarshal([]byte(text), &want)
		got, gotErr := readObject([]byte(text))
		if valid := err == nil && want != nil; valid != (gotErr == nil) {
			t.Fatalf("%q: readObject returns error %v, encoding/json %v", text, gotErr, err)
		}
		if gotErr != nil {
			return
		}
		last := map[string]json.RawMessage{}
		for _, m := range got {
			last[m.name] = m.raw
		}
		if diff := cmp.Diff(want, last); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
		for name := range want {
			if string(got.get(name)) != string(want[name]) {
				t.Errorf("%q: %s is %s, want %s", text, name, got.get(name), want[name])
			}
		}
	})
}
