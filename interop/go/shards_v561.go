//go:build v561

package main

import (
	"log"

	kcp "github.com/xtaci/kcp-go/v5"
)

func echoOutOfBand(*kcp.UDPSession) { log.Fatal("kcp-go 5.6.1 knows nothing beside the stream") }

func outOfBandReceived() uint64 { return 0 }
