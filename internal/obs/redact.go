package obs

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const hidden = "[redacted]"

// urlPassword finds the password in a URL that is part of a text.
var urlPassword = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@?#"]*):[^\s@"]*@`)

// queryPassword finds one in a URL's query, or in a connection string.
var queryPassword = regexp.MustCompile(`(?i)\b(\w*password)=[^\s&"]+`)

// redact is the guard of all log lines: nothing under a name that secrets go
// by is printed, nor a password within a URL, in an error's text for instance.
// It is the last line of defence: secrets have no business in a log call.
func redact(groups []string, a slog.Attr) slog.Attr {
	kind := a.Value.Kind()
	if kind != slog.KindString && kind != slog.KindAny {
		return a // a number, a time or a truth value
	}
	if secretName(a.Key) || slices.ContainsFunc(groups, secretName) {
		return slog.String(a.Key, hidden)
	}
	if kind == slog.KindString {
		return slog.String(a.Key, hidePasswords(a.Value.String()))
	}
	return slog.Attr{Key: a.Key, Value: redactAny(a.Value.Any())}
}

func redactAny(v any) slog.Value {
	switch v := v.(type) {
	case error:
		return slog.StringValue(hidePasswords(v.Error()))
	case http.Header:
		return slog.AnyValue(redactLists(v))
	case url.Values:
		return slog.AnyValue(redactLists(v))
	case *url.URL:
		return slog.StringValue(hidePasswords(fmt.Sprint(v)))
	}
	return slog.AnyValue(v)
}

func redactLists(lists map[string][]string) map[string][]string {
	out := make(map[string][]string, len(lists))
	for name, values := range lists {
		if secretName(name) {
			values = []string{hidden}
		}
		out[name] = values
	}
	return out
}

func hidePasswords(s string) string {
	if strings.Contains(s, "://") {
		s = urlPassword.ReplaceAllString(s, "$1:"+hidden+"@")
	}
	if strings.Contains(s, "=") {
		s = queryPassword.ReplaceAllString(s, "$1="+hidden)
	}
	return s
}

// secretName reports whether an attribute, header or parameter of this name
// may hold a secret: token, X-Auth-Token, new_password, master_key, key. The
// id or the version of a key is none.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"token", "password", "passphrase", "secret", "authorization", "cookie"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return name == "key" || strings.HasSuffix(name, "_key") || strings.HasSuffix(name, "-key")
}
