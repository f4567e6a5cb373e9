// kcp-go's own FEC codec, for the tests of sendoff.
//
//	fecvectors                       prints known answers, for sendoff-proto
//	fecvectors decode DATA PARITY    reads shards, one a line in hexadecimal, and prints what its decoder recovers:
//	                                 the shard's segments, cut at the size field; an empty line ends each shard's
//
//	go run ./fecvectors > ../../crates/sendoff-proto/tests/vectors/fec-kcp-go.txt
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"strconv"
)

const headerSize = 8

// kcp-go's session calls it with this.
const maxLatency = 500

var ratios = [][2]int{{10, 3}, {1, 1}, {3, 2}, {2, 1}, {1, 4}, {10, 10}, {20, 7}, {128, 127}, {254, 1}, {1, 254}}

// The length of the segments of datagram n.
var sizes = []struct {
	name   string
	length func(n int) int
}{
	{"equal", func(int) int { return 1392 }},
	{"least", func(int) int { return 24 }},
	{"mixed", func(n int) int { return 24 + (n*n*37+n*11)%1350 }},
}

const groups = 3

func main() {
	log.SetFlags(0)
	switch {
	case len(os.Args) == 1:
		vectors()
	case len(os.Args) == 4 && os.Args[1] == "decode":
		data, err1 := strconv.Atoi(os.Args[2])
		parity, err2 := strconv.Atoi(os.Args[3])
		if err1 != nil || err2 != nil {
			log.Fatal("DATA and PARITY must be numbers")
		}
		recoverAll(data, parity)
	default:
		log.Fatal("usage: fecvectors [decode DATA PARITY]")
	}
}

func vectors() {
	for _, ratio := range ratios {
		for _, size := range sizes {
			encoder := newEncoder(ratio[0], ratio[1], 0)
			for n := range groups * ratio[0] {
				datagram := make([]byte, headerSize+size.length(n))
				for at := range datagram[headerSize:] {
					datagram[headerSize+at] = byte(at*7 + at/251 + n*13)
				}
				shards := encode(encoder, datagram, maxLatency)
				if len(shards) == 0 {
					continue
				}
				digest := sha256.New()
				for _, shard := range shards {
					digest.Write(shard)
				}
				fmt.Printf("%d/%d %s seqid=%d length=%d sha256=%x\n", ratio[0], ratio[1], size.name,
					binary.LittleEndian.Uint32(shards[0]), len(shards[0]), digest.Sum(nil))
			}
		}
	}
}

func recoverAll(data, parity int) {
	decoder := newDecoder(data, parity)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<18)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		shard, err := hex.DecodeString(in.Text())
		if err != nil || len(shard) < headerSize {
			log.Fatalf("no shard: %q", in.Text())
		}
		for _, recovered := range decode(decoder, shard) {
			// As UDPSession.kcpInput does it.
			if size := int(binary.LittleEndian.Uint16(recovered)); size >= 2 && size <= len(recovered) {
				fmt.Fprintln(out, hex.EncodeToString(recovered[2:size]))
			}
		}
		fmt.Fprintln(out)
	}
	if err := in.Err(); err != nil {
		log.Fatal(err)
	}
}
