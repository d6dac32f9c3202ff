package changemap

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// parser takes JSON apart as a stream, so that its memory is bounded whatever
// stands in a map. err is set once the reader fails.
type parser struct {
	r    *bufio.Reader
	left int64 // bytes that may still come
	err  error
	buf  []byte
}

func newParser(r io.Reader) *parser {
	return &parser{r: bufio.NewReaderSize(r, 64<<10), left: maxBytes}
}

// member is what an object may have.
type member struct {
	name     string
	read     func() error
	required bool
}

// next takes a byte.
func (p *parser) next() (byte, error) {
	if p.left == 0 {
		return 0, invalid("it is longer than %d bytes", maxBytes)
	}
	c, err := p.r.ReadByte()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			p.err = err
		}
		return 0, invalid("it ends early")
	}
	p.left--
	return c, nil
}

// back gives the byte back that next took last.
func (p *parser) back() {
	p.left++
	if err := p.r.UnreadByte(); err != nil {
		p.err = err
	}
}

// token takes the first byte that is no white space.
func (p *parser) token() (byte, error) {
	for {
		c, err := p.next()
		if err != nil || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c, err
		}
	}
}

func (p *parser) peek() (byte, error) {
	c, err := p.token()
	if err == nil {
		p.back()
	}
	return c, err
}

func (p *parser) want(c byte) error {
	got, err := p.token()
	if err == nil && got != c {
		err = invalid("%q where %q was expected", got, c)
	}
	return err
}

// end makes sure that nothing follows.
func (p *parser) end() error {
	if _, err := p.token(); err == nil || p.err != nil || p.left == 0 {
		return invalid("something follows it")
	}
	return nil
}

// object reads an object with these members, each at most once and in any
// order.
func (p *parser) object(members []member) error {
	if err := p.want('{'); err != nil {
		return err
	}
	var seen uint
	err := p.items('}', func() error {
		key, err := p.str("name of a member")
		if err != nil {
			return err
		}
		for i := range members {
			if members[i].name != key || seen>>i&1 != 0 {
				continue
			}
			seen |= 1 << i
			if err := p.want(':'); err != nil {
				return err
			}
			return members[i].read()
		}
		return invalid("member %.64q is unknown or stands there twice", key)
	})
	if err != nil {
		return err
	}
	for i := range members {
		if members[i].required && seen>>i&1 == 0 {
			return invalid("it has no %s", members[i].name)
		}
	}
	return nil
}

func (p *parser) list(item func() error) error {
	if err := p.want('['); err != nil {
		return err
	}
	return p.items(']', item)
}

// items reads what commas part, up to the closing byte.
func (p *parser) items(closing byte, item func() error) error {
	c, err := p.peek()
	if err != nil {
		return err
	}
	if c == closing {
		_, err := p.token()
		return err
	}
	for {
		if err := item(); err != nil {
			return err
		}
		c, err := p.token()
		switch {
		case err != nil:
			return err
		case c == closing:
			return nil
		case c != ',':
			return invalid("%q where %q or %q was expected", c, ',', closing)
		}
	}
}

func (p *parser) text(what string, to *string) error {
	s, err := p.str(what)
	*to = s
	return err
}

// str reads a string of at most maxString bytes.
func (p *parser) str(what string) (string, error) {
	if err := p.want('"'); err != nil {
		return "", err
	}
	p.buf = append(p.buf[:0], '"')
	for escaped := false; ; {
		c, err := p.next()
		if err != nil {
			return "", err
		}
		p.buf = append(p.buf, c)
		if len(p.buf) > maxString+2 {
			return "", invalid("%s is no string of at most %d bytes", what, maxString)
		}
		if c == '"' && !escaped {
			break
		}
		escaped = c == '\\' && !escaped
	}
	var s string
	if err := json.Unmarshal(p.buf, &s); err != nil {
		return "", invalid("%s: %v", what, err)
	}
	return s, nil
}

// number reads a whole number that is not negative.
func (p *parser) number(what string, to *int64) error {
	c, err := p.token()
	if err != nil {
		return err
	}
	p.buf = p.buf[:0]
	for c >= '0' && c <= '9' && len(p.buf) < 20 {
		p.buf = append(p.buf, c)
		if c, err = p.next(); err != nil {
			return err
		}
	}
	p.back()
	n, err := strconv.ParseInt(string(p.buf), 10, 64)
	if err != nil || len(p.buf) > 1 && p.buf[0] == '0' {
		return invalid("%s is no whole number", what)
	}
	*to = n
	return nil
}

// bool reads true or false, and has no use for either.
func (p *parser) bool() error {
	word := "true"
	c, err := p.peek()
	if err != nil {
		return err
	}
	if c == 'f' {
		word = "false"
	}
	if _, err := p.token(); err != nil || c != word[0] {
		return invalid("zero is neither true nor false")
	}
	for i := 1; i < len(word); i++ {
		if c, err := p.next(); err != nil || c != word[i] {
			return invalid("zero is neither true nor false")
		}
	}
	return nil
}
