package chrony

import "time"

// An AuthMode tells how a source proves who it is.
type AuthMode uint16

// The values of an AuthMode.
const (
	AuthNone      AuthMode = iota
	AuthSymmetric          // with a key that both have
	AuthNTS                // Network Time Security (RFC 8915)
)

// String returns the mode in a word.
func (m AuthMode) String() string {
	switch m {
	case AuthNone:
		return "none"
	case AuthSymmetric:
		return "symmetric"
	case AuthNTS:
		return "nts"
	default:
		return "invalid"
	}
}

// AuthData tells how one source is authenticated: a row of chronyc authdata, from
// 4.0 on.
type AuthData struct {
	Mode    AuthMode
	KeyID   uint32 // of a symmetric key, or how often keys were established by NTS
	KeyType uint16 // the algorithm: chrony's number of a hash, or the AEAD id of NTS
	KeyBits uint16

	KEAttempts   uint16        // failed attempts to establish keys since the last success
	LastKE       time.Duration // since keys were established, in whole seconds, or Never
	Cookies      uint16        // left
	CookieLength uint16        // bytes
	NAK          bool          // the server has refused the last request's cookie
}

func (a *AuthData) decode(_ uint16, b []byte) {
	*a = AuthData{
		Mode:         AuthMode(wireUint16(b)),
		KeyType:      wireUint16(b[2:]),
		KeyID:        wireUint32(b[4:]),
		KeyBits:      wireUint16(b[8:]),
		KEAttempts:   wireUint16(b[10:]),
		LastKE:       wireAge(b[12:]),
		Cookies:      wireUint16(b[16:]),
		CookieLength: wireUint16(b[18:]),
		NAK:          wireUint16(b[20:]) != 0,
	}
}
