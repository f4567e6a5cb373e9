// Measures kcp-go's FEC at 10/3 with datagrams of 1,400 bytes: three groups at a time. Prints the median time of
// a group in nanoseconds.
//
//	kcp-go-fec encode|lossless|lost1|lost3 MILLISECONDS         its encoder and decoder, whole
//	kcp-go-fec codec-encode|codec-lost1|codec-lost3 MILLISECONDS   klauspost/reedsolomon alone, as those call it
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/klauspost/reedsolomon"
	_ "github.com/xtaci/kcp-go/v5"
)

// kcp-go's own codec. It isn't exported; the linker knows it all the same, with an (empty) assembly file in
// this package. Methods take their receiver as the first argument.

//go:linkname newEncoder github.com/xtaci/kcp-go/v5.newFECEncoder
func newEncoder(dataShards, parityShards, offset int) unsafe.Pointer

//go:linkname encode github.com/xtaci/kcp-go/v5.(*fecEncoder).encode
func encode(encoder unsafe.Pointer, datagram []byte, rto uint32) [][]byte

//go:linkname newDecoder github.com/xtaci/kcp-go/v5.newFECDecoder
func newDecoder(dataShards, parityShards int) unsafe.Pointer

//go:linkname decode github.com/xtaci/kcp-go/v5.(*fecDecoder).decode
func decode(decoder unsafe.Pointer, shard []byte) [][]byte

//go:linkname pool github.com/xtaci/kcp-go/v5.defaultBufferPool
var pool unsafe.Pointer

//go:linkname putBack github.com/xtaci/kcp-go/v5.(*bufferPool).Put
func putBack(pool unsafe.Pointer, buffer []byte) error

const (
	data       = 10
	parity     = 3
	groups     = 3
	size       = 1400
	headerSize = 8
	coded      = size - 6
	latency    = 500
)

func datagram(n int) []byte {
	bytes := make([]byte, size)
	for at := range bytes[headerSize:] {
		bytes[headerSize+at] = byte(at*7 + at/251 + n*13)
	}
	return bytes
}

// Runs it again and again; prepare isn't measured.
func measure(milliseconds int, prepare, run func()) {
	times := make([]time.Duration, 0, 1<<16)
	for until := time.Now().Add(time.Duration(milliseconds) * time.Millisecond); time.Now().Before(until); {
		prepare()
		start := time.Now()
		run()
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	fmt.Println(times[len(times)/2].Nanoseconds() / groups)
}

func measureEncode(milliseconds int) {
	encoder := newEncoder(data, parity, 0)
	datagrams := make([][]byte, groups*data)
	for n := range datagrams {
		datagrams[n] = datagram(n)
	}
	made := 0
	measure(milliseconds, func() {}, func() {
		for _, datagram := range datagrams {
			made += len(encode(encoder, datagram, latency))
		}
	})
	if made == 0 {
		fail("no parity was made")
	}
}

// The shards of three groups that arrive when the first `lost` data shards of each don't.
func shards(lost int) [][]byte {
	encoder := newEncoder(data, parity, 0)
	var arrive [][]byte
	for n := range groups * data {
		datagram := datagram(n)
		shards := encode(encoder, datagram, latency)
		if n%data >= lost {
			arrive = append(arrive, datagram)
		}
		for _, shard := range shards {
			arrive = append(arrive, slices.Clone(shard))
		}
	}
	return arrive
}

func measureDecode(milliseconds, lost int) {
	decoder := newDecoder(data, parity)
	arrive := shards(lost)
	first, recovered, rounds := uint32(0), 0, 0
	measure(milliseconds, func() {
		// New groups each time.
		for _, shard := range arrive {
			seqid := binary.LittleEndian.Uint32(shard)
			binary.LittleEndian.PutUint32(shard, seqid%(groups*(data+parity))+first)
		}
		first += groups * (data + parity)
		rounds++
	}, func() {
		for _, shard := range arrive {
			for _, segments := range decode(decoder, shard) {
				recovered++
				_ = putBack(pool, segments)
			}
		}
	})
	if recovered != rounds*groups*lost {
		fail("not all was recovered")
	}
}

func measureCodec(milliseconds, lost int) {
	codec, err := reedsolomon.New(data, parity)
	if err != nil {
		fail(err.Error())
	}
	var sets [groups][][]byte
	for set := range sets {
		sets[set] = make([][]byte, data+parity)
		for n := range sets[set] {
			// As in the shard cache: 6 bytes into a buffer.
			sets[set][n] = datagram(set*data + n)[6:]
		}
		if err := codec.Encode(sets[set]); err != nil {
			fail(err.Error())
		}
	}
	measure(milliseconds, func() {
		for _, set := range sets {
			for n := range lost {
				set[n] = set[n][:0]
			}
		}
	}, func() {
		for _, set := range sets {
			if lost == 0 {
				err = codec.Encode(set)
			} else {
				err = codec.ReconstructData(set)
			}
			if err != nil {
				fail(err.Error())
			}
		}
	})
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: kcp-go-fec WHAT MILLISECONDS")
	}
	milliseconds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fail(err.Error())
	}
	what, isCodec := strings.CutPrefix(os.Args[1], "codec-")
	lost := map[string]int{"encode": 0, "lossless": 0, "lost1": 1, "lost3": 3}
	count, known := lost[what]
	switch {
	case !known:
		fail("no measurement " + os.Args[1])
	case isCodec:
		measureCodec(milliseconds, count)
	case what == "encode":
		measureEncode(milliseconds)
	default:
		measureDecode(milliseconds, count)
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
