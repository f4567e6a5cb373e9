// Ciphers and keys as kcptun makes them.
package main

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"log"

	kcp "github.com/xtaci/kcp-go/v5"
)

// cipher is nil for null, so that there is not even a header.
func cipher(o options) kcp.BlockCrypt {
	key, err := pbkdf2.Key(sha1.New, o.secret, []byte("kcp-go"), 4096, 32)
	if err != nil {
		log.Fatal(err)
	}
	var block kcp.BlockCrypt
	switch o.crypt {
	case "null":
		return nil
	case "none":
		block, err = kcp.NewNoneBlockCrypt(key)
	case "xor":
		block, err = kcp.NewSimpleXORBlockCrypt(key)
	case "aes":
		block, err = kcp.NewAESBlockCrypt(key)
	case "aes-192":
		block, err = kcp.NewAESBlockCrypt(key[:24])
	case "aes-128":
		block, err = kcp.NewAESBlockCrypt(key[:16])
	case "aes-128-gcm":
		block, err = aesGCM(key[:16])
	case "aes-192-gcm":
		block, err = aesGCM(key[:24])
	case "aes-256-gcm":
		block, err = aesGCM(key)
	case "salsa20":
		block, err = kcp.NewSalsa20BlockCrypt(key)
	case "sm4":
		block, err = kcp.NewSM4BlockCrypt(key[:16])
	case "blowfish":
		block, err = kcp.NewBlowfishBlockCrypt(key)
	case "twofish":
		block, err = kcp.NewTwofishBlockCrypt(key)
	case "cast5":
		block, err = kcp.NewCast5BlockCrypt(key[:16])
	case "3des":
		block, err = kcp.NewTripleDESBlockCrypt(key[:24])
	case "tea":
		block, err = kcp.NewTEABlockCrypt(key[:16])
	case "xtea":
		block, err = kcp.NewXTEABlockCrypt(key[:16])
	default:
		log.Fatalf("unknown cipher %q", o.crypt)
	}
	if err != nil {
		log.Fatal(err)
	}
	return block
}
