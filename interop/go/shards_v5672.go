//go:build !v561

package main

import (
	"log"
	"sync/atomic"

	kcp "github.com/xtaci/kcp-go/v5"
)

// echoOutOfBand sends back what comes beside the stream.
func echoOutOfBand(s *kcp.UDPSession) {
	err := s.SetOOBHandler(func(payload []byte) {
		if err := s.SendOOB(payload); err != nil {
			log.Fatal(err)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
}

func outOfBandReceived() uint64 { return atomic.LoadUint64(&kcp.DefaultSnmp.OOBPackets) }
