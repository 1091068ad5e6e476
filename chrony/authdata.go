package chrony

import "time"

// An AuthMode is the authentication of a source.
type AuthMode uint16

// The values of an AuthMode.
const (
	AuthNone      AuthMode = iota
	AuthSymmetric          // with a shared key
	AuthNTS                // Network Time Security (RFC 8915)
)

// String returns the name of the mode.
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

// AuthData is a row of chronyc authdata: the authentication of one source. chronyd has
// it from 4.0 on.
type AuthData struct {
	Mode    AuthMode
	KeyID   uint32 // ID of a symmetric key, or number of key establishments with NTS
	KeyType uint16 // algorithm: chrony's number of a hash, or the AEAD ID of NTS
	KeyBits uint16

	KEAttempts   uint16        // failed key establishment attempts since the last success
	LastKE       time.Duration // time since the last key establishment, in whole seconds, or Never
	Cookies      uint16        // cookies left
	CookieLength uint16        // bytes
	NAK          bool          // the server rejected the cookie of the last request
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
