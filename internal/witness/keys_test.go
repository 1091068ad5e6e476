package witness

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	chronytest.Must(t, err)
	return b
}

// TestCMAC uses the test vectors of RFC 4493 and of NIST SP 800-38B.
func TestCMAC(t *testing.T) {
	message := unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	for _, test := range []struct {
		key    string
		length int
		want   string
	}{
		{"2b7e151628aed2a6abf7158809cf4f3c", 0, "bb1d6929e95937287fa37d129b756746"},
		{"2b7e151628aed2a6abf7158809cf4f3c", 16, "070a16b46b4d4144f79bdd9dd04a287c"},
		{"2b7e151628aed2a6abf7158809cf4f3c", 40, "dfa66747de9ae63030ca32611497c827"},
		{"2b7e151628aed2a6abf7158809cf4f3c", 64, "51f0bebf7e3b9d92fc49741779363cfe"},
		{"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", 0, "028962f61b7bf89efc6b551f4667d983"},
		{"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", 64, "e1992190549f6ed5696a2c056c315410"},
	} {
		m, err := newCMAC(unhex(t, test.key))
		chronytest.Must(t, err)
		for range 2 {
			if got := m.of(message[:test.length]); !bytes.Equal(got, unhex(t, test.want)) {
				t.Errorf("%s, %d bytes: %x", test.key, test.length, got)
			}
		}
	}
}

func TestReadKeys(t *testing.T) {
	const aes128, aes256 = "0123456789abcdef", "0123456789abcdef0123456789abcdef"
	for _, test := range []struct {
		text string
		keys []Key // none: it is a mistake
	}{
		{"1 AES128 HEX:30313233343536373839616263646566\n", []Key{{1, []byte(aes128)}}},
		{"# old\n! older\n\n  7\tAES256  ASCII:" + aes256 + "\n1 aes128 " + aes128, []Key{{7, []byte(aes256)}, {1, []byte(aes128)}}},
		{"", nil},
		{"# none\n", nil},
		{"1 secret\n", nil}, // MD5, in chrony
		{"1 SHA1 HEX:30313233343536373839616263646566\n", nil},
		{"0 AES128 " + aes128, nil},
		{"x AES128 " + aes128, nil},
		{"4294967296 AES128 " + aes128, nil},
		{"1 AES128 tooshort", nil},
		{"1 AES256 " + aes128, nil},
		{"1 AES128 HEX:3031323334353637383961626364656z", nil},
		{"1 AES128 " + aes128 + "\n1 AES128 " + aes128, nil},
	} {
		file := filepath.Join(t.TempDir(), "keys")
		chronytest.Must(t, os.WriteFile(file, []byte(test.text), 0o600))
		keys, err := ReadKeys(file)
		if (err == nil) != (test.keys != nil) || len(keys) != len(test.keys) {
			t.Errorf("%q: %d keys, %v", test.text, len(keys), err)
			continue
		}
		for i := range keys {
			if keys[i].ID != test.keys[i].ID || !bytes.Equal(keys[i].key, test.keys[i].key) {
				t.Errorf("%q: %v", test.text, keys[i])
			}
		}
		if err != nil && (strings.Contains(err.Error(), aes128) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%q: the error has the key: %v", test.text, err)
		}
	}
}
