package message

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sent is a message that JD has signed.
type sent struct {
	fields       []Field // the hashed ones, in the order of the text, then the others
	text         string  // that was hashed, without the key
	sign         string
	data, status string
}

// TestNoSpliceDecodesDifferently takes genuine messages, which contain texts that others chose, and makes other messages of
// their parts: cut at other places, with fields of each other, in another case, twice, unsigned or empty. Each of them that
// verifies must decode to the same payment as the genuine message with its signature.
//
// This holds for the kv_ recipes, data_key and key_data with any fields, and for the other four if data is the only hashed
// field. JD is assumed to send data once, and the status, if one is configured, in each message: otherwise a text that a
// payer chose could add the status.
func TestNoSpliceDecodesDifferently(t *testing.T) {
	const key, evil = "a key of the company", "FINISH"
	pool := []string{"a", "customer", "Data", "data", "datb", "note", "payStatus", "PAYSTATUS", "z"}
	spliced := 0
	rapid.Check(t, func(t *rapid.T) {
		pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
		text := func(label string) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom(append([]string{
				"&", "=", "x", "&data=", "&DATA=", "&payStatus=", "&paystatus=", "&datb=", "&note=", evil, base64Of(payText("R9", "900.00")),
				"&data=" + base64Of(payText("R9", "900.00")) + "&datb=", "&Data=" + base64Of(payText("R9", "900.00")) + "&datb=",
			}, pool...)), 0, 5).Draw(t, label), "")
		}
		p := Profile{Name: rapid.SampledFrom(Profiles).Draw(t, "profile"), SkipEmpty: rapid.Bool().Draw(t, "skip empty"), CaseInsensitiveSort: rapid.Bool().Draw(t, "sort")}
		status := pick("status field", "", "payStatus")
		concat := strings.HasPrefix(p.Name, "concat_") || p.Name == "values_only"
		switch {
		case concat:
			p.Include = []string{pick("include", "data", "DATA")}
		case rapid.Bool().Draw(t, "include some"):
			p.Include = append(rapid.SliceOfN(rapid.SampledFrom(pool), 0, 3).Draw(t, "included"), "DATA", "paystatus")
		default:
			p.Exclude = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "NOTE", "sign", "z"}), 0, 2).Draw(t, "excluded")
		}
		r := rulesOf(p, status)
		r.Keys, r.Profile.SkipEmpty = []string{"an old key", key}, p.SkipEmpty

		var genuine []sent
		for i := range rapid.IntRange(1, 3).Draw(t, "messages") {
			data := payText("R"+string(rune('1'+i)), "8.00", "remark", text("remark"))
			switch pick("form of data", "plain", "base64", "MIME") {
			case "base64":
				data = base64Of(data)
			case "MIME":
				data = base64Of(data) + "\r\n"
			}
			fields := []Field{{pick("data", "data", "Data"), data}}
			if status != "" {
				fields = append(fields, Field{pick("status", "payStatus", "paystatus"), pick("status", "FINISH", "FAIL")})
			}
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "customer", "datb", "note", "z"}), 0, 3, rapid.ID[string]).Draw(t, "names") {
				fields = append(fields, Field{name, text("value")})
			}
			genuine = append(genuine, signOf(p, key, fields))
		}
		for range 30 {
			g := rapid.SampledFrom(genuine).Draw(t, "signed message")
			fields := slices.Clone(g.fields)
			if strings.HasPrefix(p.Name, "kv_") && rapid.Bool().Draw(t, "cut anew") {
				fields = nil
				for piece := range strings.SplitSeq(g.text, "&") {
					if n := len(fields); n > 0 && (!strings.Contains(piece, "=") || rapid.IntRange(0, 3).Draw(t, "join") == 0) {
						fields[n-1].Value += "&" + piece
						continue
					}
					name, value, _ := strings.Cut(piece, "=")
					fields = append(fields, Field{name, value})
				}
			}
			for range rapid.IntRange(0, 2).Draw(t, "changes") {
				other := rapid.SampledFrom(rapid.SampledFrom(genuine).Draw(t, "other").fields).Draw(t, "field")
				switch at := rapid.IntRange(0, len(fields)-1).Draw(t, "at"); pick("change", "add", "add empty", "add evil", "replace", "remove", "merge") {
				case "add":
					fields = append(fields, other)
				case "add empty":
					fields = append(fields, Field{rapid.SampledFrom(pool).Draw(t, "name"), ""})
				case "add evil":
					fields = append(fields, Field{rapid.SampledFrom(pool).Draw(t, "name"), pick("value", evil, base64Of(payText("R9", "900.00")))})
				case "replace":
					fields[at] = other
				case "remove":
					if len(fields) > 1 {
						fields = slices.Delete(fields, at, at+1)
					}
				case "merge": // into the name of the next one
					if at+1 < len(fields) {
						fields[at] = Field{fields[at].Name + "=" + fields[at].Value + "&" + fields[at+1].Name, fields[at+1].Value}
						fields = slices.Delete(fields, at+1, at+2)
					}
				}
			}
			var flat []string
			for _, f := range fields {
				flat = append(flat, f.Name, f.Value)
			}
			message := body(append(flat, "sign", g.sign)...)
			got, err := accept(r, message)
			if err != nil {
				continue
			}
			if !slices.Equal(fields, g.fields) {
				spliced++
			}
			meant, err := DecodePayload(g.data)
			if err != nil {
				t.Fatalf("the genuine data cannot be read: %v", err)
			}
			want, err := r.Format.notification(meant)
			if err != nil {
				t.Fatalf("the genuine data cannot be read: %v", err)
			}
			if status != "" && !concat && !p.dataOnly() {
				want.Status = g.status
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%+v with status field %q\nJD signed %q\naccepted   %s\n(-meant +decoded)\n%s", p, status, g.text, message, diff)
			}
		}
	})
	if spliced == 0 {
		t.Error("no spliced message was accepted, not even with harmless changes: the test proves nothing")
	}
}

// signOf signs fields as JD does.
func signOf(p Profile, key string, fields []Field) sent {
	in := func(names []string, name string) bool {
		return slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, name) })
	}
	s := sent{}
	var rest []Field
	for _, f := range fields {
		switch {
		case strings.EqualFold(f.Name, "data"):
			s.data = f.Value
		case strings.EqualFold(f.Name, "payStatus"):
			s.status = f.Value
		}
		if in(p.Exclude, f.Name) || len(p.Include) > 0 && !in(p.Include, f.Name) || p.SkipEmpty && f.Value == "" {
			rest = append(rest, f)
		} else {
			s.fields = append(s.fields, f)
		}
	}
	slices.SortFunc(s.fields, func(a, b Field) int {
		if p.CaseInsensitiveSort {
			return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
		}
		return strings.Compare(a.Name, b.Name)
	})
	var flat []string
	for _, f := range s.fields {
		flat = append(flat, f.Name, f.Value)
	}
	s.text, s.sign = hashedText(p.Name, "", flat...), signedBy(p.Name, key, flat...)
	if strings.HasPrefix(p.Name, "kv_") {
		s.text = strings.TrimSuffix(strings.TrimSuffix(s.text, "&key="), "&")
	}
	s.fields = append(s.fields, rest...)
	return s
}
