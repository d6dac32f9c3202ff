package compress_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"holdfast/internal/vault/compress"
	"holdfast/internal/vault/format"
)

func samples() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, format.GroupSize)
	letters := make([]byte, format.GroupSize) // no matches, but few symbols
	for i := range random {
		random[i] = byte(rng.Uint32())
		letters[i] = "abcdefghijklmnop"[rng.IntN(16)]
	}
	return map[string][]byte{
		"random":  random,
		"letters": letters,
		"words":   bytes.Repeat([]byte("a line of some log that says little\n"), format.GroupSize)[:format.GroupSize],
		"block":   random[:format.BlockSize],
	}
}

func TestGroupsComeBack(t *testing.T) {
	dec, err := compress.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	for _, m := range []compress.Method{compress.S2, compress.ZstdFastest, compress.ZstdDefault, compress.ZstdBetter} {
		enc, err := compress.NewEncoder(m)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, compress.MaxEncoded())
		for name, group := range samples() {
			out, codec := enc.Encode(buf, group)
			if name == "random" && codec != format.Raw {
				t.Errorf("method %d: random data has codec %d", m, codec)
			}
			if name == "words" && len(out) > len(group)/10 {
				t.Errorf("method %d: words take %d bytes", m, len(out))
			}
			if name == "letters" && m != compress.S2 && len(out) > len(group)*6/10 {
				t.Errorf("method %d: letters take %d bytes, codec %d", m, len(out), codec)
			}
			got, err := dec.Decode(make([]byte, len(group)), out, codec)
			if err != nil || !bytes.Equal(got, group) {
				t.Errorf("method %d, %s: came back different: %v", m, name, err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	enc, err := compress.NewEncoder(compress.ZstdFastest)
	if err != nil {
		f.Fatal(err)
	}
	buf := make([]byte, compress.MaxEncoded())
	out, codec := enc.Encode(buf, samples()["words"])
	f.Add(bytes.Clone(out), byte(codec), byte(32))
	f.Add(bytes.Clone(out), byte(codec), byte(1))
	fast, _ := compress.NewEncoder(compress.S2)
	out, codec = fast.Encode(buf, samples()["words"])
	f.Add(bytes.Clone(out), byte(codec), byte(32))
	dec, err := compress.NewDecoder()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src []byte, codec, blocks byte) {
		want := make([]byte, int(blocks%33)*format.BlockSize)
		got, err := dec.Decode(want, src, format.Codec(codec))
		if err == nil && len(got) != len(want) {
			t.Fatalf("%d bytes for %d", len(got), len(want))
		}
	})
}

func benchmark(b *testing.B, m compress.Method, sample string) {
	enc, err := compress.NewEncoder(m)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, compress.MaxEncoded())
	group := samples()[sample]
	b.SetBytes(int64(len(group)))
	b.ReportAllocs()
	for b.Loop() {
		enc.Encode(buf, group)
	}
}

func BenchmarkS2Letters(b *testing.B)   { benchmark(b, compress.S2, "letters") }
func BenchmarkS2Random(b *testing.B)    { benchmark(b, compress.S2, "random") }
func BenchmarkZstdLetters(b *testing.B) { benchmark(b, compress.ZstdFastest, "letters") }
func BenchmarkZstdRandom(b *testing.B)  { benchmark(b, compress.ZstdFastest, "random") }
