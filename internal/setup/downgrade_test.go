package setup

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/testenv"
)

// TestServerWithoutTLSReadsThePassword is a downgrade attack: a server, or a man in the middle, says that it has no TLS and
// asks for the password with a key of its own. SslMode=Preferred sends it, and causes a warning; the modes that verify do
// not, and Security:Strict accepts no others.
func TestServerWithoutTLSReadsThePassword(t *testing.T) {
	const password = "hunter2-of-the-database"
	ours := testenv.NewAuthority(t).File
	for mode, isRead := range map[string]bool{
		"SslMode=None": true, "SslMode=Preferred": true, "": true,
		"SslMode=Required": false, "SslMode=VerifyCA;SslCa=" + ours: false, "SslMode=VerifyFull;SslCa=" + ours: false,
	} {
		t.Run(mode, func(t *testing.T) {
			addr, read := maliciousServer(t)
			text := func(server string) config.Secret {
				return config.NewSecret("Server=" + server + ";Database=d;Uid=u;Pwd=" + password + ";" + mode)
			}
			db, err := OpenDatabase(text(addr))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err = db.PingContext(ctx)
			if !isRead && !errors.Is(err, mysql.ErrNoTLS) {
				t.Errorf("got %v, want %v", err, mysql.ErrNoTLS)
			}
			db.Close()
			if got := <-read; (got == password) != isRead {
				t.Errorf("the server has read %q", got)
			}

			// The same SslMode for a server on the network.
			load := func(strict string) (*config.Loaded, error) {
				return Load(config.Options{Dir: t.TempDir(), Environ: []string{
					"ConnectionStrings__Account=" + text("db.test").Reveal(), "ConnectionStrings__Main=Server=127.0.0.1;Database=d;Uid=u",
					"Mns__Endpoint=https://mns.test", "JDPay__NotifyQueueName=q", "JDPay__Md5Key=a-key-of-the-tests", "Mqtt__Server=127.0.0.1",
					"JDApi__BaseUrl=https://jd.test", "JDApi__ProducerCode=P", "JDApi__CloudProducerCode=C", "Security__Strict=" + strict,
				}})
			}
			loaded, err := load("false")
			if err != nil {
				t.Fatal(err)
			}
			warned := strings.Contains(fmt.Sprint(loaded.Warnings), "ConnectionStrings:Account: ")
			if _, err = load("true"); isRead && (!warned || err == nil || !strings.Contains(err.Error(), "refused by Security:Strict")) {
				t.Errorf("warnings %v; strict says %v", loaded.Warnings, err)
			}
			if strings.Contains(mode, "Verify") && (warned || err != nil) {
				t.Errorf("a verified connection: warnings %v; strict says %v", loaded.Warnings, err)
			}
		})
	}
}

// maliciousServer is a MySQL server for one client. read yields the password that it could read, or nothing.
func maliciousServer(t *testing.T) (addr string, read <-chan string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	password := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			password <- ""
			return
		}
		defer conn.Close()
		password <- readPassword(conn, key)
	}()
	return l.Addr().String(), password
}

// readPassword implements the part of the protocol that it needs: no TLS among the capabilities, caching_sha2_password,
// "perform full authentication", and its own key when the client asks for the server's.
func readPassword(conn net.Conn, key *rsa.PrivateKey) string {
	const capabilities = 0x1 | 0x8 | 0x200 | 0x8000 | 0x80000 // long password, database, protocol 4.1, secure connection, plugins; not 0x800, TLS
	seed := []byte("12345678901234567890")
	var hello bytes.Buffer
	hello.WriteString("\x0a8.0.36\x00\x01\x00\x00\x00")
	hello.Write(seed[:8])
	hello.WriteByte(0)
	_ = binary.Write(&hello, binary.LittleEndian, uint16(capabilities&0xffff))
	hello.WriteString("\x2d\x02\x00")
	_ = binary.Write(&hello, binary.LittleEndian, uint16(capabilities>>16))
	hello.WriteByte(21)
	hello.Write(make([]byte, 10))
	hello.Write(seed[8:])
	hello.WriteString("\x00caching_sha2_password\x00")

	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err.Error()
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	var answer []byte
	for i, message := range [][]byte{hello.Bytes(), {1, 4}, append([]byte{1}, public...)} {
		header := []byte{byte(len(message)), byte(len(message) >> 8), 0, byte(2 * i)}
		if _, err := conn.Write(append(header, message...)); err != nil {
			return ""
		}
		if _, err := io.ReadFull(conn, header); err != nil {
			return ""
		}
		answer = make([]byte, int(header[0])|int(header[1])<<8)
		if _, err := io.ReadFull(conn, answer); err != nil {
			return ""
		}
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, answer, nil)
	if err != nil {
		return ""
	}
	for i := range plain {
		plain[i] ^= seed[i%len(seed)]
	}
	return strings.TrimSuffix(string(plain), "\x00")
}
