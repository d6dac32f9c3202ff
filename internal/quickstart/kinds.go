package quickstart

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
)

// Words that logs, documents and records are made of. Their numbers are powers
// of two, so that a few bits of a random number choose one.
var (
	levels   = [...]string{"INFO ", "INFO ", "INFO ", "DEBUG", "INFO ", "WARN ", "INFO ", "ERROR"}
	programs = [...]string{"nova-api", "cinder-volume", "keystone", "haproxy", "postgres", "neutron-l3", "sshd", "kernel"}
	methods  = [...]string{"GET", "GET", "GET", "POST", "GET", "PUT", "DELETE", "HEAD"}
	routes   = [...]string{
		"/v3/volumes/detail", "/v3/backups", "/v2.1/servers", "/v3/auth/tokens",
		"/v2/images", "/v2.0/ports", "/v3/snapshots/detail", "/healthz",
	}
	cities = [...]string{
		"Aarhus", "Bergen", "Cadiz", "Dresden", "Espoo", "Ferrara", "Gdansk", "Haarlem",
		"Ivrea", "Jena", "Kassel", "Lund", "Malaga", "Nantes", "Odense", "Porto",
	}
	states = [...]string{"active", "paused", "active", "stopped", "active", "error", "active", "building"}
)

const hexDigits = "0123456789abcdef"

// appendHex appends the n lowest hex digits of v.
func appendHex(b []byte, v uint64, n int) []byte {
	for ; n > 0; n-- {
		b = append(b, hexDigits[v&15])
		v >>= 4
	}
	return b
}

// appendPadded appends v with leading zeros.
func appendPadded(b []byte, v, digits int) []byte {
	var d [12]byte
	for i := digits - 1; i >= 0; i-- {
		d[i] = byte('0' + v%10)
		v /= 10
	}
	return append(b, d[:digits]...)
}

// logWriter writes the log of a busy host.
type logWriter struct {
	src *rand.PCG
	ms  int // of the day
	day int
}

func newLogWriter(src *rand.PCG) *logWriter {
	r := src.Uint64()
	return &logWriter{src: src, ms: int(r % 86_400_000), day: int(r>>32) % 28}
}

func (w *logWriter) line(b []byte) []byte {
	r, s := w.src.Uint64(), w.src.Uint64()
	w.ms = (w.ms + int(r&255)) % 86_400_000
	b = append(b, "2026-03-"...)
	b = appendPadded(b, w.day+1, 2)
	b = append(b, 'T')
	b = appendPadded(b, w.ms/3_600_000, 2)
	b = append(b, ':')
	b = appendPadded(b, w.ms/60_000%60, 2)
	b = append(b, ':')
	b = appendPadded(b, w.ms/1000%60, 2)
	b = append(b, '.')
	b = appendPadded(b, w.ms%1000, 3)
	b = append(b, "Z host-"...)
	b = appendPadded(b, int(r>>8&31), 2)
	b = append(b, ' ')
	b = append(b, programs[r>>13&7]...)
	b = append(b, ' ')
	b = append(b, levels[r>>16&7]...)
	b = append(b, " req-"...)
	b = appendHex(b, s, 8)
	b = append(b, " \""...)
	b = append(b, methods[r>>19&7]...)
	b = append(b, ' ')
	b = append(b, routes[r>>22&7]...)
	b = append(b, " HTTP/1.1\" status: 200 len: "...)
	b = strconv.AppendInt(b, int64(r>>25&8191), 10)
	b = append(b, " time: 0."...)
	b = appendPadded(b, int(r>>38&0xffff), 5)
	return append(b, '\n')
}

// documentWriter writes an export of a database as JSON lines.
type documentWriter struct {
	src *rand.PCG
	id  uint64
}

func newDocumentWriter(src *rand.PCG) *documentWriter {
	return &documentWriter{src: src, id: src.Uint64() >> 32}
}

func (w *documentWriter) line(b []byte) []byte {
	r, s := w.src.Uint64(), w.src.Uint64()
	w.id++
	b = append(b, `{"id":`...)
	b = strconv.AppendUint(b, w.id, 10)
	b = append(b, `,"uuid":"`...)
	b = appendHex(b, s, 16)
	b = append(b, `","name":"server-`...)
	b = strconv.AppendUint(b, r&4095, 10)
	b = append(b, `","state":"`...)
	b = append(b, states[r>>12&7]...)
	b = append(b, `","site":{"city":"`...)
	b = append(b, cities[r>>15&15]...)
	b = append(b, `","rack":`...)
	b = strconv.AppendUint(b, r>>19&63, 10)
	b = append(b, `},"address":"10.`...)
	b = strconv.AppendUint(b, r>>25&15, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, r>>29&255, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, r>>37&255, 10)
	b = append(b, `","volumes":[{"size":`...)
	b = strconv.AppendUint(b, 1+r>>45&127, 10)
	b = append(b, `,"bootable":true}],"load":0.`...)
	b = appendPadded(b, int(r>>52&4095), 4)
	return append(b, "}\n"...)
}

// fillPages fills buf with pages of a database's tables: a header, pointers,
// free space, and records from the end of the page.
func fillPages(buf []byte, src *rand.PCG) {
	const size = 8192
	lsn := src.Uint64() >> 24
	for len(buf) > 0 {
		page := buf[:min(size, len(buf))]
		buf = buf[len(page):]
		clear(page)
		if src.Uint64()&31 == 0 || len(page) < size {
			continue // allocated, not yet used
		}
		lsn += src.Uint64() & 0xffff
		fillPage(page, lsn, src)
	}
}

func fillPage(page []byte, lsn uint64, src *rand.PCG) {
	const header, pointer = 24, 4
	r := src.Uint64()
	upper := len(page)
	lower := header
	free := 64 + int(r&1023)
	for id := r >> 40; ; id++ {
		v := src.Uint64()
		name := cities[v&15]
		size := 48 + len(name)
		if upper-size-lower-pointer < free {
			break
		}
		upper -= size
		rec := page[upper:][:size]
		binary.LittleEndian.PutUint64(rec, id)
		binary.LittleEndian.PutUint32(rec[8:], uint32(v>>4&7))
		binary.LittleEndian.PutUint64(rec[16:], 1_770_000_000_000+v>>40)
		binary.LittleEndian.PutUint64(rec[24:], src.Uint64())
		binary.LittleEndian.PutUint32(rec[32:], uint32(v>>8&0xffff))
		copy(rec[40:], states[v>>24&7])
		copy(rec[48:], name)
		binary.LittleEndian.PutUint16(page[lower:], uint16(upper))
		binary.LittleEndian.PutUint16(page[lower+2:], uint16(size))
		lower += pointer
	}
	binary.LittleEndian.PutUint64(page, lsn)
	binary.LittleEndian.PutUint16(page[8:], uint16(r>>10))
	binary.LittleEndian.PutUint16(page[12:], uint16(lower))
	binary.LittleEndian.PutUint16(page[14:], uint16(upper))
}
