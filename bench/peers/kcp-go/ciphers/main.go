// Measures one cipher of kcp-go in one direction: what a session of its does with a datagram that it sends or that has
// come, by the exported parts of kcp-go, on batches of 44 datagrams of 1,400 bytes. Prints the median of the batches'
// times in nanoseconds.
//
//	kcp-go-ciphers CIPHER seal|open MILLISECONDS
package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xtaci/kcp-go/v5"
)

const (
	datagramSize = 1400
	batchSize    = 44
	nonceSize    = 16
	headerSize   = 20
)

// What a session calls of an AEAD BlockCrypt.
type aead interface {
	kcp.BlockCrypt
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
	NonceSize() int
	Overhead() int
}

func create(name string) (kcp.BlockCrypt, error) {
	key := make([]byte, 32)
	for n := range key {
		key[n] = byte(n + 1)
	}
	switch name {
	case "aes":
		return kcp.NewAESBlockCrypt(key)
	case "aes-192":
		return kcp.NewAESBlockCrypt(key[:24])
	case "aes-128":
		return kcp.NewAESBlockCrypt(key[:16])
	case "aes-128-gcm", "aes-192-gcm", "aes-256-gcm":
		bits, err := strconv.Atoi(name[4:7])
		if err != nil {
			return nil, err
		}
		return kcp.NewAESGCMCrypt(key[:bits/8])
	case "salsa20":
		return kcp.NewSalsa20BlockCrypt(key)
	case "sm4":
		return kcp.NewSM4BlockCrypt(key[:16])
	case "blowfish":
		return kcp.NewBlowfishBlockCrypt(key)
	case "twofish":
		return kcp.NewTwofishBlockCrypt(key)
	case "cast5":
		return kcp.NewCast5BlockCrypt(key[:16])
	case "3des":
		return kcp.NewTripleDESBlockCrypt(key[:24])
	case "tea":
		return kcp.NewTEABlockCrypt(key[:16])
	case "xtea":
		return kcp.NewXTEABlockCrypt(key[:16])
	case "xor":
		return kcp.NewSimpleXORBlockCrypt(key)
	case "none":
		return kcp.NewNoneBlockCrypt(key)
	}
	return nil, fmt.Errorf("no cipher %q", name)
}

// As UDPSession.postProcess.
func seal(block kcp.BlockCrypt, entropy io.Reader, datagram []byte) {
	if aead, ok := block.(aead); ok {
		nonce := datagram[:aead.NonceSize()]
		_, _ = io.ReadFull(entropy, nonce)
		aead.Seal(nonce, nonce, datagram[len(nonce):len(datagram)-aead.Overhead()], nil)
		return
	}
	_, _ = io.ReadFull(entropy, datagram[:nonceSize])
	binary.LittleEndian.PutUint32(datagram[nonceSize:], crc32.ChecksumIEEE(datagram[headerSize:]))
	block.Encrypt(datagram, datagram)
}

// As UDPSession.packetInput.
func open(block kcp.BlockCrypt, datagram []byte) bool {
	if aead, ok := block.(aead); ok {
		sealed := datagram[aead.NonceSize():]
		_, err := aead.Open(sealed[:0], datagram[:aead.NonceSize()], sealed, nil)
		return err == nil
	}
	block.Decrypt(datagram, datagram)
	return crc32.ChecksumIEEE(datagram[headerSize:]) == binary.LittleEndian.Uint32(datagram[nonceSize:])
}

func main() {
	if len(os.Args) != 4 || !slices.Contains([]string{"seal", "open"}, os.Args[2]) {
		fail(fmt.Errorf("usage: kcp-go-ciphers CIPHER seal|open MILLISECONDS"))
	}
	block, err := create(strings.ToLower(os.Args[1]))
	if err != nil {
		fail(err)
	}
	milliseconds, err := strconv.Atoi(os.Args[3])
	if err != nil {
		fail(err)
	}
	entropy := kcp.NewEntropy()
	plain := make([]byte, batchSize*datagramSize)
	for n := range plain {
		plain[n] = byte(n*7 + n/251)
	}
	sealed := slices.Clone(plain)
	for at := 0; at < len(sealed); at += datagramSize {
		seal(block, entropy, sealed[at:at+datagramSize:at+datagramSize])
	}
	work := make([]byte, len(plain))
	times := make([]time.Duration, 0, 1<<16)
	for until := time.Now().Add(time.Duration(milliseconds) * time.Millisecond); time.Now().Before(until); {
		ok := true
		if os.Args[2] == "seal" {
			copy(work, plain)
			start := time.Now()
			for at := 0; at < len(work); at += datagramSize {
				seal(block, entropy, work[at:at+datagramSize:at+datagramSize])
			}
			times = append(times, time.Since(start))
		} else {
			copy(work, sealed)
			start := time.Now()
			for at := 0; at < len(work); at += datagramSize {
				ok = open(block, work[at:at+datagramSize:at+datagramSize]) && ok
			}
			times = append(times, time.Since(start))
		}
		if !ok {
			fail(fmt.Errorf("a datagram did not open"))
		}
	}
	slices.Sort(times)
	fmt.Println(times[len(times)/2].Nanoseconds())
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
