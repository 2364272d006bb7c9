package config

import (
	"cmp"
	"os"
	"strings"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
)

const (
	envPrefix = "JDPAY_"
	// fileSuffix at the end of a secret's name means that the value is the name of the file with the secret.
	fileSuffix = "_FILE"
)

// OperatorVariable is the environment variable with the operator's name, for commands. It has the prefix and is no key.
const OperatorVariable = "JDPAY_OPERATOR"

// variables are the environment by name, the process's when environ is nil. The last of several with one name counts,
// as it does in os/exec.
func variables(environ []string) map[string]string {
	if environ == nil {
		environ = os.Environ()
	}
	all := make(map[string]string, len(environ))
	for _, variable := range environ {
		if name, text, ok := strings.Cut(variable, "="); ok {
			all[name] = text
		}
	}
	return all
}

// environmentName is the .NET host's environment, by default Production.
func environmentName(variables map[string]string) string {
	return cmp.Or(variables["DOTNET_ENVIRONMENT"], variables["ASPNETCORE_ENVIRONMENT"], "Production")
}

// environment adds the variables without prefix and, winning over them, those that start with JDPAY_.
func (s *sources) environment(variables map[string]string) {
	plain, prefixed := layer{}, layer{}
	for _, name := range sortedKeys(variables) {
		if name == OperatorVariable || name == FilesVariable { // no keys
			continue
		}
		text := variables[name]
		key, hasPrefix := cutPrefix(name)
		key = strings.ReplaceAll(key, "__", ":")
		secretKey, fromFile := cutFileSuffix(key)
		if fromFile {
			key = secretKey
		}
		if !hasPrefix && !ownsVariable(key) {
			continue
		}
		to, source := plain, "env "+name
		if hasPrefix {
			to = prefixed
		}
		if fromFile {
			source = "file " + text + " via env " + name
			text = s.secretFile(key, text, source)
		}
		if fault := to.put(key, text, source); fault != nil {
			s.faults = append(s.faults, *fault)
		}
	}
	for _, l := range []layer{plain, prefixed} {
		s.faults = append(s.faults, l.conflicts()...)
		s.layers = append(s.layers, l)
	}
}

// cutPrefix removes JDPAY_. A name such as JDPAY__MD5KEY has no prefix: it is section JDPay in capitals.
func cutPrefix(name string) (string, bool) {
	n := len(envPrefix)
	if len(name) > n && strings.EqualFold(name[:n], envPrefix) && name[n] != '_' {
		return name[n:], true
	}
	return name, false
}

// cutFileSuffix removes _FILE from the key of a secret.
func cutFileSuffix(key string) (string, bool) {
	n := len(key) - len(fileSuffix)
	if n > 0 && strings.EqualFold(key[n:], fileSuffix) && isSecretKey(key[:n]) {
		return key[:n], true
	}
	return key, false
}

// secretFile returns the content of a file with a secret, without the newline at its end.
func (s *sources) secretFile(key, name, source string) string {
	content, err := s.read(name)
	if err != nil {
		s.faults = append(s.faults, Fault{
			Key: key, Source: source, Problem: lang.ErrorMessage(check.Unreadable(err)), Remedy: lang.M("correct the path or the file's permissions"),
		})
		return ""
	}
	s.secretFiles = append(s.secretFiles, name)
	return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
}
