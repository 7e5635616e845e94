//! Settings of notifications, and the key by which push services know the site (VAPID, RFC 8292).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use shared::arguments::filled;
use shared::crypto::encode;
use shared::mistakes::Mistakes;
use shared::time::Time;
use url::{Host, Url};

/// Time for which a token is valid; push services take up to a day.
const TOKEN_SECONDS: i64 = 12 * 3600;

/// The push services of Chrome, Firefox, Edge and Safari.
const SERVICES: &str =
    "fcm.googleapis.com,*.push.services.mozilla.com,*.notify.windows.com,*.push.apple.com";

/// The site as push services know it, and those that it posts to.
pub(crate) struct Pusher {
    key: EcdsaKeyPair,
    contact: String,
    /// Names of hosts; `*.` at the beginning stands for any name below.
    services: Vec<String>,
}

impl Pusher {
    fn read(pem: &str, contact: String, services: Vec<String>) -> Result<Pusher, String> {
        let why = "a private key for P-256 in PEM (PRIVATE KEY or EC PRIVATE KEY)";
        let block = pem::parse_many(pem).map_err(|_| why.to_owned())?;
        let mut blocks = block.iter();
        let key = blocks.find(|block| block.tag().ends_with("PRIVATE KEY"));
        let key = key.and_then(|block| {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            EcdsaKeyPair::from_private_key_der(algorithm, block.contents()).ok()
        });
        let key = key.ok_or(why)?;
        Ok(Pusher {
            key,
            contact,
            services,
        })
    }

    /// Returns whether an address is at a push service to which the site posts.
    pub(crate) fn posts_to(&self, endpoint: &Url) -> bool {
        let host = endpoint.host_str().unwrap_or_default();
        self.services
            .iter()
            .any(|name| match name.strip_prefix('*') {
                Some(end) => host.ends_with(end),
                None => host == name,
            })
    }

    /// Returns the public key with which browsers subscribe: 65 bytes in URL-safe base64.
    pub(crate) fn public_key(&self) -> String {
        encode(self.key.public_key().as_ref())
    }

    /// Returns the header `Authorization` of a request to a push service.
    ///
    /// # Errors
    /// If the machine has no randomness.
    pub(super) fn authorization(&self, endpoint: &Url, now: Time) -> Result<String, String> {
        let head = json!({"typ": "JWT", "alg": "ES256"});
        let claims = json!({
            "aud": endpoint.origin().ascii_serialization(),
            "exp": now.seconds() + TOKEN_SECONDS,
            "sub": self.contact,
        });
        let parts = [head, claims].map(|part| encode(part.to_string().as_bytes()));
        let signed = parts.join(".");
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| "the token cannot be signed")?;
        let token = format!("{signed}.{}", encode(signature.as_ref()));
        Ok(format!("vapid t={token}, k={}", self.public_key()))
    }
}

/// Settings of notifications, as written by the operator.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PushArgs {
    /// Private key by which push services of browsers know this site (PEM, P-256) [default: none, and
    /// fans get no notifications]
    #[arg(long, env = "FAIRLINE_PUSH_KEY", hide_env_values = true, global = true)]
    pub push_key: Option<String>,
    /// Address at which push services reach the operator, such as mailto:tech@arena.example; needed with
    /// FAIRLINE_PUSH_KEY
    #[arg(long, env = "FAIRLINE_PUSH_CONTACT", global = true)]
    pub push_contact: Option<String>,
    /// Hosts of push services, separated by commas, with `*.` for any name below [default: those of Chrome,
    /// Firefox, Edge and Safari]
    #[arg(long, env = "FAIRLINE_PUSH_SERVICES", global = true)]
    pub push_services: Option<String>,
}

impl PushArgs {
    /// Reads the settings, and records every mistake. None if no key is set.
    pub(crate) fn read(&self, mistakes: &mut Mistakes) -> Option<Pusher> {
        let (key, contact) = (
            filled(self.push_key.as_deref()),
            filled(self.push_contact.as_deref()),
        );
        let Some(key) = key else {
            if contact.is_some() {
                mistakes.add("FAIRLINE_PUSH_CONTACT: needs FAIRLINE_PUSH_KEY".to_owned());
            }
            return None;
        };
        let is_contact = |text: &&str| {
            let url = Url::parse(text);
            url.is_ok_and(|url| ["mailto", "https"].contains(&url.scheme()))
        };
        let contact = contact
            .filter(is_contact)
            .map(str::to_owned)
            .ok_or_else(|| {
                "an address such as mailto:tech@arena.example or https://arena.example".to_owned()
            });
        let contact = mistakes.take("FAIRLINE_PUSH_CONTACT", contact);
        let services = filled(self.push_services.as_deref()).unwrap_or(SERVICES);
        let services = mistakes.take("FAIRLINE_PUSH_SERVICES", parse_services(services));
        let (own, known) = (contact.clone(), services.clone());
        let read = Pusher::read(key, own.unwrap_or_default(), known.unwrap_or_default());
        let pusher = mistakes.take("FAIRLINE_PUSH_KEY", read);
        contact.and(services).and(pusher)
    }
}

/// Reads names of hosts.
fn parse_services(text: &str) -> Result<Vec<String>, String> {
    let names = text.split(',').map(|name| {
        let name = name.trim().to_ascii_lowercase();
        if is_service(&name) {
            return Ok(name);
        }
        Err(format!(
            "'{name}' is not the name of a host such as fcm.googleapis.com, or *.push.apple.com for any name below"
        ))
    });
    names.collect()
}

/// Returns whether a text is the name or the address of a host, or the end of such names after `*`.
fn is_service(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_plain = !name.contains('*') && !name.starts_with('.') && !name.ends_with('.');
    let parsed = Host::parse(name);
    // An address has its host in the form in which the parser returns it: no other form would ever match.
    is_plain && parsed.is_ok_and(|host| host.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use shared::crypto::decode;
    use shared::token::SigningAlgorithm;

    fn read(key: &str, contact: &str) -> (Option<Pusher>, Vec<String>) {
        let args = PushArgs {
            push_key: Some(key.to_owned()),
            push_contact: Some(contact.to_owned()),
            push_services: None,
        };
        let mut mistakes = Mistakes::default();
        (args.read(&mut mistakes), mistakes.0)
    }

    #[test]
    fn each_mistake_is_named_and_none_shows_the_key() {
        let key = SigningAlgorithm::Es256.generate_pem().unwrap();
        let ed25519 = SigningAlgorithm::EdDsa.generate_pem().unwrap();
        for (key, contact, name) in [
            ("", "mailto:a@b.example", "PUSH_CONTACT"),
            (&*key, "", "PUSH_CONTACT"),
            (&*key, "http://arena.example", "PUSH_CONTACT"),
            (&*key, "a@b.example", "PUSH_CONTACT"),
            ("secret", "mailto:a@b.example", "PUSH_KEY"),
            (&*ed25519, "mailto:a@b.example", "PUSH_KEY"),
        ] {
            let (pusher, mistakes) = read(key, contact);
            assert!(pusher.is_none());
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            let start = format!("FAIRLINE_{name}: ");
            assert!(mistakes[0].starts_with(&start), "{mistakes:?}");
            assert!(!mistakes[0].contains("secret"), "{mistakes:?}");
        }
        assert!(read("", "").1.is_empty());
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = pair.private_key().as_der().unwrap();
        let sec1 = pem::encode(&pem::Pem::new("EC PRIVATE KEY", der.as_ref()));
        for key in [&key, &sec1] {
            assert!(read(key, "https://arena.example/").0.is_some(), "{key}");
        }
    }

    #[test]
    fn services_that_are_no_names_of_hosts_are_refused() {
        let key = SigningAlgorithm::Es256.generate_pem().unwrap();
        let read = |services: &str| {
            let args = PushArgs {
                push_key: Some(key.clone()),
                push_contact: Some("mailto:a@b.example".to_owned()),
                push_services: Some(services.to_owned()),
            };
            let mut mistakes = Mistakes::default();
            let pusher = args.read(&mut mistakes);
            assert_eq!(pusher.is_some(), mistakes.0.is_empty(), "{services}");
            mistakes.0
        };
        for wrong in [
            "*",
            "*.",
            "*push.apple.com",
            "push.*.com",
            "https://fcm.googleapis.com",
            "fcm.googleapis.com/fcm",
            "fcm.googleapis.com:443",
            "fcm googleapis.com",
            "fcm.googleapis.com,",
            ",",
            ".push.apple.com",
            "push.apple.com.",
            "user@push.apple.com",
            "2130706433",
        ] {
            let mistakes = read(wrong);
            assert_eq!(mistakes.len(), 1, "{wrong}: {mistakes:?}");
            let start = "FAIRLINE_PUSH_SERVICES: '";
            assert!(mistakes[0].starts_with(start), "{wrong}: {mistakes:?}");
        }
        for good in [
            SERVICES,
            "127.0.0.1",
            "[::1]",
            "FCM.googleapis.com, *.push.apple.com",
        ] {
            assert_eq!(read(good), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn only_push_services_of_browsers_are_posted_to() {
        let key = SigningAlgorithm::Es256.generate_pem().unwrap();
        let pusher = read(&key, "mailto:a@b.example").0.unwrap();
        let posts_to = |url: &str| pusher.posts_to(&Url::parse(url).unwrap());
        for known in [
            "https://fcm.googleapis.com/fcm/send/abc",
            "https://FCM.googleapis.com/wp/abc",
            "https://updates.push.services.mozilla.com/wpush/v2/abc",
            "https://wns2-par02p.notify.windows.com/w/?token=abc",
            "https://web.push.apple.com/abc",
        ] {
            assert!(posts_to(known), "{known}");
        }
        for unknown in [
            "https://tarpit.example/abc",
            "https://fcm.googleapis.com.tarpit.example/",
            "https://tarpit.fcm.googleapis.com/",
            "https://evilpush.apple.com/",
            "https://push.apple.com/",
            "https://tarpit.example/?fcm.googleapis.com",
            "https://fcm.googleapis.com@tarpit.example/",
            "https://93.184.215.14/",
        ] {
            assert!(!posts_to(unknown), "{unknown}");
        }
    }

    #[test]
    fn a_token_names_the_push_service_the_contact_and_an_end_and_is_signed() {
        let key = SigningAlgorithm::Es256.generate_pem().unwrap();
        let pusher = read(&key, "mailto:a@b.example").0.unwrap();
        let endpoint = Url::parse("https://push.example:8443/send/abc?x=1").unwrap();
        let now = Time(1_800_000_000_000);
        let header = pusher.authorization(&endpoint, now).unwrap();
        let (token, public) = header.split_once(", k=").unwrap();
        assert_eq!(public, pusher.public_key());
        let token = token.strip_prefix("vapid t=").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (head, claims) = signed.split_once('.').unwrap();
        let read = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&decode(part).unwrap()).unwrap()
        };
        assert_eq!(read(head), json!({"typ": "JWT", "alg": "ES256"}));
        let expected = json!({"aud": "https://push.example:8443", "exp": 1_800_043_200, "sub": "mailto:a@b.example"});
        assert_eq!(read(claims), expected);
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, decode(public).unwrap());
        let signature = decode(signature).unwrap();
        assert!(public.verify(signed.as_bytes(), &signature).is_ok());
    }
}
