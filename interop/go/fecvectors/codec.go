package main

import (
	"unsafe"

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
