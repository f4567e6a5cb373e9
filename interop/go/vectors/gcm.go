//go:build !v561

package main

import (
	"fmt"
	"log"

	kcp "github.com/xtaci/kcp-go/v5"
)

// What kcp-go's sessions call of an AEAD BlockCrypt.
type aead interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
}

func gcm() {
	for _, keyLen := range []int{16, 24, 32} {
		name := fmt.Sprintf("aes-%d-gcm", keyLen*8)
		key := bytes("key of "+name, keyLen)
		block, err := kcp.NewAESGCMCrypt(key)
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		for _, length := range lengths {
			// As a session does it (postProcess): sealed in place behind the nonce.
			datagram := append(bytes(fmt.Sprintf("nonce of %s %d", name, length), 12), plaintext(length)...)
			datagram = append(make([]byte, 0, len(datagram)+16), datagram...)
			nonce := datagram[:12]
			datagram = block.(aead).Seal(nonce, nonce, datagram[12:], nil)
			show(name, key, nonce, length, datagram)
		}
	}
}
