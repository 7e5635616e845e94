// Verifies an admission token with nothing but Go 1.19.
package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"time"
)

const issuer, event = "http://127.0.0.1:8080", "arena-night"

var algorithms = []string{"EdDSA"}

// Claims of an admission token.
type Claims struct {
	Iss, Aud, Sub, Jti    string
	Iat, Nbf, Exp, Number *int64
}

// Admitted returns the claims of a valid token. Check afterwards that the jti is new.
func Admitted(token string) (*Claims, error) {
	var header struct {
		Alg, Typ, Kid string
		Crit          *json.RawMessage
	}
	claims := new(Claims)
	parts := strings.Split(token, ".")
	if len(parts) != 3 || read(parts[0], &header) != nil || read(parts[1], claims) != nil {
		return nil, errors.New("not a token")
	}
	isSigned, err := verify(header.Kid, header.Alg, parts[0]+"."+parts[1], decode(parts[2]))
	if err != nil {
		return nil, err
	}
	isComplete := claims.Sub != "" && claims.Jti != "" && claims.Iat != nil && claims.Nbf != nil && claims.Exp != nil && claims.Number != nil
	isOurs := header.Typ == "admission+jwt" && header.Crit == nil && claims.Iss == issuer && claims.Aud == event
	if now := time.Now().Unix(); !isSigned || !isComplete || !isOurs || *claims.Exp <= now-5 || *claims.Nbf > now+5 || *claims.Iat > now+5 {
		return nil, errors.New("not an admission token")
	}
	return claims, nil
}

// verify looks for a key in the set, which you may keep for up to five minutes, and checks a signature.
func verify(id, algorithm, text string, signature []byte) (bool, error) {
	answer, err := http.Get(issuer + "/.well-known/jwks.json")
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	var set struct{ Keys []struct{ Kid, Kty, Alg, X, Y string } }
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		return false, err
	}
	number := func(bytes []byte) *big.Int { return new(big.Int).SetBytes(bytes) }
	for _, key := range set.Keys {
		switch {
		case key.Kid != id || key.Alg != algorithm || !isAccepted(algorithm) || len(signature) != 64:
		case key.Kty == "OKP":
			return ed25519.Verify(decode(key.X), []byte(text), signature), nil
		case key.Kty == "EC":
			public := ecdsa.PublicKey{Curve: elliptic.P256(), X: number(decode(key.X)), Y: number(decode(key.Y))}
			hash := sha256.Sum256([]byte(text))
			return ecdsa.Verify(&public, hash[:], number(signature[:32]), number(signature[32:])), nil
		}
	}
	return false, nil
}

func isAccepted(algorithm string) bool {
	for _, accepted := range algorithms {
		if accepted == algorithm {
			return true
		}
	}
	return false
}

func decode(text string) []byte {
	bytes, _ := base64.RawURLEncoding.DecodeString(text)
	return bytes
}

func read(part string, into any) error { return json.Unmarshal(decode(part), into) }
