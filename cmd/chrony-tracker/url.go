package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/config"
)

// trackerFlags name a tracker, and how to ask it.
type trackerFlags struct {
	url    *url.URL
	config string // path of a file
}

func addTrackerFlags(clause *kingpin.CmdClause, help string, otherwise ...string) *trackerFlags {
	f := new(trackerFlags)
	clause.Flag("url", help).Default(otherwise...).SetValue(urlValue{&f.url})
	clause.Flag("url.config.file", "How to ask the tracker there, if it has TLS or a password: a file as Prometheus' clients have it, with tls_config and basic_auth.").
		StringVar(&f.config)
	return f
}

// client returns a client that asks trackers. They run on this node, so it uses no proxy,
// unless the file names one. It follows no redirect: what another server says must not
// appear under this URL. It keeps no connection: package net/http prints what a server
// sends there without a request.
func (f *trackerFlags) client() (*http.Client, error) {
	const timeout = 5 * time.Second
	if f.config == "" {
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: timeout, CheckRedirect: stay}, nil
	}
	var client *http.Client
	settings, _, err := config.LoadHTTPConfigFile(f.config)
	if err == nil {
		client, err = config.NewClientFromConfig(*settings, name, config.WithKeepAlivesDisabled())
	}
	if err != nil {
		return nil, hintedError{usageError{fmt.Errorf("--url.config.file=%s: %w", f.config, err)}, "check the file and those that it names; this user must be able to read them"}
	}
	client.Timeout, client.CheckRedirect = timeout, stay
	return client, nil
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// An answerError is an answer of a tracker, or of another server, that is no success.
type answerError struct {
	status string
	code   int
	line   string // the first one of the answer
}

func (e answerError) Error() string {
	if e.line == "" {
		return e.status
	}
	return e.status + ": " + e.line
}

// asking turns an error of a client into one that leaves out the URL, and has a hint.
func asking(err error) error {
	if failed := new(url.Error); errors.As(err, &failed) {
		err = failed.Err
	}
	if failed := new(net.OpError); errors.As(err, &failed) && failed.Op == "dial" {
		err = failed.Err // without the address
	}
	return hintedError{err, askingHint(err)}
}

func askingHint(err error) string {
	var answer answerError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "name the certificate of the tracker's authority in --url.config.file: tls_config: {ca_file: ca.crt, server_name: chrony-tracker}"
	case errors.As(err, new(x509.HostnameError)):
		return "give the name in the tracker's certificate, and its authority, in --url.config.file: tls_config: {ca_file: ca.crt, server_name: chrony-tracker}"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "renew the tracker's certificate, and check this machine's clock"
	case isRemote(err):
		return "the tracker may want a client certificate, in --url.config.file: tls_config: {cert_file: client.crt, key_file: client.key}"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the tracker has no TLS: --url must begin with http://"
	case !errors.As(err, &answer):
		return "check that the tracker runs, and that --url is its address"
	case answer.code == http.StatusUnauthorized:
		return "give its password in --url.config.file: basic_auth: {username: name, password_file: password}"
	case answer.code == http.StatusBadRequest:
		return "if the tracker has TLS, --url must begin with https://"
	default:
		return "check that --url is the address of a tracker"
	}
}

// isRemote reports whether the server refused the handshake.
func isRemote(err error) bool {
	failed := new(net.OpError)
	return errors.As(err, &failed) && failed.Op == "remote error"
}

type urlValue struct{ target **url.URL }

var bracketedIPv4 = regexp.MustCompile(`\[([\d.]+)\]`)

// Set also accepts brackets around an IPv4 address: a manifest does not know whether the
// node's address is IPv4 or IPv6, so it always writes them.
func (v urlValue) Set(text string) error {
	parsed, err := url.Parse(bracketedIPv4.ReplaceAllString(text, "$1"))
	if err != nil {
		return err
	}
	*v.target = parsed
	return nil
}

func (v urlValue) String() string {
	if *v.target == nil {
		return ""
	}
	return (*v.target).String()
}
