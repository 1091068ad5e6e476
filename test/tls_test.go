package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// webConfig has a bcrypt hash of "secret", of the lowest cost.
const webConfig = `tls_server_config: {cert_file: tls.crt, key_file: tls.key}
basic_auth_users: {prometheus: $2a$04$1N534RakWwTg..eI11YzNuiczG3C9f6nqqBKzt9gWZM6NPoWv9C0m}
`

// TestTLS serves with TLS and a password. The commands say what they lack to ask the
// tracker, and a probe that only opens a connection does not fill the log.
func TestTLS(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	dir := t.TempDir()
	writeCertificates(t, dir)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		chronytest.Must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	s := programtest.Start(t, "--chrony.address="+d.Address, "--web.config.file="+file("web-config.yml", webConfig), "--log.level=debug")
	url := "--url=" + strings.Replace(s.URL, "http://", "https://", 1)
	file("password", "secret")
	const trust, name, password = "tls_config: {ca_file: ca.crt, server_name: ", "chrony-tracker}\n", "basic_auth: {username: prometheus, password_file: password}\n"
	for _, test := range []struct {
		name, url, config string
		status            string // what it says of the past
		waitsync          string
	}{
		{"no TLS", "--url=" + s.URL, "", `failed: 400 Bad Request\. hint: .*https://`, `400 Bad Request: Client sent an HTTP request to an HTTPS server\. .*hint: .*https://`},
		{"no authority", url, "tls_config: {server_name: chrony-tracker}", `failed: .*certificate signed by unknown authority\. hint: .*ca_file`, `certificate signed by unknown authority .*hint: .*ca_file`},
		{"no name", url, trust + "}", `failed: .*doesn't contain any IP SANs\. hint: .*server_name`, `doesn't contain any IP SANs .*hint: .*server_name`},
		{"no password", url, trust + name, `failed: 401 Unauthorized\. hint: .*password_file`, `401 Unauthorized: Unauthorized .*hint: .*password_file`},
		{"all", url, trust + name + password, `Seen by the tracker at https://127`, `^waited \d+s: `},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"--chrony.address=" + d.Address, test.url}
			if test.config != "" {
				args = append(args, "--url.config.file="+file("client.yml", test.config))
			}
			says := func(want string, args ...string) {
				t.Helper()
				out, _ := programtest.Tool(t, programtest.Path, args...).CombinedOutput()
				if text := strings.Join(strings.Fields(string(out)), " "); !regexp.MustCompile(want).MatchString(text) {
					t.Errorf("no %s in %s", want, text)
				}
			}
			says(test.status, append([]string{"status"}, args...)...)
			says(test.waitsync, append([]string{"waitsync", "--max-error=1h", "--timeout=1s", "--interval=100ms"}, args...)...)
		})
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	chronytest.Must(t, err)
	conn.Close()
	// With HTTP/2, one connection could have many requests at the same time.
	tlsConn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "http://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	chronytest.Must(t, err)
	if protocol := tlsConn.ConnectionState().NegotiatedProtocol; protocol != "http/1.1" {
		t.Errorf("protocol %q", protocol)
	}
	tlsConn.Close()
	s.Stop(t)
	for line := range strings.Lines(s.Log.String()) {
		if !regexp.MustCompile(`^time=\S+ level=\w+ `).MatchString(line) || strings.Contains(line, "handshake") && !strings.Contains(line, "level=DEBUG") {
			t.Errorf("%q", line)
		}
	}
	if !strings.Contains(s.Log.String(), "TLS handshake error") {
		t.Error("no handshake failed")
	}
}

// writeCertificates writes the certificate of an authority, and of a server called
// chrony-tracker.
func writeCertificates(t *testing.T, dir string) {
	t.Helper()
	write := func(name, kind string, der []byte) {
		chronytest.Must(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	make := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		chronytest.Must(t, err)
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		if signer == nil {
			signer = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		chronytest.Must(t, err)
		return der, key
	}
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, signer := make(authority, authority, nil)
	write("ca.crt", "CERTIFICATE", der)
	der, key := make(&x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"chrony-tracker"}}, authority, signer)
	write("tls.crt", "CERTIFICATE", der)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	chronytest.Must(t, err)
	write("tls.key", "PRIVATE KEY", der)
}
