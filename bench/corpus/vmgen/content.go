package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
)

var (
	words = strings.Fields(`connection session opened closed for user root by accepted publickey from port ssh2
		failed password invalid disk volume attached detached snapshot created error timeout retry kernel eth0
		link up down promiscuous mode started stopped service unit entered state reached target cron job
		backup request response status token expired renewed cache miss hit database checkpoint complete wrote buffers`)
	names = strings.Fields(`anna boris carla deniz emil fatima georg hana ivan jana karel lena miro nora omar petra quinn rosa stefan tereza`)
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// fill writes the first size bytes of what next returns, piece by piece.
func fill(path string, size int64, next func() []byte) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	for size > 0 {
		b := next()
		b = b[:min(int64(len(b)), size)]
		if _, err := w.Write(b); err != nil {
			return err
		}
		size -= int64(len(b))
	}
	return w.Flush()
}

// logLines returns lines of a web server and of services.
func logLines(r *rand.Rand, seed int64) func() []byte {
	at := int64(1700000000) + seed*86400
	statuses := []int{200, 200, 200, 202, 404, 500}
	var b []byte
	return func() []byte {
		at += int64(r.IntN(4))
		if r.IntN(3) > 0 {
			b = fmt.Appendf(b[:0], "10.%d.%d.%d - - [%d] \"GET /api/v3/volumes/%08x%08x HTTP/1.1\" %d %d \"-\" \"python-cinderclient\" rt=%d.%03d\n",
				r.IntN(4), r.IntN(256), r.IntN(256), at, r.Uint32()>>8, r.Uint32(), statuses[r.IntN(len(statuses))],
				r.IntN(90000), r.IntN(2), r.IntN(1000))
			return b
		}
		b = fmt.Appendf(b[:0], "%d host%02d %s[%d]:", at, r.IntN(8), pick(r, words), r.IntN(30000))
		for range 4 + r.IntN(9) {
			b = append(b, ' ')
			b = append(b, pick(r, words)...)
		}
		b = append(b, '\n')
		return b
	}
}

// documents returns JSON documents.
func documents(r *rand.Rand) func() []byte {
	var b []byte
	id := -1
	return func() []byte {
		id++
		b = fmt.Appendf(b[:0], `{"id":%d,"uuid":"%08x-%04x-%04x-%012x","name":"%s-%d","email":"%s%d@example.org","score":%.4f,"tags":["%s","%s"],"note":"`,
			id, r.Uint32(), r.Uint32()>>16, r.Uint32()>>16, r.Uint64()>>16, pick(r, names), r.IntN(1e6), pick(r, names), r.IntN(1e5),
			r.Float64()*100, pick(r, words), pick(r, words))
		for range 5 + r.IntN(30) {
			b = append(b, pick(r, words)...)
			b = append(b, ' ')
		}
		b = append(b, "\"}\n"...)
		return b
	}
}

func randomBytes(seed int64) func() []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], uint64(seed))
	c := rand.NewChaCha8(key)
	b := make([]byte, 1<<20)
	return func() []byte {
		c.Read(b)
		return b
	}
}
