//go:build !v561

package main

import kcp "github.com/xtaci/kcp-go/v5"

func aesGCM(key []byte) (kcp.BlockCrypt, error) { return kcp.NewAESGCMCrypt(key) }
