//! A stand-in of Twilio's Programmable Messaging: takes messages strictly, and fails on demand.

use crate::stand_in::{Form, Serving, answer, form};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// SID of the account.
pub const ACCOUNT: &str = "AC00112233445566778899aabbccddeeff";
/// Its auth token.
pub const TOKEN: &str = "twilio-auth-token-0123456789";
/// Longest time for which a test waits for messages.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest text, in characters.
const BODY_CHARS_MAX: usize = 1_600;

/// A text message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextMessage {
    /// Number to which it goes.
    pub to: String,
    /// Its sender: a number or a name, or the SID of a messaging service.
    pub from: String,
    /// The text.
    pub body: String,
    /// Time for which it may wait to be delivered, in seconds.
    pub validity_seconds: u32,
}

/// Fault of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmsFault {
    /// It is refused with this status and this code of Twilio's, and no message is sent.
    Refused(u16, u32),
    /// It is refused as too many, until after so many seconds.
    TooMany(u32),
    /// The message is sent, and 500 is answered.
    FailedAfter,
    /// The message is sent, and there is no answer.
    Hung,
}

/// A running stand-in. It ends when it is dropped.
pub struct TwilioStandIn {
    state: Arc<TwilioState>,
    serving: Serving,
}

#[derive(Default)]
struct TwilioState {
    next: Mutex<VecDeque<SmsFault>>,
    /// The auth token, if it was changed.
    token: Mutex<Option<String>>,
    messages: watch::Sender<Vec<TextMessage>>,
    /// Number of requests, whatever became of them.
    requests: watch::Sender<usize>,
    /// Reasons for which requests were refused that no site may send.
    mistakes: Mutex<Vec<String>>,
}

impl TwilioStandIn {
    /// Starts one on a port of its own. Must run inside a tokio runtime.
    ///
    /// # Panics
    /// Panics if no port can be bound.
    pub async fn start() -> TwilioStandIn {
        let state = Arc::<TwilioState>::default();
        let routes = Router::new()
            .route("/2010-04-01/Accounts/{account}/Messages.json", any(take))
            .with_state(state.clone());
        let serving = Serving::start(routes).await.expect("a port is free");
        TwilioStandIn { state, serving }
    }

    /// Returns the setting by which a site finds it.
    pub fn setting(&self) -> String {
        let address = self.serving.url().trim_start_matches("http://");
        format!("twilio+http://{ACCOUNT}@{address}?from=%2B15550100")
    }

    /// Makes the next requests fail.
    pub fn then(&self, faults: impl IntoIterator<Item = SmsFault>) {
        self.state.next.lock().extend(faults);
    }

    /// Sets another auth token, so that the site's is refused; none sets that of before again.
    pub fn set_token(&self, token: Option<&str>) {
        *self.state.token.lock() = token.map(str::to_owned);
    }

    /// Returns the number of requests so far.
    pub fn requests(&self) -> usize {
        *self.state.requests.borrow()
    }

    /// Returns the messages so far.
    pub fn messages(&self) -> Vec<TextMessage> {
        self.state.messages.borrow().clone()
    }

    /// Waits for so many messages, and returns all.
    ///
    /// # Panics
    /// Panics if they do not come, or a request came that no site may send.
    pub async fn until(&self, count: usize) -> Vec<TextMessage> {
        let mut messages = self.state.messages.subscribe();
        let waiting = messages.wait_for(|messages| messages.len() >= count);
        let came = timeout(PATIENCE, waiting).await.is_ok();
        self.check();
        assert!(came, "{} of {count} messages came", self.messages().len());
        self.messages()
    }

    /// Waits for so many requests, whatever becomes of them.
    ///
    /// # Panics
    /// Panics if they do not come.
    pub async fn until_requests(&self, count: usize) {
        let mut requests = self.state.requests.subscribe();
        let waiting = requests.wait_for(|requests| *requests >= count);
        let came = timeout(PATIENCE, waiting).await.is_ok();
        assert!(came, "{} of {count} requests came", self.requests());
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
    State(state): State<Arc<TwilioState>>,
    Path(account): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = state.token.lock().clone();
    let is_known = is_authorized(&headers, &account, token.as_deref().unwrap_or(TOKEN));
    let fault = state.next.lock().pop_front();
    let answered = match read(&method, &headers, &form(&body)) {
        Err(why) => {
            state.mistakes.lock().push(why);
            refusal(400, 21_602)
        }
        Ok(_) if !is_known => refusal(401, 20_003),
        Ok(message) => state.act(message, fault),
    };
    state.requests.send_modify(|count| *count += 1);
    match fault {
        Some(SmsFault::Hung) => pending().await,
        _ => answered,
    }
}

impl TwilioState {
    fn act(&self, message: TextMessage, fault: Option<SmsFault>) -> Response {
        match fault {
            Some(SmsFault::Refused(status, code)) => refusal(status, code),
            Some(SmsFault::TooMany(seconds)) => {
                let mut answer = refusal(429, 20_429);
                answer.headers_mut().insert("retry-after", seconds.into());
                answer
            }
            None | Some(SmsFault::FailedAfter | SmsFault::Hung) => {
                let taken = json!({"sid": "SM00112233445566778899aabbccddeeff", "status": "queued",
                    "to": message.to, "body": message.body});
                self.messages.send_modify(|all| all.push(message));
                match fault {
                    None => answer(201, &taken),
                    Some(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                }
            }
        }
    }
}

fn refusal(status: u16, code: u32) -> Response {
    let body = json!({"code": code, "message": "Refused", "status": status,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}")});
    answer(status, &body)
}

fn is_authorized(headers: &HeaderMap, account: &str, token: &str) -> bool {
    let header = headers.get("authorization");
    let header = header.and_then(|value| value.to_str().ok());
    let given = header.and_then(|value| value.strip_prefix("Basic "));
    let given = given.and_then(|value| STANDARD.decode(value).ok());
    account == ACCOUNT && given == Some(format!("{ACCOUNT}:{token}").into_bytes())
}

fn read(method: &Method, headers: &HeaderMap, form: &Form) -> Result<TextMessage, String> {
    let field = |name: &str| {
        let value = form.get(name).filter(|value| !value.is_empty());
        value.cloned().ok_or_else(|| format!("no field {name}"))
    };
    let kind = headers.get("content-type");
    if method != Method::POST || kind.is_none_or(|it| it != "application/x-www-form-urlencoded") {
        return Err("no form that is posted".to_owned());
    }
    let (to, body) = (field("To")?, field("Body")?);
    let is_number = to.starts_with('+') && to[1..].bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || !(8..=16).contains(&to.len()) {
        return Err("To is no number".to_owned());
    }
    if body.chars().count() > BODY_CHARS_MAX {
        return Err("the text is too long".to_owned());
    }
    let validity_seconds = field("ValidityPeriod")?.parse().unwrap_or_default();
    if !(1..=36_000).contains(&validity_seconds) {
        return Err("a validity that cannot be".to_owned());
    }
    let from = field("From").or_else(|_| field("MessagingServiceSid"))?;
    if form.len() != 4 {
        let names: Vec<&String> = form.keys().collect();
        return Err(format!("other fields: {names:?}"));
    }
    Ok(TextMessage {
        to,
        from,
        body,
        validity_seconds,
    })
}
