package testenv

import "fmt"

// Texts returns the texts of a list of messages, nil for an empty one.
func Texts[T fmt.Stringer](list []T) (texts []string) {
	for _, m := range list {
		texts = append(texts, m.String())
	}
	return texts
}
