package witness

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/beevik/ntp"
)

// A Key authenticates NTP messages with AES-CMAC (RFC 8573).
type Key struct {
	ID  uint32
	key []byte // 16 or 32 bytes
}

// ReadKeys reads a key file in chrony's format (chrony.conf manual, keyfile). The first
// key authenticates this node's requests. Requests of others may use any of them.
func ReadKeys(file string) ([]Key, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

func parseKeys(text []byte) ([]Key, error) {
	var keys []Key
	seen := make(map[uint32]bool)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.ContainsRune("!;#%", rune(line[0])) {
			continue
		}
		key, err := parseKey(strings.Fields(line))
		if err == nil && seen[key.ID] {
			err = fmt.Errorf("there are two keys %d", key.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err) // without the line: it has a secret
		}
		seen[key.ID] = true
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("no keys")
	}
	return keys, nil
}

// keyLengths are the lengths of the types of keys, in bytes.
var keyLengths = map[string]int{"AES128": 16, "AES256": 32}

func parseKey(fields []string) (Key, error) {
	if len(fields) != 3 {
		return Key{}, errors.New("not ID TYPE KEY, as in 1 AES128 HEX:0123…; other types than AES128 and AES256 are not supported")
	}
	id, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil || id == 0 {
		return Key{}, errors.New("the ID must be from 1 to 4294967295")
	}
	length := keyLengths[strings.ToUpper(fields[1])]
	if length == 0 {
		return Key{}, errors.New("the type must be AES128 or AES256; the others are not secure")
	}
	var key []byte
	if digits, ok := strings.CutPrefix(fields[2], "HEX:"); ok {
		if key, err = hex.DecodeString(digits); err != nil {
			return Key{}, errors.New("the key is not hexadecimal")
		}
	} else {
		key = []byte(strings.TrimPrefix(fields[2], "ASCII:"))
	}
	if len(key) != length {
		return Key{}, fmt.Errorf("a key of type %s has %d bytes, not %d", fields[1], length, len(key))
	}
	return Key{ID: uint32(id), key: key}, nil
}

// options returns the options of a request that the key authenticates. Without a key,
// it is not authenticated.
func (k *Key) options() ntp.AuthOptions {
	if k == nil {
		return ntp.AuthOptions{}
	}
	kind := ntp.AuthAES128
	if len(k.key) == 32 {
		kind = ntp.AuthAES256
	}
	return ntp.AuthOptions{Type: kind, Key: "HEX:" + hex.EncodeToString(k.key), KeyID: k.ID}
}

// A cmac computes AES-CMAC (RFC 4493). It is not safe for concurrent use.
type cmac struct {
	block  cipher.Block
	k1, k2 [aes.BlockSize]byte // for a last block that is whole, or not
	sum    [aes.BlockSize]byte
}

func newCMAC(key []byte) (*cmac, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	m := &cmac{block: block}
	block.Encrypt(m.k1[:], m.k1[:])
	double(&m.k1)
	m.k2 = m.k1
	double(&m.k2)
	return m, nil
}

// double multiplies by two in the field of 2^128 elements.
func double(b *[aes.BlockSize]byte) {
	const polynomial = 0x87
	carry := b[0] >> 7
	for i := range b {
		b[i] <<= 1
		if i+1 < len(b) {
			b[i] |= b[i+1] >> 7
		}
	}
	b[len(b)-1] ^= byte(subtle.ConstantTimeSelect(int(carry), polynomial, 0))
}

// of returns the message's authentication code. It is valid until the next call.
func (m *cmac) of(message []byte) []byte {
	clear(m.sum[:])
	for len(message) > aes.BlockSize {
		subtle.XORBytes(m.sum[:], m.sum[:], message[:aes.BlockSize])
		m.block.Encrypt(m.sum[:], m.sum[:])
		message = message[aes.BlockSize:]
	}
	last := m.k1
	if len(message) < aes.BlockSize {
		last = m.k2
		last[len(message)] ^= 0x80
	}
	subtle.XORBytes(last[:], last[:], message)
	subtle.XORBytes(m.sum[:], m.sum[:], last[:])
	m.block.Encrypt(m.sum[:], m.sum[:])
	return m.sum[:]
}
