// Prints known answers of kcp-go's ciphers, for the tests of sendoff-proto: datagrams that kcp-go's own
// BlockCrypt has sealed, laid out as its sessions do it, and keys as kcptun derives them.
//
//	go run ./vectors > ../../crates/sendoff-proto/tests/vectors/kcp-go.txt
//	go run -modfile=v561.mod -tags v561 ./vectors
//
// Both versions print the same, but that 5.6.1 has no AEAD.
package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log"

	kcp "github.com/xtaci/kcp-go/v5"
	"golang.org/x/crypto/pbkdf2"
)

type blockMode struct {
	name   string
	keyLen int
	create func([]byte) (kcp.BlockCrypt, error)
}

var blockModes = []blockMode{
	{"aes", 32, kcp.NewAESBlockCrypt},
	{"aes-192", 24, kcp.NewAESBlockCrypt},
	{"aes-128", 16, kcp.NewAESBlockCrypt},
	{"salsa20", 32, kcp.NewSalsa20BlockCrypt},
	{"sm4", 16, kcp.NewSM4BlockCrypt},
	{"blowfish", 32, kcp.NewBlowfishBlockCrypt},
	{"twofish", 32, kcp.NewTwofishBlockCrypt},
	{"cast5", 16, kcp.NewCast5BlockCrypt},
	{"3des", 24, kcp.NewTripleDESBlockCrypt},
	{"tea", 16, kcp.NewTEABlockCrypt},
	{"xtea", 16, kcp.NewXTEABlockCrypt},
	{"xor", 32, kcp.NewSimpleXORBlockCrypt},
	{"none", 0, kcp.NewNoneBlockCrypt},
}

// Lengths of plaintexts: around the ends of blocks of 8 and 16 bytes behind a header of 20, and the longest
// that kcp-go sends. Of datagrams longer than these the digest is printed.
var lengths = []int{0, 1, 3, 4, 5, 11, 12, 13, 24, 53, 100, 508, 1480}

const printedWhole = 128

var secrets = []string{
	"",
	"it's a secrect",
	"correct horse",
	"schlüssel",
	"a secret that is longer than the sixty-four bytes of one block of SHA-1, and is hashed first",
}

// The byte at n of every plaintext.
func plaintext(length int) []byte {
	data := make([]byte, length)
	for n := range data {
		data[n] = byte(n*7 + n/251)
	}
	return data
}

// Bytes that differ from case to case: SHA-256 of the label and a number, joined.
func bytes(label string, length int) []byte {
	var out []byte
	for n := byte(0); len(out) < length; n++ {
		sum := sha256.Sum256(append([]byte(label), n))
		out = append(out, sum[:]...)
	}
	return out[:length]
}

func main() {
	for _, secret := range secrets {
		key := pbkdf2.Key([]byte(secret), []byte("kcp-go"), 4096, 32, sha1.New)
		fmt.Printf("secret key=%x from=%x\n", key, secret)
	}
	for _, mode := range blockModes {
		key := bytes("key of "+mode.name, mode.keyLen)
		block, err := mode.create(key)
		if err != nil {
			log.Fatalf("%s: %v", mode.name, err)
		}
		for _, length := range lengths {
			seal(mode.name, key, block, length)
		}
	}
	gcm()
}

// As a session does it (postProcess): nonce, CRC-32 of what follows, all of it encrypted.
func seal(name string, key []byte, block kcp.BlockCrypt, length int) {
	nonce := bytes(fmt.Sprintf("nonce of %s %d", name, length), 16)
	datagram := append(append([]byte{}, nonce...), 0, 0, 0, 0)
	datagram = append(datagram, plaintext(length)...)
	binary.LittleEndian.PutUint32(datagram[16:], crc32.ChecksumIEEE(datagram[20:]))
	block.Encrypt(datagram, datagram)
	show(name, key, datagram[:16], length, datagram)
}

// first: the bytes of the datagram that a sender chooses, as they are on the wire.
func show(name string, key, first []byte, length int, datagram []byte) {
	if len(datagram) > printedWhole {
		fmt.Printf("%s key=%x first=%x length=%d sha256=%x\n", name, key, first, length, sha256.Sum256(datagram))
	} else {
		fmt.Printf("%s key=%x first=%x length=%d sealed=%x\n", name, key, first, length, datagram)
	}
}
