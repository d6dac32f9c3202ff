package blockstorage

import "strings"

// maxDict bounds the pairs of a dictionary in a query.
const maxDict = 32

// parseDict reads a dictionary of strings as clients put it into a query:
// what Python prints for one, {'k': 'v', "k2": "v2"}, of which JSON is a part.
func parseDict(s string) (map[string]string, bool) {
	p := dictParser{rest: strings.TrimSpace(s)}
	pairs := map[string]string{}
	if !p.take("{") {
		return nil, false
	}
	for !p.take("}") {
		if len(pairs) == maxDict || len(pairs) > 0 && !p.take(",") {
			return nil, false
		}
		key, ok := p.text()
		if !ok || !p.take(":") {
			return nil, false
		}
		value, ok := p.text()
		if !ok {
			return nil, false
		}
		pairs[key] = value
	}
	return pairs, p.rest == ""
}

type dictParser struct{ rest string }

func (p *dictParser) blanks() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

func (p *dictParser) take(mark string) bool {
	p.blanks()
	rest, ok := strings.CutPrefix(p.rest, mark)
	if ok {
		p.rest = rest
		p.blanks()
	}
	return ok
}

// text reads a string in single or double quotes, where a backslash takes
// the next character as it is. Python 2's u in front of it is skipped.
func (p *dictParser) text() (string, bool) {
	p.blanks()
	s := strings.TrimPrefix(p.rest, "u")
	if s == "" || s[0] != '\'' && s[0] != '"' {
		return "", false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			p.rest = s[i+1:]
			return b.String(), true
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", false
}
