//! Organiser keys, the service key and console sessions: forged, signed out, taken away. Guesses are
//! in `attacks/guesses.rs`.

use crate::crash::{command, free_port};
use crate::stage::{KEY, PASS_SECRET, SERVICE_KEY, Stage, assert_problem};
use client::Client;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use shared::crypto::{Secret, hex};
use shared::time::Time;
use std::path::Path;
use std::process::Child;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(crate) const SESSION: &str = "/api/v1/organiser/session";
pub(crate) const EVENTS: &str = "/api/v1/organiser/events";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Status and body of a request with these headers.
pub(crate) async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    heads: &[(&str, &str)],
) -> (u16, Value) {
    let answer = client.raw(method, path, heads, Vec::new()).await.unwrap();
    let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
    (answer.status().as_u16(), body)
}

/// Signs in at the console: the status, and the cookie as a browser sends it back.
pub(crate) async fn sign_in(client: &Client, heads: &[(&str, &str)], body: Value) -> (u16, String) {
    let heads = [heads, &[JSON]].concat();
    let body = body.to_string().into_bytes();
    let answer = client.raw(Method::POST, SESSION, &heads, body).await;
    let answer = answer.unwrap();
    let cookie = answer.headers().get("set-cookie");
    let cookie = cookie.map_or("", |cookie| cookie.to_str().unwrap());
    let cookie = cookie.split(';').next().unwrap_or_default();
    (answer.status().as_u16(), cookie.to_owned())
}

pub(crate) async fn sign_in_with(client: &Client, key: &str) -> String {
    let (status, cookie) = sign_in(client, &[], json!({"key": key})).await;
    assert_eq!(status, 201);
    cookie
}

async fn whose(client: &Client, cookie: &str) -> (u16, Value) {
    ask(client, Method::GET, SESSION, &[("cookie", cookie)]).await
}

/// A session as a node with this secret signs it, for the holder of `KEY`.
fn signed(secret: &str, expires_at: Time) -> String {
    let console = Secret::derive(secret.as_bytes(), "console");
    let key = hex(&console.sign(format!("key\n{KEY}").as_bytes())[..16]);
    let session =
        json!({"id": "0123456789abcdef0123456789abcdef", "key": key, "expires_at": expires_at});
    let word = console.seal(session.to_string().as_bytes());
    format!("fairline_console={word}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_key_signs_no_session_and_is_no_source_of_the_organiser_key() {
    let stage = Stage::with_secrets(|_| {}).await;
    let soon = stage.clock.now().plus_seconds(3600);
    // As it was before sessions were bound to keys.
    let console = Secret::derive(SERVICE_KEY.as_bytes(), "console");
    let message = json!({"organiser": {"name": "admin", "role": "admin"}, "expires_at": soon});
    let bare = format!(
        "fairline_console={}",
        console.seal(message.to_string().as_bytes())
    );
    for forged in [bare, signed(SERVICE_KEY, soon)] {
        assert_eq!(whose(&stage.client, &forged).await.0, 401);
        let heads = [
            ("cookie", forged.as_str()),
            ("origin", stage.url.as_str()),
            JSON,
        ];
        let body = r#"{"id": "forged", "name": "Forged"}"#;
        let (status, _) = stage.send(Method::POST, EVENTS, &heads, body).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let (status, who) = whose(&stage.client, &signed(PASS_SECRET, soon)).await;
    assert_eq!(
        (status, who),
        (200, json!({"name": "admin", "role": "admin"}))
    );

    let stage = Stage::with_secrets(|common| common.organiser_key = None).await;
    let derived = |secret: &str| {
        let mac = Secret::derive(secret.as_bytes(), "organiser key").sign(b"1");
        format!("org_{}", hex(&mac[..20]))
    };
    assert_problem(
        &stage.get(EVENTS, &derived(SERVICE_KEY)).await,
        401,
        "no-organiser",
    );
    let printed = stage.fairline.new_organiser_key.clone().unwrap();
    assert_eq!(printed, derived(PASS_SECRET));
    assert_eq!(stage.get(EVENTS, &printed).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_in_more_than_twelve_hours_is_refused_though_it_is_signed() {
    let stage = Stage::with_secrets(|_| {}).await;
    let now = stage.clock.now();
    for (seconds, wanted) in [
        (11 * 3600, 200),
        (12 * 3600, 200),
        (12 * 3600 + 1, 401),
        (10 * 365 * 24 * 3600, 401),
        (0, 401),
    ] {
        let session = signed(PASS_SECRET, now.plus_seconds(seconds));
        let (status, _) = whose(&stage.client, &session).await;
        assert_eq!(status, wanted, "{seconds}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_session_that_opened_it() {
    let stage = Stage::open().await;
    stage.event("watched", json!({"paused": true})).await;
    let client = &stage.client;
    let cookies = [
        sign_in_with(client, KEY).await,
        sign_in_with(client, KEY).await,
    ];
    let watch = async |cookie: &str| {
        let address = stage.url.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {EVENTS}/watched/stats/stream HTTP/1.1\r\nhost: x\r\ncookie: {cookie}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut first = [0; 4096];
        let count = stream.read(&mut first).await.unwrap();
        assert!(first[..count].starts_with(b"HTTP/1.1 200"));
        stream
    };
    // The last chunk of a body is empty.
    let end = async |stream: &mut tokio::net::TcpStream| {
        let reading = async {
            let mut text = String::new();
            let mut some = [0; 4096];
            while !text.ends_with("0\r\n\r\n") {
                let count = stream.read(&mut some).await.unwrap();
                assert!(count > 0, "the connection stays open: {text}");
                text.push_str(&String::from_utf8_lossy(&some[..count]));
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reading).await
    };
    let (mut one, mut other) = (watch(&cookies[0]).await, watch(&cookies[1]).await);
    let heads = [
        ("cookie", cookies[0].as_str()),
        ("origin", stage.url.as_str()),
    ];
    assert_eq!(ask(client, Method::DELETE, SESSION, &heads).await.0, 204);
    end(&mut one)
        .await
        .expect("the stream of a session that was signed out ends");
    assert_eq!(whose(client, &cookies[1]).await.0, 200);
    stage.clock.advance_ms(12 * 3600 * 1000);
    end(&mut other)
        .await
        .expect("the stream of a session that ran out ends");
}

/// The real program on a data folder, with these settings; killed at the end.
struct Program(Child, Client, String);

impl Program {
    async fn start(data: &Path, settings: &[(&str, &str)]) -> Program {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let mut command = command(data, port);
        command.envs(settings.iter().copied());
        let program = Program(command.spawn().unwrap(), Client::new(&url), url);
        let from = std::time::Instant::now();
        while program.1.get("/api/v1/events", "").await.is_err() {
            assert!(from.elapsed() < Duration::from_secs(20), "it did not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        program
    }

    async fn sign_out(&self, cookie: &str) -> u16 {
        let heads = [("cookie", cookie), ("origin", self.2.as_str())];
        ask(&self.1, Method::DELETE, SESSION, &heads).await.0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_signed_out_stays_so_after_a_kill_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let program = Program::start(&data, &[]).await;
    let key = "crash-organiser-key";
    let (one, other) = (
        sign_in_with(&program.1, key).await,
        sign_in_with(&program.1, key).await,
    );
    assert_eq!(program.sign_out(&one).await, 204);
    assert_eq!(program.sign_out(&one).await, 204, "its answer may be lost");
    assert_eq!(whose(&program.1, &one).await.0, 401);
    let heads = [
        ("cookie", other.as_str()),
        ("origin", "http://evil.example"),
    ];
    assert_eq!(
        ask(&program.1, Method::DELETE, SESSION, &heads).await.0,
        403
    );
    drop(program);
    let program = Program::start(&data, &[]).await;
    assert_eq!(whose(&program.1, &one).await.0, 401);
    assert_eq!(program.sign_out(&one).await, 204);
    assert_eq!(
        whose(&program.1, &other).await,
        (200, json!({"name": "admin", "role": "admin"}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_the_role_of_its_key_as_it_is_set_now_and_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let keys = |text: &'static str| [("FAIRLINE_ORGANISER_KEYS", text)];
    let program = Program::start(&data, &keys("op:operator:operator-key-01234")).await;
    let cookie = sign_in_with(&program.1, "operator-key-01234").await;
    let operator = json!({"name": "op", "role": "operator"});
    assert_eq!(whose(&program.1, &cookie).await, (200, operator));
    drop(program);
    let program = Program::start(&data, &keys("press:viewer:operator-key-01234")).await;
    let viewer = json!({"name": "press", "role": "viewer"});
    assert_eq!(whose(&program.1, &cookie).await, (200, viewer));
    drop(program);
    for other in ["op:operator:operator-key-56789", ""] {
        let program = Program::start(&data, &keys(other)).await;
        assert_eq!(whose(&program.1, &cookie).await.0, 401, "{other}");
        assert_eq!(program.sign_out(&cookie).await, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_signs_in_and_out_without_end_ends_its_own_sessions_and_keeps_none_from_signing_out()
 {
    let stage = Stage::with_secrets(|common| {
        common.organiser_keys = Some("press:viewer:weakest-key-0123456".into());
    })
    .await;
    let client = &stage.client;
    let sign_out = async |cookie: &str| {
        let heads = [("cookie", cookie), ("origin", stage.url.as_str())];
        ask(client, Method::DELETE, SESSION, &heads).await.0
    };
    let admin = [
        sign_in_with(client, KEY).await,
        sign_in_with(client, KEY).await,
    ];
    assert_eq!(sign_out(&admin[0]).await, 204);
    let mut first = String::new();
    for at in 0..250 {
        let cookie = sign_in_with(client, "weakest-key-0123456").await;
        assert_eq!(whose(client, &cookie).await.0, 200, "{at}");
        assert_eq!(sign_out(&cookie).await, 204);
        assert_eq!(whose(client, &cookie).await.0, 401);
        if at == 0 {
            first = cookie;
        }
    }
    let list = stage.get("/api/v1/organiser/signed-out", SERVICE_KEY).await;
    let kept = list.body.as_array().unwrap().len();
    assert!(kept <= 102, "{kept}: one entry stands for a hundred");
    assert_eq!(whose(client, &first).await.0, 401);
    assert_eq!(whose(client, &admin[0]).await.0, 401);
    assert_eq!(whose(client, &admin[1]).await.0, 200);
    assert_eq!(sign_out(&admin[1]).await, 204);
    assert_eq!(whose(client, &admin[1]).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_one_time_code_is_an_admins_and_can_be_signed_out() {
    let stage = Stage::open().await;
    let code = stage.fairline.room.site.organisers.one_time_code();
    let (status, cookie) = sign_in(&stage.client, &[], json!({"code": code})).await;
    assert_eq!(status, 201);
    let admin = json!({"name": "one-time link", "role": "admin"});
    assert_eq!(whose(&stage.client, &cookie).await, (200, admin));
    let heads = [("cookie", cookie.as_str()), ("origin", stage.url.as_str())];
    let out = ask(&stage.client, Method::DELETE, SESSION, &heads).await;
    assert_eq!(out.0, 204);
    assert_eq!(whose(&stage.client, &cookie).await.0, 401);
}
