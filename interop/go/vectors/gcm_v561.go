//go:build v561

package main

// kcp-go 5.6.1 has no AEAD.
func gcm() {}
