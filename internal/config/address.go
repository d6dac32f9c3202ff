package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var hostName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,62})(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,62}))*$`)

// address is a checked listen address.
type address struct {
	host string // empty, a name, or an IP without brackets
	port int
}

func parseAddress(s string) (address, error) {
	bad := fmt.Errorf("%q is not an address: want host:port", s)
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return address{}, bad
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return address{}, bad
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			return address{}, bad
		}
	} else if host != "" && (!hostName.MatchString(host) || len(host) > 253) {
		return address{}, bad
	}
	return address{host: host, port: int(n)}, nil
}

// wildcard reports whether the address stands for all of the machine's.
func (a address) wildcard() bool {
	ip, err := netip.ParseAddr(a.host)
	return a.host == "" || err == nil && ip.Unmap().IsUnspecified()
}

func (a address) loopback() bool {
	ip, err := netip.ParseAddr(a.host)
	return strings.EqualFold(a.host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// BaseURL returns the URL by which a listener on addr (host:port) is reached.
func BaseURL(addr string, secure bool) string {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	return scheme + "://" + addr
}

// derivedURL returns the public URL that follows from a listen address, empty
// where none does: for a wildcard, and for a port that is chosen later.
func derivedURL(listen string, secure bool) string {
	a, err := parseAddress(listen)
	if err != nil || a.wildcard() || a.port == 0 {
		return ""
	}
	return BaseURL(listen, secure)
}

// checkPublicURL accepts what links can be built on.
func checkPublicURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return errors.New("not a URL") // the parser's words would repeat what may hold a password
	}
	switch {
	case u.User != nil:
		return errors.New("must not hold a user or password")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "":
		return fmt.Errorf("%q is not an http or https URL", s)
	case u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return fmt.Errorf("%q must not have a query or fragment", s)
	}
	return nil
}
