package blockstorage_test

import (
	"net/http"
	"testing"
	"time"

	"holdfast/internal/backup"
)

// BenchmarkDetailPage lists a full page of backups with all their details.
func BenchmarkDetailPage(b *testing.B) {
	c := newCloud(b, nil, nil)
	rows := make([]any, 0, 2001)
	rows = append(rows, volume(1, nil))
	for n := range 2000 {
		rows = append(rows, stored(1000+n, 1, func(s *backup.Backup) {
			s.CreatedAt, s.Metadata = noon.Add(time.Duration(n)*time.Second), map[string]string{"policy": "nightly"}
		}))
	}
	c.put(rows...)
	for b.Loop() {
		c.expect(http.StatusOK, request{method: http.MethodGet, path: "/v3/backups/detail", version: "3.67"})
	}
}
