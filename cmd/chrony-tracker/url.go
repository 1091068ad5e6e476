package main

import (
	"net/url"
	"regexp"

	"github.com/alecthomas/kingpin/v2"
)

// trackerURL makes the flag a URL of a tracker. Brackets around an IPv4 address are
// accepted too: a manifest does not know whether the node's address is IPv4 or IPv6, so
// it always writes them.
func trackerURL(flag *kingpin.FlagClause, target **url.URL) { flag.SetValue(urlValue{target}) }

type urlValue struct{ target **url.URL }

var bracketedIPv4 = regexp.MustCompile(`\[([\d.]+)\]`)

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
