package vault

// What tests of the formats need of the package's inside.
var (
	AppendPlacements = appendPlacements
	ParsePlacements  = parsePlacements
	ParseRecord      = parseRecord
)

// ReparseState parses a checkpoint's state and encodes it again.
func ReparseState(b []byte) ([]byte, error) {
	s, err := parseState(b)
	if err != nil {
		return nil, err
	}
	return s.append(nil), nil
}

// Encode encodes a record.
func (r *Record) Encode() ([]byte, error) { return r.encode() }
