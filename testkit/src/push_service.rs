//! A push service with the browsers that it serves: takes what a site sends (RFC 8030) strictly, and
//! decrypts it as a browser does (RFC 8291), by code that is not the site's.

use crate::stand_in::Serving;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand::fill;
use aws_lc_rs::signature::{self, ECDSA_P256_SHA256_FIXED};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Longest time for which a test waits for messages.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest body that push services have to take.
const BODY_BYTES_MAX: usize = 4096;

/// A subscription, as the script of a page has it from its browser.
#[derive(Clone, Debug)]
pub struct PushSubscription {
    /// Address to which messages are posted.
    pub endpoint: String,
    /// Public key of the browser, in URL-safe base64.
    pub p256dh: String,
    /// Secret of the subscription, in URL-safe base64.
    pub auth: String,
}

/// A message that was taken and decrypted.
#[derive(Clone, Debug)]
pub struct PushedMessage {
    /// Number of the subscription, from 0.
    pub subscription: usize,
    /// The content.
    pub content: Value,
    /// Time to live, in seconds.
    pub ttl_seconds: u32,
    /// Contact of the site.
    pub contact: String,
}

/// A running push service. It ends when it is dropped.
pub struct PushService {
    state: Arc<PushState>,
    serving: Serving,
}

struct Browser {
    key: PrivateKey,
    auth: [u8; 16],
    /// Key of the site that alone may send, in URL-safe base64.
    site_key: String,
}

#[derive(Default)]
struct PushState {
    url: Mutex<String>,
    browsers: Mutex<HashMap<usize, Browser>>,
    /// Answers to the next requests, each with its `Retry-After`, if it has one.
    next: Mutex<VecDeque<(u16, Option<u32>)>>,
    messages: watch::Sender<Vec<PushedMessage>>,
    /// Number of requests, whatever became of them.
    requests: watch::Sender<usize>,
    /// Why requests were refused that no site may send.
    mistakes: Mutex<Vec<String>>,
}

impl PushService {
    /// Starts one on a port of its own. Must run inside a tokio runtime.
    ///
    /// # Panics
    /// Panics if no port can be bound.
    pub async fn start() -> PushService {
        let state = Arc::<PushState>::default();
        let routes = Router::new()
            .route("/send/{number}", any(take))
            .with_state(state.clone());
        let serving = Serving::start(routes).await.expect("a port is free");
        *state.url.lock() = serving.url().to_owned();
        PushService { state, serving }
    }

    /// Returns its address.
    pub fn url(&self) -> &str {
        self.serving.url()
    }

    /// Subscribes another browser, to messages of the site with this public key.
    ///
    /// # Panics
    /// Panics if the machine has no randomness.
    pub fn subscribe(&self, site_key: &str) -> PushSubscription {
        let key = PrivateKey::generate(&ECDH_P256).expect("a key is made");
        let mut auth = [0; 16];
        fill(&mut auth).expect("the machine has randomness");
        let public = key.compute_public_key().expect("it has a public half");
        let mut browsers = self.state.browsers.lock();
        let number = browsers.len();
        let subscription = PushSubscription {
            endpoint: format!("{}/send/{number}", self.url()),
            p256dh: URL_SAFE_NO_PAD.encode(public.as_ref()),
            auth: URL_SAFE_NO_PAD.encode(auth),
        };
        let site_key = site_key.to_owned();
        let browser = Browser {
            key,
            auth,
            site_key,
        };
        browsers.insert(number, browser);
        subscription
    }

    /// Sets the answers to the next requests: a status, and a `Retry-After` in seconds.
    pub fn then(&self, answers: impl IntoIterator<Item = (u16, Option<u32>)>) {
        self.state.next.lock().extend(answers);
    }

    /// Returns the number of requests so far.
    pub fn requests(&self) -> usize {
        *self.state.requests.borrow()
    }

    /// Returns the messages so far.
    pub fn messages(&self) -> Vec<PushedMessage> {
        self.state.messages.borrow().clone()
    }

    /// Waits for so many messages, and returns all.
    ///
    /// # Panics
    /// Panics if they do not come, or a request came that no site may send.
    pub async fn until(&self, count: usize) -> Vec<PushedMessage> {
        let mut messages = self.state.messages.subscribe();
        let waiting = messages.wait_for(|messages| messages.len() >= count);
        let waited = timeout(PATIENCE, waiting).await;
        let came = waited.is_ok();
        self.check();
        assert!(came, "{} of {count} messages came", self.messages().len());
        self.messages()
    }

    /// Checks that each request was one that a site may send.
    ///
    /// # Panics
    /// Panics if one was not.
    pub fn check(&self) {
        let mistakes = self.state.mistakes.lock();
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }
}

async fn take(
    State(state): State<Arc<PushState>>,
    Path(number): Path<usize>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let read = state.read(number, &headers, &body);
    let fault = state.next.lock().pop_front();
    state.requests.send_modify(|count| *count += 1);
    match (read, fault) {
        (Err(why), _) => {
            state.mistakes.lock().push(why.clone());
            (StatusCode::BAD_REQUEST, why).into_response()
        }
        (Ok(_), Some((status, retry_after))) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            let mut answer = status.into_response();
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert("retry-after", seconds.into());
            }
            answer
        }
        (Ok(message), None) => {
            state.messages.send_modify(|all| all.push(message));
            let location = [("location", "/message/1")];
            (StatusCode::CREATED, location).into_response()
        }
    }
}

impl PushState {
    fn read(
        &self,
        number: usize,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<PushedMessage, String> {
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.ok_or_else(|| format!("no header {name}"))
        };
        let browsers = self.browsers.lock();
        let browser = browsers.get(&number).ok_or("no such subscription")?;
        if header("content-encoding")? != "aes128gcm" {
            return Err("another encoding".to_owned());
        }
        if !["very-low", "low", "normal", "high"].contains(&header("urgency")?) {
            return Err("no urgency".to_owned());
        }
        let ttl_seconds = header("ttl")?.parse().map_err(|_| "no time to live")?;
        let audience = self.url.lock().clone();
        let contact = verify(header("authorization")?, &browser.site_key, &audience)?;
        let content = browser.decrypt(body)?;
        let content = serde_json::from_slice(&content).map_err(|_| "the content is no JSON")?;
        Ok(PushedMessage {
            subscription: number,
            content,
            ttl_seconds,
            contact,
        })
    }
}

impl Browser {
    /// Decrypts a message of a single record.
    fn decrypt(&self, body: &[u8]) -> Result<Vec<u8>, String> {
        let wrong = |_| "the message cannot be decrypted".to_owned();
        if body.len() > BODY_BYTES_MAX || body.len() < 21 + 65 + 17 {
            return Err(format!("a body of {} bytes", body.len()));
        }
        let (salt, rest) = body.split_at(16);
        let (head, rest) = rest.split_at(5);
        let record_bytes = head[..4]
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if head[4] != 65 || rest.len() - 65 > record_bytes {
            return Err("a head that is none".to_owned());
        }
        let (site, record) = rest.split_at(65);
        let own = self.key.compute_public_key().map_err(wrong)?;
        let info = [b"WebPush: info\0", own.as_ref(), site].concat();
        let peer = UnparsedPublicKey::new(&ECDH_P256, site);
        let shared = agree(&self.key, peer, "no key agreed on".to_owned(), |shared| {
            derive(&self.auth, shared, &info, 32)
        })?;
        let key = derive(salt, &shared, b"Content-Encoding: aes128gcm\0", 16)?;
        let nonce = derive(salt, &shared, b"Content-Encoding: nonce\0", 12)?;
        let key = UnboundKey::new(&AES_128_GCM, &key).map_err(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(wrong)?;
        let mut record = record.to_vec();
        let opened = LessSafeKey::new(key).open_in_place(nonce, Aad::empty(), &mut record);
        let opened = opened.map_err(wrong)?;
        let end = opened.iter().rposition(|byte| *byte != 0);
        let end = end.filter(|end| opened[*end] == 2);
        Ok(opened[..end.ok_or("no end of the last record")?].to_vec())
    }
}

/// A number of bytes that are derived.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(salt: &[u8], secret: &[u8], info: &[u8], bytes: usize) -> Result<Vec<u8>, String> {
    let extracted = Salt::new(HKDF_SHA256, salt).extract(secret);
    let mut derived = vec![0; bytes];
    let info = [info];
    let expanded = extracted.expand(&info, Length(bytes));
    let filled = expanded.and_then(|expanded| expanded.fill(&mut derived));
    filled.map_err(|_| "nothing can be derived".to_owned())?;
    Ok(derived)
}

/// Verifies the token by which a site shows who it is (RFC 8292), and returns its contact.
fn verify(header: &str, site_key: &str, audience: &str) -> Result<String, String> {
    let parameters = header.strip_prefix("vapid ").ok_or("no VAPID")?;
    let of = |name: &str| {
        let mut all = parameters.split(',').map(str::trim);
        all.find_map(|parameter| parameter.strip_prefix(name))
    };
    let (token, key) = of("t=").zip(of("k=")).ok_or("no t= and k=")?;
    if key != site_key {
        return Err("another key than the subscription's".to_owned());
    }
    let (signed, signature) = token.rsplit_once('.').ok_or("no token")?;
    let (head, claims) = signed.split_once('.').ok_or("no token")?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| "no base64");
    let read = |text: &str| -> Result<Value, &str> {
        serde_json::from_slice(&decode(text)?).map_err(|_| "no JSON")
    };
    let (head, claims) = (read(head)?, read(claims)?);
    let public = signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, decode(key)?);
    let verified = public.verify(signed.as_bytes(), &decode(signature)?);
    verified.map_err(|_| "a signature that is none")?;
    if head["alg"] != "ES256" || claims["aud"] != audience || !claims["exp"].is_u64() {
        return Err(format!("a token with {head} and {claims}"));
    }
    let contact = claims["sub"].as_str().unwrap_or_default();
    if !contact.starts_with("mailto:") && !contact.starts_with("https:") {
        return Err("no contact".to_owned());
    }
    Ok(contact.to_owned())
}
