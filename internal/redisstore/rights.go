package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Rights says which commands the Redis user may not use, as Redis's answer (NOPERM …) or another refusal of the command,
// such as one of a read-only replica. Empty means that the command is permitted.
type Rights struct {
	Cache string // GET and SETEX of cached cabinets
	Reply string // SETEX of a reply
	// Publish is PUBLISH on the channel of a reply.
	Publish string
}

// doctorID ends the names of the keys and of the channel that CheckRights uses.
const doctorID = "jdpay-doctor"

// CheckRights tries the commands that the Store uses. It writes no key: its SETEX have a TTL of 0, which Redis refuses only
// after the user's rights. It publishes one message, on a channel that nobody waits for. The error is that of a
// connection.
func (s *Store) CheckRights(ctx context.Context) (r Rights, err error) {
	cached, reply := DevicePrefix+doctorID, s.prefix+doctorID
	for _, c := range []struct {
		refused *string
		args    []any
	}{
		{&r.Cache, []any{"GET", cached}},
		{&r.Cache, []any{"SETEX", cached, 0, ""}},
		{&r.Reply, []any{"SETEX", reply, 0, ""}},
		{&r.Publish, []any{"PUBLISH", reply, `{"messageId":"` + doctorID + `"}`}},
	} {
		err := s.try(ctx, func(ctx context.Context) error { return s.client.Do(ctx, c.args...).Err() })
		var answer redis.Error
		switch {
		case err == nil, errors.Is(err, redis.Nil):
		case !errors.As(err, &answer):
			return r, fmt.Errorf("trying %s in redis: %w", c.args[0], err)
		case c.args[0] == "SETEX" && strings.Contains(err.Error(), "invalid expire"):
		case *c.refused == "":
			*c.refused = fmt.Sprintf("%s: %s", c.args[0], err)
		}
	}
	return r, nil
}
