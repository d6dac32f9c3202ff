package pack

import (
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/sealing"
)

// SummarySize is how many bytes at the beginning of a directory have its
// summary, at most.
const SummarySize = format.HeaderSize + 4 + format.MaxSummary + format.TagSize

// OpenSummary opens the summary of a data pack's directory, of which b has the
// first SummarySize bytes, or all.
func OpenSummary(keys sealing.Keys, want Expected, b []byte) ([][]format.Group, error) {
	_, box, b, err := open(keys, want, format.KindDataPack, b)
	if err != nil {
		return nil, err
	}
	summary, _, err := openSized(box, b, format.MaxSummary)
	if err != nil {
		return nil, err
	}
	return format.ParseSummary(summary, want.DirOffset)
}
