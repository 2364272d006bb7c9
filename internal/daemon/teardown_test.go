package daemon

import (
	"errors"
	"io"
	"slices"
	"testing"
)

func TestTeardownEndsAllInReverse(t *testing.T) {
	var ends teardown
	var ended []string
	add := func(name string, err error) {
		ends.add(name, func() error {
			ended = append(ended, name)
			return err
		})
	}
	add("database", io.ErrUnexpectedEOF)
	add("client", nil)
	add("cache", errors.New("it is closed already"))
	err := ends.run()
	if want := "closing cache: it is closed already\nclosing database: unexpected EOF"; err == nil || err.Error() != want || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want %s", err, want)
	}
	if want := []string{"cache", "client", "database"}; !slices.Equal(ended, want) {
		t.Errorf("ended in the order %v, want %v", ended, want)
	}
	if err := ends.run(); err != nil || len(ended) != 3 {
		t.Errorf("a second run ends %v, and returns %v", ended[3:], err)
	}
}
