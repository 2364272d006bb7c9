package elastic

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// template has the mappings of the indexes: texts are keywords, amounts and durations numbers, times dates. Its version must
// grow with each change.
//
//go:embed template.json
var template []byte

// EnsureTemplate installs the template of the indexes unless this or a newer version is there, and reports whether it did so.
// The template is named like the indexes. It applies to indexes that are created afterwards. Of a server without templates of
// this form the error is a *StatusError or ErrOddAnswer.
func (c *Client) EnsureTemplate(ctx context.Context) (installed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var want map[string]any
	if err := json.Unmarshal(template, &want); err != nil {
		return false, fmt.Errorf("reading the index template: %w", err)
	}
	version, err := c.templateVersion(ctx)
	if err != nil || version >= want["version"].(float64) {
		return false, err
	}
	want["index_patterns"] = []string{c.index + "-*"}
	body, err := json.Marshal(want)
	if err != nil {
		return false, fmt.Errorf("encoding the index template: %w", err)
	}
	text, err := answer(esapi.IndicesPutIndexTemplateRequest{Name: c.index, Body: bytes.NewReader(body)}.Do(ctx, c.transport))
	if err != nil {
		return false, fmt.Errorf("installing the index template %s: %w", c.index, err)
	}
	var done struct{ Acknowledged *bool }
	switch {
	case json.Unmarshal(text, &done) != nil || done.Acknowledged == nil:
		return false, fmt.Errorf("installing the index template %s: the response does not acknowledge it: %w", c.index, ErrOddAnswer)
	case !*done.Acknowledged:
		return false, fmt.Errorf("installing the index template %s: the response does not acknowledge it", c.index)
	}
	return true, nil
}

// templateVersion returns the version of the installed template; 0 if there is none.
func (c *Client) templateVersion(ctx context.Context) (float64, error) {
	text, err := answer(esapi.IndicesGetIndexTemplateRequest{Name: c.index}.Do(ctx, c.transport))
	var refused *StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the index template %s: %w", c.index, err)
	}
	var found struct {
		List []struct {
			Template struct{ Version float64 } `json:"index_template"`
		} `json:"index_templates"`
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return 0, fmt.Errorf("reading the index template %s: %w: %w", c.index, ErrOddAnswer, err)
	}
	if len(found.List) == 0 {
		return 0, nil
	}
	return found.List[0].Template.Version, nil
}
