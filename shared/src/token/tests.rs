//! Tests of admission tokens, with both algorithms.

use super::*;
use crate::crypto::encode;
use crate::ids::EventId;
use crate::time::Time;
use aws_lc_rs::hmac;
use serde_json::{Value, json};

const NOW: Time = Time(1_800_000_000_000);
const ISSUER: &str = "http://fairline.test";

fn claims() -> Claims {
    Claims {
        iss: ISSUER.into(),
        aud: "arena-night".into(),
        sub: VisitorId(7),
        jti: "adm_1".into(),
        iat: NOW.seconds(),
        nbf: NOW.seconds(),
        exp: NOW.seconds() + 600,
        number: 3,
        extension_seconds: 0,
    }
}

/// A signer with a new key, and what verifies its tokens.
struct Pair {
    signer: Signer,
    verifier: Verifier,
}

impl Pair {
    fn of(pem: &str) -> Pair {
        let signer = Signer::from_pem(pem).unwrap();
        let verifier = Verifier::from_jwks(&signer.jwks(), ISSUER).unwrap();
        Pair { signer, verifier }
    }

    fn new(algorithm: SigningAlgorithm) -> Pair {
        Pair::of(&algorithm.generate_pem().unwrap())
    }

    fn each() -> impl Iterator<Item = Pair> {
        SigningAlgorithm::ALL.into_iter().map(Pair::new)
    }

    /// One of each kind: the first signs, both are known.
    fn mixed() -> [Pair; 2] {
        let pem = SigningAlgorithm::ALL.map(|algorithm| algorithm.generate_pem().unwrap());
        [
            Pair::of(&format!("{}{}", pem[0], pem[1])),
            Pair::of(&format!("{}{}", pem[1], pem[0])),
        ]
    }

    fn refuses(&self, token: &str) -> Refused {
        self.verifier.verify(token, &arena(), NOW).unwrap_err()
    }
}

fn arena() -> EventId {
    EventId::parse("arena-night").unwrap()
}

/// A token with this header and our claims, and a signature of `sign`.
fn forge(header: &Value, sign: impl FnOnce(&str) -> Vec<u8>) -> String {
    let body = serde_json::to_string(&claims()).unwrap();
    let signed = format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(body.as_bytes())
    );
    let signature = encode(&sign(&signed));
    format!("{signed}.{signature}")
}

#[test]
fn a_signed_token_verifies_and_says_what_was_signed() {
    for Pair { signer, verifier } in Pair::each() {
        let token = signer.sign(&claims());
        assert_eq!(verifier.verify(&token, &arena(), NOW), Ok(claims()));
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(header.alg, signer.algorithm().jose());
    }
    let Pair { signer, .. } = Pair::new(SigningAlgorithm::EdDsa);
    assert_eq!(signer.sign(&claims()), signer.sign(&claims()));
}

#[test]
fn tokens_out_of_time_or_for_another_event_or_issuer_are_refused() {
    for Pair { signer, verifier } in Pair::each() {
        let token = signer.sign(&claims());
        for late_or_early in [Time(NOW.0 + 606_000), Time(NOW.0 - 6_000)] {
            let refused = verifier.verify(&token, &arena(), late_or_early);
            assert_eq!(refused, Err(Refused::OutOfTime));
        }
        let other = EventId::parse("other").unwrap();
        let refused = verifier.verify(&token, &other, NOW);
        assert_eq!(refused, Err(Refused::OtherEvent));
        let foreign = signer.sign(&Claims {
            iss: "http://evil.test".into(),
            ..claims()
        });
        let refused = verifier.verify(&foreign, &arena(), NOW);
        assert_eq!(refused, Err(Refused::Forged));
    }
}

#[test]
fn forged_swapped_and_mistyped_tokens_are_refused() {
    for pair in Pair::each() {
        let signer = &pair.signer;
        let stranger = Pair::new(signer.algorithm()).signer;
        let good = signer.sign(&claims());
        assert_eq!(pair.refuses(&stranger.sign(&claims())), Refused::UnknownKey);
        let parts: Vec<&str> = good.split('.').collect();
        let none = encode(br#"{"alg":"none","typ":"admission+jwt"}"#);
        assert_eq!(
            pair.refuses(&format!("{none}.{}.", parts[1])),
            Refused::Forged
        );
        let raised = serde_json::to_string(&Claims {
            number: 1,
            ..claims()
        });
        let body = encode(raised.unwrap().as_bytes());
        let swapped = format!("{}.{body}.{}", parts[0], parts[2]);
        assert_eq!(pair.refuses(&swapped), Refused::Forged);
        // Signed with our own key, but as another kind of token, or with something to be understood
        // that is not.
        for change in [
            (Some("JWT"), None),
            (None, None),
            (Some(TYPE), Some(vec!["b64".to_owned()])),
        ] {
            let mut header = signer.header.clone();
            header.typ = change.0.map(str::to_owned);
            header.crit = change.1;
            let token = jsonwebtoken::encode(&header, &claims(), &signer.key).unwrap();
            assert_eq!(pair.refuses(&token), Refused::Forged, "{header:?}");
        }
        for junk in ["", ".", "..", "a.b", "a.b.c", &"x".repeat(5000)] {
            assert_eq!(pair.refuses(junk), Refused::Forged);
        }
    }
}

#[test]
fn a_key_verifies_its_own_algorithm_alone_whatever_a_token_says() {
    for pair in Pair::mixed() {
        let jwks = pair.signer.jwks();
        let [own, other] = [&jwks["keys"][0], &jwks["keys"][1]];
        let good = pair.signer.sign(&claims());
        let signature = good.rsplit('.').next().unwrap().to_owned();
        let signature = crate::crypto::decode(&signature).unwrap();
        let header = |alg: &str, kid: &Value| json!({"alg": alg, "typ": TYPE, "kid": kid});
        // A good signature of the other kind of key, and a good key under another algorithm's name.
        for alg in [
            "EdDSA", "ES256", "ES384", "HS256", "RS256", "none", "Ed25519",
        ] {
            for kid in [&own["kid"], &other["kid"]] {
                if alg == own["alg"] && kid == &own["kid"] {
                    continue;
                }
                let token = forge(&header(alg, kid), |_| signature.clone());
                assert_eq!(pair.refuses(&token), Refused::Forged, "{alg} {kid}");
                // With a real signature of our own key over exactly this header.
                let token = forge(&header(alg, kid), |signed| {
                    let algorithm = pair.signer.algorithm().jose();
                    let made =
                        jsonwebtoken::crypto::sign(signed.as_bytes(), &pair.signer.key, algorithm);
                    crate::crypto::decode(&made.unwrap()).unwrap()
                });
                assert_eq!(pair.refuses(&token), Refused::Forged, "signed: {alg} {kid}");
            }
        }
        // A public key as the secret of an HMAC, in each of its spellings.
        for key in [own, other] {
            let spellings = [
                key["x"].as_str().unwrap().as_bytes().to_vec(),
                crate::crypto::decode(key["x"].as_str().unwrap()).unwrap(),
                key.to_string().into_bytes(),
                jwks.to_string().into_bytes(),
                Vec::new(),
            ];
            for spelling in spellings {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, &spelling);
                let token = forge(&header("HS256", &key["kid"]), |signed| {
                    hmac::sign(&secret, signed.as_bytes()).as_ref().to_vec()
                });
                assert_eq!(pair.refuses(&token), Refused::Forged);
            }
        }
    }
}

#[test]
fn empty_and_misshapen_signatures_are_refused() {
    for pair in Pair::each() {
        let header = json!({"alg": pair.signer.algorithm().name(), "typ": TYPE,
            "kid": pair.signer.jwks()["keys"][0]["kid"]});
        for signature in [
            vec![],
            vec![0; 64],
            vec![0xff; 64],
            vec![0; 32],
            vec![0; 96],
            // DER, as ECDSA signatures are written elsewhere: r = s = 1.
            vec![0x30, 6, 2, 1, 1, 2, 1, 1],
        ] {
            let token = forge(&header, |_| signature.clone());
            assert_eq!(pair.refuses(&token), Refused::Forged, "{signature:?}");
        }
    }
}

#[test]
fn a_token_without_one_of_its_claims_is_refused() {
    for pair in Pair::each() {
        let Pair { signer, .. } = &pair;
        for missing in ["iss", "aud", "sub", "jti", "iat", "nbf", "exp", "number"] {
            let mut body = serde_json::to_value(claims()).unwrap();
            body.as_object_mut().unwrap().remove(missing);
            let token = jsonwebtoken::encode(&signer.header, &body, &signer.key).unwrap();
            assert_eq!(pair.refuses(&token), Refused::Forged, "{missing}");
        }
    }
}

#[test]
fn all_keys_are_published_and_the_first_signs() {
    let both = || SigningAlgorithm::ALL.into_iter();
    for (old, new) in both().flat_map(|old| both().map(move |new| (old, new))) {
        let pem = [old.generate_pem().unwrap(), new.generate_pem().unwrap()];
        let old = Signer::from_pem(&pem[0]).unwrap();
        let rotated = Pair::of(&format!("{}{}", pem[1], pem[0]));
        assert_eq!(rotated.signer.algorithm(), new);
        for signer in [&old, &rotated.signer] {
            let token = signer.sign(&claims());
            assert!(rotated.verifier.verify(&token, &arena(), NOW).is_ok());
        }
    }
    assert!(Signer::from_pem("no key").is_err());
}

#[test]
fn a_secret_gives_each_algorithm_a_key_of_its_own_and_always_the_same() {
    for algorithm in SigningAlgorithm::ALL {
        let derived = |secret: &[u8]| algorithm.derive_pem(secret).unwrap();
        assert_eq!(derived(b"one secret"), derived(b"one secret"));
        assert_ne!(derived(b"one secret"), derived(b"another"));
        let Pair { signer, verifier } = Pair::of(&derived(b"one secret"));
        assert_eq!(signer.algorithm(), algorithm);
        let token = signer.sign(&claims());
        assert!(verifier.verify(&token, &arena(), NOW).is_ok());
    }
}

#[test]
fn a_jwk_for_another_purpose_or_on_no_curve_verifies_nothing() {
    for pair in Pair::each() {
        let token = pair.signer.sign(&claims());
        let changed = |name: &str, value: Value| {
            let mut jwks = pair.signer.jwks();
            jwks["keys"][0][name] = value;
            Verifier::from_jwks(&jwks, ISSUER)
        };
        for (name, value) in [
            ("use", json!("enc")),
            ("alg", json!("HS256")),
            ("alg", json!("ES384")),
            ("kty", json!("RSA")),
            ("crv", json!("P-384")),
            ("kid", Value::Null),
        ] {
            assert!(changed(name, value.clone()).is_err(), "{name}: {value}");
        }
        for x in [
            encode(&[1; 32]),
            encode(&[0; 32]),
            encode(&[1; 31]),
            String::new(),
        ] {
            let refused = changed("x", json!(x)).map(|it| it.verify(&token, &arena(), NOW));
            assert!(
                matches!(refused, Err(_) | Ok(Err(Refused::Forged))),
                "x: {x}"
            );
        }
    }
}

#[test]
fn keys_of_other_kinds_are_refused_as_signing_keys() {
    let p384 = aws_lc_rs::signature::EcdsaKeyPair::generate(
        &aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING,
    );
    let der = p384.unwrap().to_pkcs8v1().unwrap();
    let pem = pem::encode(&pem::Pem::new("PRIVATE KEY", der.as_ref()));
    assert!(Signer::from_pem(&pem).is_err());
    let good = SigningAlgorithm::Es256.generate_pem().unwrap();
    assert!(
        Signer::from_pem(&format!("{good}{pem}")).is_err(),
        "one bad key among good ones must not be passed over"
    );
}

/// A P-256 key as `openssl ecparam -genkey` writes it: parameters first, then RFC 5915.
#[test]
fn a_key_in_the_older_form_of_openssl_is_read() {
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let mut der = vec![0x30, 0x31, 2, 1, 1, 4, 0x20];
    der.extend([7; 32]);
    der.extend([0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    let key = pem::encode(&pem::Pem::new("EC PRIVATE KEY", der));
    let pair = Pair::of(&format!("{parameters}{key}"));
    assert_eq!(pair.signer.algorithm(), SigningAlgorithm::Es256);
    let token = pair.signer.sign(&claims());
    assert!(pair.verifier.verify(&token, &arena(), NOW).is_ok());
}
