package config

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// maxInstance is the longest instance name: it goes into an MQTT client id and into lease columns.
const maxInstance = 40

var (
	instanceForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,` + strconv.Itoa(maxInstance) + `}$`)
	notInstance  = regexp.MustCompile(`[^A-Za-z0-9._-]+`)
)

// processInstance names this process, the same on every reload: host name, process id and a random part, since two
// containers can share the first two.
var processInstance = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	random := make([]byte, 4)
	rand.Read(random) // never fails
	return instanceName(host, os.Getpid(), random)
})

// instanceName keeps the end of a host name that is too long: the pods of a deployment differ there.
func instanceName(host string, pid int, random []byte) string {
	tail := "-" + strconv.Itoa(pid) + "-" + hex.EncodeToString(random)
	host = notInstance.ReplaceAllString(host, "-")
	host = host[max(0, len(host)-(maxInstance-len(tail))):]
	return strings.TrimLeft(strings.TrimLeft(host, "-.")+tail, "-")
}
