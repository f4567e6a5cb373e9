//go:build v561

package main

import (
	"errors"
	"log"

	kcp "github.com/xtaci/kcp-go/v5"
)

func newGCM([]byte) (kcp.BlockCrypt, error) { return nil, errors.New("kcp-go 5.6.1 has no AEAD") }

func echoOutOfBand(*kcp.UDPSession) { log.Fatal("kcp-go 5.6.1 knows nothing beside the stream") }

func outOfBandReceived() uint64 { return 0 }
