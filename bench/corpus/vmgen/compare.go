package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

const blockSize = 4096

// extent is what a change map is made of.
type extent struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
	Zero   bool  `json:"zero,omitempty"`
}

// compare calls changed for each piece, of a granularity that divides 4 MiB,
// in which two images differ, and returns the longer one's size.
func compare(a, b string, granularity int64, changed func(extent)) (size int64, err error) {
	const step = 4 << 20
	if granularity <= 0 || step%granularity != 0 {
		return 0, fmt.Errorf("a granularity of %d doesn't divide %d", granularity, step)
	}
	var readers [2]io.Reader
	for i, path := range []string{a, b} {
		f, err := os.Open(path)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		readers[i] = f
	}
	var pieces [2][]byte
	pieces[0], pieces[1] = make([]byte, step), make([]byte, step)
	zeros := make([]byte, granularity)
	for {
		n := 0
		for i, r := range readers {
			k, err := io.ReadFull(r, pieces[i])
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, err
			}
			clear(pieces[i][k:])
			n = max(n, k)
		}
		if n == 0 {
			return size, nil
		}
		for i := int64(0); i < int64(n); i += granularity {
			end := min(i+granularity, int64(n))
			if piece := pieces[1][i:end]; !bytes.Equal(pieces[0][i:end], piece) {
				changed(extent{Offset: size + i, Length: end - i, Zero: bytes.Equal(piece, zeros[:end-i])})
			}
		}
		size += int64(n)
	}
}

func printChanged(w io.Writer, a, b string) error {
	for _, granularity := range []int64{4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20} {
		var changed, zero int64
		size, err := compare(a, b, granularity, func(e extent) {
			changed += e.Length
			if e.Zero {
				zero += e.Length
			}
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "in pieces of %7d: %12d bytes changed (%.2f %% of %d), now zero %d\n",
			granularity, changed, 100*float64(changed)/float64(max(size, 1)), size, zero)
	}
	return nil
}

// printMap prints the change map from a to b.
func printMap(w io.Writer, a, b string, granularity int64) error {
	extents := []extent{}
	_, err := compare(a, b, granularity, func(e extent) {
		if k := len(extents) - 1; k >= 0 && extents[k].Offset+extents[k].Length == e.Offset && extents[k].Zero == e.Zero {
			extents[k].Length += e.Length
			return
		}
		extents = append(extents, e)
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(extents)
}

func printStat(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	var data, zero int64
	block, zeros := make([]byte, blockSize), make([]byte, blockSize)
	for {
		_, err := io.ReadFull(r, block)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			fmt.Fprintf(w, "blocks of 4 KiB: %d of data (%d MiB), %d of zeros (%d MiB)\n", data, data/256, zero, zero/256)
			return nil
		}
		if err != nil {
			return err
		}
		if bytes.Equal(block, zeros) {
			zero++
		} else {
			data++
		}
	}
}
