//go:build v561

package main

import (
	"errors"

	kcp "github.com/xtaci/kcp-go/v5"
)

func aesGCM([]byte) (kcp.BlockCrypt, error) { return nil, errors.New("5.6.1 has no AES-GCM") }
