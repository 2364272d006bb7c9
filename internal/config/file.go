package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"jdpay-listener/internal/lang"

	"github.com/tailscale/hujson"
)

// parseFile reads the text of an appsettings file: JSON with comments, trailing commas and a byte order mark, as .NET
// accepts it. Unlike .NET it also refuses a section that is given twice, since a reader could overlook the second
// one. Sources and faults have line numbers.
func parseFile(name string, content []byte) (layer, Faults) {
	content = bytes.TrimPrefix(content, []byte("\uFEFF"))
	if fault, ok := encodingFault(name, content); ok {
		return nil, Faults{fault}
	}
	root, err := hujson.Parse(content)
	if err != nil {
		return nil, Faults{syntaxFault(name, err)}
	}
	object, ok := root.Value.(*hujson.Object)
	if !ok {
		return nil, Faults{{Key: name, Problem: lang.M("does not hold a JSON object"), Remedy: lang.M("write { … } around the keys")}}
	}
	w := fileWalk{name: name, content: content, layer: layer{}}
	w.object("", object)
	return w.layer, append(w.faults, w.layer.conflicts()...)
}

// encodingFault finds the first place that is not UTF-8. An editor of a Chinese Windows may have saved the file as GBK, and
// Visual Studio or PowerShell as UTF-16.
func encodingFault(name string, content []byte) (Fault, bool) {
	if utf16 := bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff")); utf16 {
		return Fault{Key: name + ":1:1", Problem: lang.M("not UTF-8 but UTF-16"), Remedy: lang.M("save the file as UTF-8")}, true
	}
	line, start, at := 1, 0, 0
	for at < len(content) {
		r, size := utf8.DecodeRune(content[at:])
		if r == utf8.RuneError && size == 1 {
			return Fault{
				Key: fmt.Sprintf("%s:%d:%d", name, line, at-start+1), Problem: lang.M("not UTF-8: byte 0x%02X", content[at]),
				Remedy: lang.M("save the file as UTF-8; it may be GBK: iconv -f GBK -t UTF-8"),
			}, true
		}
		if at += size; r == '\n' {
			line, start = line+1, at
		}
	}
	return Fault{}, false
}

// syntaxFault turns the parser's error into a fault. It drops quoted literals, which may be parts of a password.
func syntaxFault(name string, err error) Fault {
	problem := strings.TrimPrefix(err.Error(), "hujson: ")
	var line, column int
	if _, scanErr := fmt.Sscanf(problem, "line %d, column %d:", &line, &column); scanErr == nil {
		name = fmt.Sprintf("%s:%d:%d", name, line, column)
		_, problem, _ = strings.Cut(problem, ": ")
	}
	if strings.HasPrefix(problem, "invalid literal") {
		problem = "invalid literal (a text with \\ that is not doubled, or with a line break or a control character)"
	}
	return Fault{Key: name, Problem: lang.M("not valid JSON: %s", lang.Quoted(problem)), Remedy: lang.M("correct the file")}
}

// fileWalk flattens one file into a layer.
type fileWalk struct {
	name    string
	content []byte
	layer   layer
	faults  Faults
}

func (w *fileWalk) source(at int) string {
	return fmt.Sprintf("%s:%d", w.name, 1+bytes.Count(w.content[:at], []byte("\n")))
}

func (w *fileWalk) object(prefix string, o *hujson.Object) {
	seen := map[string]string{}
	for i := range o.Members {
		name := o.Members[i].Name.Value.(hujson.Literal).String() // the grammar allows nothing else
		source := w.source(o.Members[i].Name.StartOffset)
		if first, twice := seen[strings.ToLower(name)]; twice {
			w.faults = append(w.faults, Fault{
				Key: prefix + name, Source: source, Problem: lang.M("given twice, first by %s", first), Remedy: lang.M("remove one of them"),
			})
			continue
		}
		seen[strings.ToLower(name)] = source
		w.value(prefix+name, &o.Members[i].Value)
	}
}

func (w *fileWalk) value(key string, v *hujson.Value) {
	switch x := v.Value.(type) {
	case *hujson.Object:
		w.object(key+":", x)
	case *hujson.Array:
		if len(x.Elements) == 0 {
			w.put(key, "", v)
		}
		for i := range x.Elements {
			w.value(fmt.Sprintf("%s:%d", key, i), &x.Elements[i])
		}
	case hujson.Literal:
		switch x.Kind() {
		case 'n': // null: the key is not given
		case '"':
			w.put(key, x.String(), v)
		default:
			w.put(key, string(x), v)
		}
	}
}

func (w *fileWalk) put(key, text string, v *hujson.Value) {
	if fault := w.layer.put(key, text, w.source(v.StartOffset)); fault != nil {
		w.faults = append(w.faults, *fault)
	}
}
