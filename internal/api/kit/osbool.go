package kit

import (
	"slices"
	"strings"
)

// Spellings of booleans that OpenStack's body schemas accept beside JSON's
// own; nothing else is a boolean, neither null nor a number.
var (
	trueWords  = []string{"True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t"}
	falseWords = []string{"False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f"}
)

// bodyBool reads a boolean of a request body.
func bodyBool(v any) (value, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		if slices.Contains(trueWords, v) {
			return true, true
		}
		return false, slices.Contains(falseWords, v)
	default:
		return false, false
	}
}

// ParseBool reads a boolean of a query, in any case and with blanks around.
func ParseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "t", "true", "on", "y", "yes":
		return true, true
	case "0", "f", "false", "off", "n", "no":
		return false, true
	default:
		return false, false
	}
}

// boolChoices is how a schema's refusal lists the spellings.
var boolChoices = "[True, " + quoteAll(trueWords) + ", False, " + quoteAll(falseWords) + "]"

func quoteAll(words []string) string { return "'" + strings.Join(words, "', '") + "'" }
