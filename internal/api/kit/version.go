package kit

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Version is a microversion of a face. The zero Version is older than every
// other.
type Version struct {
	Major, Minor int
}

// V returns the version major.minor.
func V(major, minor int) Version { return Version{major, minor} }

// AtLeast reports whether v is o or newer.
func (v Version) AtLeast(o Version) bool {
	return v.Major > o.Major || v.Major == o.Major && v.Minor >= o.Minor
}

// String returns "major.minor".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Versions are a face's microversions and the name under which the header
// asks for them.
type Versions struct {
	Service string // "volume"
	Min     Version
	Max     Version
	Default Version // where the request asks for none
}

// VersionHeader carries the microversion that is asked for and served.
const VersionHeader = "OpenStack-API-Version"

// longestVersion keeps the numbers within an int and the message short.
const longestVersion = 16

var versionForm = regexp.MustCompile(`^([1-9][0-9]*)\.([1-9][0-9]*|0)$`)

// negotiate returns the version that a request asks for. Entries of other
// services are ignored. On an error the default is returned with it, for the
// headers of the answer.
func (vs *Versions) negotiate(h http.Header) (Version, error) {
	text, asked := vs.entry(h)
	switch {
	case !asked:
		return vs.Default, nil
	case text == "latest":
		return vs.Max, nil
	}
	v, ok := parseVersion(text)
	if !ok {
		return vs.Default, &Fault{
			Code:    http.StatusBadRequest,
			Message: fmt.Sprintf("API Version String %s is of invalid format. Must be of format MajorNum.MinorNum.", clip(text, 64)),
		}
	}
	if !v.AtLeast(vs.Min) || !vs.Max.AtLeast(v) {
		return vs.Default, &Fault{
			Code:    http.StatusNotAcceptable,
			Message: fmt.Sprintf("Version %s is not supported by the API. Minimum is %s and maximum is %s.", v, vs.Min, vs.Max),
		}
	}
	return v, nil
}

// entry returns the header's first entry for this service.
func (vs *Versions) entry(h http.Header) (string, bool) {
	for _, line := range h.Values(VersionHeader) {
		for entry := range strings.SplitSeq(line, ",") {
			service, version, _ := strings.Cut(strings.TrimSpace(entry), " ")
			if service == vs.Service {
				return strings.TrimSpace(version), true
			}
		}
	}
	return "", false
}

func parseVersion(text string) (Version, bool) {
	m := versionForm.FindStringSubmatch(text)
	if m == nil || len(text) > longestVersion {
		return Version{}, false
	}
	major, err1 := strconv.Atoi(m[1])
	minor, err2 := strconv.Atoi(m[2])
	return Version{major, minor}, err1 == nil && err2 == nil
}

// echo tells the client which version the answer has.
func (vs *Versions) echo(h http.Header, v Version) {
	h.Set(VersionHeader, vs.Service+" "+v.String())
	h.Add("Vary", VersionHeader)
}
