// Package certificate has the certificate of all gates that serve HTTPS to a test. The browser is told to trust its key:
// what came with a certificate that it does not trust, a browser never keeps in its cache.
package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// pair is a self-signed certificate with its key.
type pair struct {
	cert, key, public []byte // DER
}

var made = sync.OnceValues(func() (p pair, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return p, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test's gate"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost", "*.test", "*.gate.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if p.cert, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key); err != nil {
		return p, err
	}
	if p.key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return p, err
	}
	p.public, err = x509.MarshalPKIXPublicKey(&key.PublicKey)
	return p, err
})

// Write writes certificate and key to files in dir, and returns their paths.
func Write(dir string) (cert, key string, err error) {
	p, err := made()
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := write(cert, "CERTIFICATE", p.cert); err != nil {
		return "", "", err
	}
	return cert, key, write(key, "PRIVATE KEY", p.key)
}

func write(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// Fingerprint returns what Chromium's flag ignore-certificate-errors-spki-list takes.
func Fingerprint() (string, error) {
	p, err := made()
	sum := sha256.Sum256(p.public)
	return base64.StdEncoding.EncodeToString(sum[:]), err
}
