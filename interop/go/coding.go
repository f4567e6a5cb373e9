package main

import (
	"crypto/sha1"
	"log"
	"slices"
	"sync/atomic"

	kcp "github.com/xtaci/kcp-go/v5"
	"golang.org/x/crypto/pbkdf2"
)

// What kcptun makes its keys from; the other side has the same.
const secret = "interoperability has no secrets"

// The ciphers that this peer can be told to use; 5.6.1 has no aes-128-gcm.
var ciphers = []string{"null", "aes", "aes-128", "aes-128-gcm"}

// block makes the cipher that kcptun makes of its name and the secret; nil for null.
func block(o options) kcp.BlockCrypt {
	key := pbkdf2.Key([]byte(secret), []byte("kcp-go"), 4096, 32, sha1.New)
	var made kcp.BlockCrypt
	var err error
	switch o.crypt {
	case "null":
		return nil
	case "aes":
		made, err = kcp.NewAESBlockCrypt(key)
	case "aes-128":
		made, err = kcp.NewAESBlockCrypt(key[:16])
	case "aes-128-gcm":
		made, err = newGCM(key[:16])
	}
	if err != nil || made == nil {
		log.Fatalf("cipher %q (one of %q: %v): %v", o.crypt, ciphers, slices.Contains(ciphers, o.crypt), err)
	}
	return made
}

// emitShards tells what kcp-go has counted of FEC, in this process.
func emitShards() {
	counted := kcp.DefaultSnmp
	emit(map[string]any{
		"event":       "shards",
		"parity":      atomic.LoadUint64(&counted.FECParityShards),
		"recovered":   atomic.LoadUint64(&counted.FECRecovered),
		"errors":      atomic.LoadUint64(&counted.FECErrs),
		"out_of_band": outOfBandReceived(),
	})
}
