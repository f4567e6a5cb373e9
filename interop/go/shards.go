package main

import (
	"sync/atomic"

	kcp "github.com/xtaci/kcp-go/v5"
)

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
