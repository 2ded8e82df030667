package passkey

import "github.com/gatehouse-auth/gatehouse/store"

// providers are what well-known AAGUIDs stand for. They name a passkey for its owner, and decide nothing: without
// attestation an authenticator may say what it likes.
var providers = map[string]string{
	"08987058cadc4b81b6e130de50dcbe96": "Windows Hello",
	"9ddd1817af5a4672a2b93e3dd95000a9": "Windows Hello",
	"6028b017b1d44c02b4b3afcdafc96bb2": "Windows Hello",
	"adce000235bcc60a648b0b25f1f05503": "Chrome on Mac",
	"dd4ec289e01d41c9bb8970fa845d4bf2": "iCloud Keychain",
	"fbfc3007154e4ecc8c0b6e020557d7bd": "iCloud Keychain",
	"ea9b8d664d011d213ce4b6b48cb575d4": "Google Password Manager",
	"b5397666488588aa8f5cbb8a0e1c5fe0": "Edge on Mac",
	"bada5566a7aa401fbd9645619a55122d": "1Password",
	"d548826e79b4db40a3d811116f7e8349": "Bitwarden",
	"531126d6e717415c93203d9aa6981239": "Dashlane",
	"b84e4048158014b3dda8bc8c9a1a1b4d": "Dashlane",
	"0ea242b443c44a1b8b17dd6d0b6baec6": "Keeper",
	"f3809540794149a8b1a17ab1af2fa2c4": "Enpass",
	"fdb141b25d84443e8a354698c205a502": "KeePassXC",
	"50726f746f6e50617373506f746f6e00": "Proton Pass",
	"50726f746f6e5061737350726f746f6e": "Proton Pass",
	"53414d53554e47000000000000000000": "Samsung Pass",
	"ee882879721c491397753dfcce97072a": "YubiKey 5",
	"cb69481e8ff7403993ec0a2729a154a8": "YubiKey 5",
	"2fc0579f811347eab116bb5a8db9202a": "YubiKey 5",
	"fa2b99dc9e3942578f924a30d23c4118": "YubiKey 5",
	"a4e9fc6d4cbe4758b8ba37598bb5bbaa": "Security Key",
}

// Provider returns the name of what made a passkey, "" for what is not known.
func Provider(k store.Passkey) string { return providers[k.AAGUID] }

// Kinds of authenticators whose makers are not known.
const (
	KindDevice = "device" // built into the device
	KindKey    = "key"    // plugged in or held to it
	KindPhone  = "phone"  // a phone beside it
	KindOther  = ""
)

// AuthenticatorKind returns what kind of authenticator made a passkey, as far as its browser says.
func AuthenticatorKind(k store.Passkey) string {
	has := func(transport string) bool {
		for _, t := range k.Transports {
			if t == transport {
				return true
			}
		}
		return false
	}
	switch {
	case k.Attachment == "platform":
		return KindDevice
	case has("usb"), has("nfc"), has("ble"), has("smart-card"):
		return KindKey
	case has("hybrid"):
		return KindPhone
	case has("internal"):
		return KindDevice
	}
	return KindOther
}
