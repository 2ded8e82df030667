package password

import (
	"strings"
	"testing"
)

// vectors were made by other programs: Werkzeug, npm bcrypt, passlib, the reference implementation of argon2, and
// OpenSSL (through Python's hashlib).
var vectors = []struct{ format, password, encoded string }{
	{"argon2id", "password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"},
	{"argon2id", "password", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"},
	{"argon2id", "password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"},

	{"bcrypt", "testuse123", "$2b$12$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AXJq"},
	{"bcrypt", "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
	{"bcrypt", "U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},

	{"scrypt", "EnvPw1", "scrypt:32768:8:1$abcdefghijklmnop$b6c0f442a87e32497a30a4e60ea7dedfe62d90761c21855391eb5fc4da984dc27511201bccee13aa5277d1108619624826e3935b32066adff1470b923e0c01f5"},
	{"scrypt", "x", "scrypt:1024:8:1$NaCl$c7a59c7a2d0c55209f21f81d8431748e46bd25575904152b53644527f4d48af80485050de787261bd874cd3d84f14579d385d0413c323ec5e768fa9b94966e11"},
	{"scrypt", "x", "scrypt$NaCl$df21e30f725465db1e5c447735e84d7d773c9dceb3a9f06d1bc8d37da22dc1ce5db050f6e9820f492450696b823b61e34eb9eb19ae9a10ace2849c8f9b54ef6f"},
	{"scrypt", "pleaseletmein", "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw"},
	{"scrypt", "password", "$scrypt$ln=10,r=8,p=16$TmFDbDEyMzQ$xenKSQCT6pUhV5JMCeVkB4DFL2sFgGs5kjmA8uRcxiU"},

	{"pbkdf2-sha256", "EnvPw1", "pbkdf2:sha256:600000$abcdefgh12345678$5e308ee52d8182be4ddb2d5bb0d08e22e6dc0adee6e3fbfbec24f047153ae8f9"},
	{"pbkdf2-sha256", "Pässwörd ✓", "pbkdf2:sha256:1000000$abcdefgh12345678$a000c61ef7c1fbf5a17b3bc475ca99aa585261ef852942cfadfeeb7a82e7b22c"},
	{"pbkdf2-sha512", "x", "pbkdf2:sha512:1000$NaCl$7e54bb1c65677883eb3fad461f4f5d71ba8488d55441625891837d12a5345d960c8e4d50428f2d97f682bfb03f22d1d1ee97cd98cdbb28c6c7497413768da7de"},
	{"pbkdf2-sha1", "x", "pbkdf2:sha1:1000$NaCl$37752880fc7847c2b219d478ea51362eb5eb930a"},
	{"pbkdf2-sha256", "password", "$pbkdf2-sha256$6400$0ZrzXitFSGltTQnBWOsdAw$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M"},
	{"pbkdf2-sha256", "password", "$pbkdf2-sha256$6400$.6UI/S.nXIk8jcbdHx3Fhg$98jZicV16ODfEsEZeYPGHU3kbrUrvUEXOPimVSQDD44"},
	{"pbkdf2-sha1", "password", "$pbkdf2$1000$........c2FsdA$rftDGAd3YF.uEPDad.iwLHJbwFw"},
	{"pbkdf2-sha512", "password", "$pbkdf2-sha512$i=1000,l=32$c2FsdHNhbHQ$Q6v4xwJ8a9nWPp2BeEoAYYhHSo2xRmPWART17vTpSxs"},
	{"pbkdf2-sha256", "Pässwörd ✓", "$pbkdf2-sha256$i=1000$c2FsdHNhbHQ$ZbkxloHq9M6+ws9v90u1AiQl39IIsaXD+dpDiNvDQzE"},
}

func TestHashesOfOtherProgramsAreVerifiedAndOutdated(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	for _, v := range vectors {
		format, err := Identify(v.encoded)
		if format != v.format || err != nil {
			t.Errorf("%.20s: format %q, %v", v.encoded, format, err)
		}
		ok, outdated, err := h.Verify(t.Context(), v.encoded, v.password)
		if !ok || !outdated || err != nil {
			t.Errorf("%.20s: ok %t, outdated %t, %v", v.encoded, ok, outdated, err)
		}
		if parsed, err := parse(v.encoded); err != nil || !affordable(t, parsed) {
			continue // the same code as for its cheaper sisters
		}
		for _, other := range []string{v.password + "x", strings.ToUpper(v.password) + "X", ""} {
			if ok, _, err := h.Verify(t.Context(), v.encoded, other); ok || err != nil {
				t.Errorf("%.20s: another password: ok %t, %v", v.encoded, ok, err)
			}
		}
	}
}

// Every single character of a hash matters: a flipped one makes another hash or none.
func TestChangedHashesDoNotMatch(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	own := mustHash(t, h, "password")
	for i := range len(own) {
		for _, c := range []byte("A$=, 9\n") {
			if own[i] == c {
				continue
			}
			changed := own[:i] + string(c) + own[i+1:]
			if parsed, err := parse(changed); err == nil && parsed.(argon2idHash).params.MemoryKiB > 1<<14 {
				continue // a larger cost is another hash; no need to spend it here
			}
			if ok, _, err := h.Verify(t.Context(), changed, "password"); ok || err != nil {
				t.Errorf("%q: ok %t, %v", changed, ok, err)
			}
		}
		if ok, _, err := h.Verify(t.Context(), own[:i], "password"); ok || err != nil {
			t.Errorf("%q: ok %t, %v", own[:i], ok, err)
		}
	}
}

// malformed is what a store or an environment may hold instead of a hash. None of it is an error page, a panic, a
// gigabyte of memory, or a match.
var malformed = []string{
	"", " ", "unused-hash", "a$b", "a$b$c", "$", "$$", "$$$", "*", "!", "x", "plain$$password", "sha256$salt$5e884898", "md5$a$b",
	"$1$salt$hash", "$5$rounds=5000$salt$hash", "$6$salt$hash", "$7$x", "$y$j9T$salt$hash", "{SSHA}x",

	"$argon2id", "$argon2id$", "$argon2id$v=19", "$argon2id$v=19$", "$argon2id$v=19$m=256,t=2,p=1", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
	"$argon2id$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",          // version 0x10
	"$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",     // the same
	"$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",      // another kind
	"$argon2d$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",      // another kind
	"$argon2id$v=19$t=2,m=256,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",     // order
	"$argon2id$v=19$m=256,t=2$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",         // p is missing
	"$argon2id$v=19$m=256,t=2,p=1,x=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", // one too many
	"$argon2id$v=19$m=0256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",    // another spelling
	"$argon2id$v=19$m=+256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",    // another spelling
	"$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",     // would panic
	"$argon2id$v=19$m=256,t=2,p=0$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",     // would panic
	"$argon2id$v=19$m=256,t=2,p=256$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",   // 0 in a byte
	"$argon2id$v=19$m=4,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",       // under 8 KiB per lane
	"$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"$argon2id$v=19$m=4294967296,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"$argon2id$v=19$m=1048577,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"$argon2id$v=19$m=1048576,t=64,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"$argon2id$v=19$m=256,t=4294967295,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"$argon2id$v=19$m=65536,t=2,p=65$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$",
	"$argon2id$v=19$m=256,t=2,p=1$$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"$argon2id$v=19$m=256,t=2,p=1$c29t$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",            // salt of 3 bytes
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf4",                                             // tag of 2 bytes: every 65536th password
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4=",    // padding
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/5",     // spare bits
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR_uIPnA4rEsF5h7TKyQwu9U1bMCHGi_4",     // URL alphabet
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\n",   // line break
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIP\nnA4rEsF5h7TKyQwu9U1bMCHGi/4",   // line break
	" $argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",    // space
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4$",    // one too many
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\x00", // NUL
	"argon2id=19=256,t=2,p=1", // $-mangled by Compose
	"$ARGON2ID$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",

	"$2b$", "$2b$12", "$2b$12$", "$2$12$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AXJq", "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
	"$2b$17$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AXJq", "$2b$31$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AXJq", "$2b$99$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AXJq",
	"$2b$03$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AXJq", "$2b$00$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AXJq", "$2b$5$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWx",
	"$2b$12$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AXJ", "$2b$12$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AXJqq", "$2b$12$6uBdJ01URu.UR4UBq4uvjOba7QwwRpHISxc2LYedrzl7ATny0AX-q",

	"scrypt:3:8:1$a$b", "scrypt:0:8:1$a$" + hex64, "scrypt:1:8:1$a$" + hex64, "scrypt:3:8:1$a$" + hex64, "scrypt:32768:0:1$a$" + hex64, "scrypt:32768:8:0$a$" + hex64,
	"scrypt:-2:8:1$a$" + hex64, "scrypt:32768:8$a$" + hex64, "scrypt:32768:8:1:1$a$" + hex64, "scrypt:32768:8:1$$" + hex64, "scrypt:32768:8:1$a$b$" + hex64,
	"scrypt:32768:8:1$a$" + hex64[:126], "scrypt:32768:8:1$a$" + strings.ToUpper(hex64), "scrypt:32768:8:1$a$" + hex64[:127] + "g",
	"scrypt:2097152:8:1$a$" + hex64, "scrypt:1048576:16:1$a$" + hex64, "scrypt:1048576:8:3$a$" + hex64, "scrypt:2:4294967295:1$a$" + hex64, "scrypt:2:8:4294967295$a$" + hex64,
	"scrypt:1073741824:8:1$a$" + hex64, "scrypt:9223372036854775808:8:1$a$" + hex64, "scrypt:2:16777216:16777216$a$" + hex64,
	"$scrypt$ln=0,r=8,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "$scrypt$ln=31,r=8,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"$scrypt$ln=64,r=8,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "$scrypt$ln=21,r=8,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",

	"pbkdf2:..$a$b$c", "pbkdf2$a$b", "pbkdf2:sha256$salt$" + hex64[:64], "pbkdf2:sha256:0$salt$" + hex64[:64], "pbkdf2:sha256:-1$salt$" + hex64[:64], "pbkdf2:sha256:10000001$salt$" + hex64[:64],
	"pbkdf2:md5:1000$salt$" + hex64[:32], "pbkdf2:sha256:1000$salt$" + hex64[:62], "pbkdf2:sha256:1000$salt$" + hex64, "pbkdf2:sha256:1000$$" + hex64[:64], "pbkdf2::1000$salt$" + hex64[:64],
	"pbkdf2:sha256:1000:1$salt$" + hex64[:64], "pbkdf2:sha256:01000$salt$" + hex64[:64], "$pbkdf2-md5$1000$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "$pbkdf2-sha256$i=0$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
	"$pbkdf2-sha256$i=1000,l=99$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "$pbkdf2-sha256$l=16,i=1000$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "$pbkdf2-sha256$1000$$nf65EOgLrQMR/uIPnA4rEg",
	"$pbkdf2-sha256$1000$c29tZXNhbHQ$", "$pbkdf2-sha256$4294967296$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg", "$pbkdf2-sha256$$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
	"pbkdf2:sha256:1000$" + strings.Repeat("s", 129) + "$" + hex64[:64], "scrypt:2:8:1$" + strings.Repeat("s", 2000) + "$" + hex64,
}

const hex64 = "c7a59c7a2d0c55209f21f81d8431748e46bd25575904152b53644527f4d48af80485050de787261bd874cd3d84f14579d385d0413c323ec5e768fa9b94966e11"

func TestMalformedHashesNeverMatchAndAreNoError(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	for _, encoded := range malformed {
		if format, err := Identify(encoded); err == nil {
			t.Errorf("%q is taken for %s", encoded, format)
		}
		for _, password := range []string{"password", "", "x", encoded} {
			if ok, outdated, err := h.Verify(t.Context(), encoded, password); ok || outdated || err != nil {
				t.Errorf("%q: ok %t, outdated %t, %v", encoded, ok, outdated, err)
			}
		}
	}
}

// P-SECRETS: somebody may have put the password where the hash belongs.
func TestIdentifyNeverRepeatsTheValue(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "$argon2id$", "$2b$12$", "scrypt:", "pbkdf2:sha256:"} {
		_, err := Identify(prefix + "CANARY")
		if err == nil || strings.Contains(err.Error(), "CANARY") || !strings.Contains(err.Error(), "argon2id") {
			t.Errorf("%v", err)
		}
	}
}

// bcrypt ignores what comes after 72 bytes: everything with the same beginning would match.
func TestLongPasswordsNeverMatchABcryptHash(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	long := strings.Repeat("a", 72)
	encoded := bcryptOf(t, long)
	if ok, outdated, err := h.Verify(t.Context(), encoded, long); !ok || !outdated || err != nil {
		t.Fatalf("72 bytes: ok %t, outdated %t, %v", ok, outdated, err)
	}
	for _, other := range []string{long + "a", long + "b", long[:71]} {
		if ok, _, err := h.Verify(t.Context(), encoded, other); ok || err != nil {
			t.Errorf("%d bytes: ok %t, %v", len(other), ok, err)
		}
	}
}

// Werkzeug uses the text of the salt, not what it may encode; hashing with the decoded bytes would never match.
func TestWerkzeugSaltIsText(t *testing.T) {
	t.Parallel()
	parsed, err := parse("pbkdf2:sha1:1000$4e61436c$37752880fc7847c2b219d478ea51362eb5eb930a")
	if err != nil {
		t.Fatal(err)
	}
	if salt := string(parsed.(pbkdf2Hash).salt); salt != "4e61436c" {
		t.Errorf("salt %q", salt)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	h := newTestHasher()
	salt := h.NewFingerprintSalt()
	other := h.NewFingerprintSalt()
	get := func(h *Hasher, salt string, secrets ...string) string {
		t.Helper()
		fp, err := h.Fingerprint(t.Context(), salt, secrets...)
		if err != nil {
			t.Fatal(err)
		}
		return fp
	}
	same := get(h, salt, "admin", "password")
	stronger := NewHasher(Params{MemoryKiB: 128, Time: 2, Threads: 1}, nil)
	if got := get(stronger, salt, "admin", "password"); got != same {
		t.Error("other parameters of hashes make another fingerprint")
	}
	for name, fp := range map[string]string{
		"salt": get(h, other, "admin", "password"), "secret": get(h, salt, "admin", "passwore"), "user": get(h, salt, "admin2", "password"),
		"boundary": get(h, salt, "adminp", "assword"), "one text": get(h, salt, "adminpassword"),
	} {
		if fp == same {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
	for _, bad := range []string{"", "x", "$argon2id$v=19$m=64,t=1,p=1", "$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA", salt + "$", salt + "\n", salt[1:]} {
		if fp, err := h.Fingerprint(t.Context(), bad, "x"); err == nil || fp != "" {
			t.Errorf("salt %q: %q, %v", bad, fp, err)
		}
	}
}

// FuzzPHC: whatever is stored, checking it does not panic, stays within the ceilings, and does not match a password
// that nobody hashed.
func FuzzPHC(f *testing.F) {
	if len(vectors) == 0 || len(malformed) == 0 {
		f.Fatal("no seeds")
	}
	for _, v := range vectors {
		f.Add(v.encoded)
	}
	for _, encoded := range malformed {
		f.Add(encoded)
	}
	h := newTestHasher()
	f.Fuzz(func(t *testing.T, encoded string) {
		format, err := Identify(encoded)
		if (err == nil) != (format != "") {
			t.Fatalf("format %q, %v", format, err)
		}
		parsed, parseErr := parse(encoded)
		if (parseErr == nil) != (err == nil) {
			t.Fatalf("parse %v, Identify %v", parseErr, err)
		}
		if parseErr == nil && !affordable(t, parsed) {
			return // within the ceilings, but too slow to do for each input
		}
		if ok, outdated, err := h.Verify(t.Context(), encoded, "QZXJ7-nobody-hashed-this"); ok || outdated || err != nil {
			t.Fatalf("ok %t, outdated %t, %v", ok, outdated, err)
		}
	})
}

// affordable asserts the ceilings, and reports whether a check is quick.
func affordable(t *testing.T, parsed hash) bool {
	t.Helper()
	bad := func(format string, args ...any) { t.Helper(); t.Fatalf(format, args...) }
	switch p := parsed.(type) {
	case argon2idHash:
		if !p.params.withinCeilings() || p.params.MemoryKiB > 1<<20 || p.params.Time > 64 || len(p.tag) > 128 || len(p.tag) < 16 || len(p.salt) < 8 || len(p.salt) > 128 {
			bad("%+v", p)
		}
		return p.params.MemoryKiB*p.params.Time <= 4096
	case bcryptHash:
		if p[4] > '1' || (p[4] == '1' && p[5] > '6') {
			bad("%s", p)
		}
		return p[4] == '0' && p[5] <= '5'
	case scryptHash:
		if int64(p.n)*int64(p.r)*128 > 1<<30 || int64(p.n)*int64(p.r)*int64(p.p) > 1<<24 || len(p.tag) < 16 || len(p.tag) > 128 || len(p.salt) == 0 {
			bad("%+v", p)
		}
		return p.n*p.r*p.p <= 1<<15
	case pbkdf2Hash:
		if p.iterations < 1 || p.iterations > 10_000_000 || len(p.tag) < 16 || len(p.tag) > 128 || len(p.salt) == 0 {
			bad("%+v", p)
		}
		return p.iterations <= 10_000
	}
	bad("unknown format %T", parsed)
	return false
}
