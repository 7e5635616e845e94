//! Bytes on the wire: unread bodies, cookies of other software, links that browsers rewrite.

use crate::attacks::floods::until_closed;
use crate::stage::{KEY, Stage, word};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn connect(stage: &Stage) -> TcpStream {
    let address = stage.url.trim_start_matches("http://");
    TcpStream::connect(address).await.unwrap()
}

/// Reads one response with a `Content-Length`; returns head and body.
async fn read_response(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}

/// Returns requests that are answered before their body is read, with the status of the answer.
fn early_refusals() -> [(&'static str, String, u16); 5] {
    let admin = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n");
    let events = "POST /api/v1/organiser/events HTTP/1.1\r\nHost: x\r\n";
    [
        ("too large", format!("{events}{admin}"), 413),
        (
            "no credential",
            "PUT /api/v1/organiser/events/early/seating HTTP/1.1\r\nHost: x\r\n".to_owned(),
            401,
        ),
        (
            "no such page",
            "POST /no/such/page HTTP/1.1\r\nHost: x\r\n".to_owned(),
            404,
        ),
        (
            "no such method",
            "PUT /api/v1/events HTTP/1.1\r\nHost: x\r\n".to_owned(),
            405,
        ),
        (
            "no such event",
            format!("PUT /api/v1/organiser/events/nothing/seating HTTP/1.1\r\nHost: x\r\n{admin}"),
            404,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_leaves_a_long_body_unread_says_that_the_connection_closes_and_is_not_lost()
{
    let stage = Stage::open().await;
    stage.event("early", json!({})).await;
    for (name, head, status) in early_refusals() {
        let mut stream = connect(&stage).await;
        let head = format!("{head}Content-Length: 3000000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // More than the socket buffers hold, so that the client is still writing when the answer
        // comes.
        let (mut reading, mut writing) = stream.split();
        let body = vec![b' '; 3_000_000];
        let write = async {
            // The server may stop reading; what counts is that its answer arrives.
            let _ = writing.write_all(&body).await;
        };
        let mut answer = Vec::new();
        let read = reading.read_to_end(&mut answer);
        let ((), read) = tokio::join!(write, read);
        let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        assert!(
            read.is_ok(),
            "{name}: the answer was followed by a reset: {read:?}"
        );
        assert!(
            answer.starts_with(&format!("http/1.1 {status}")),
            "{name}: {answer}"
        );
        assert!(answer.contains("connection: close\r\n"), "{name}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_after_the_answer_resets_nothing() {
    let stage = Stage::open().await;
    stage.event("early", json!({})).await;
    let refusals = early_refusals().into_iter();
    for (name, head, status) in refusals.filter(|refusal| refusal.2 != 413) {
        let mut stream = connect(&stage).await;
        let head = format!("{head}Content-Length: 1000000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (head, _) = read_response(&mut stream).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{name}: {head}"
        );
        let written = stream.write_all(&vec![b' '; 1_000_000]).await;
        let ended = stream.read_to_end(&mut Vec::new()).await;
        assert!(
            written.is_ok() && ended.is_ok(),
            "{name}: {written:?} {ended:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_survives_answers_that_leave_a_short_body_unread() {
    let stage = Stage::open().await;
    stage.event("early", json!({})).await;
    let mut stream = connect(&stage).await;
    for (name, head, status) in early_refusals()
        .into_iter()
        .filter(|refusal| refusal.2 != 413)
    {
        let body = "x".repeat(20_000);
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, _) = read_response(&mut stream).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{name}: {head}"
        );
        assert!(!head.contains("connection: close"), "{name}: {head}");
    }
    let chunked = "POST /no/such/page HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    stream.write_all(chunked.as_bytes()).await.unwrap();
    assert!(
        read_response(&mut stream)
            .await
            .0
            .starts_with("http/1.1 404")
    );
    let last = "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(last.as_bytes()).await.unwrap();
    let (head, body) = read_response(&mut stream).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(body.starts_with(b"["), "the answer to the last request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_continue_is_refused_without_being_asked_for_the_body() {
    let stage = Stage::open().await;
    let request = "POST /no/such/page HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    let answer = until_closed(&stage, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("connection: close\r\n"),
        "{answer}"
    );
}

/// Sends a request whose Cookie header may contain any bytes; returns the status.
async fn with_cookie(stage: &Stage, request: &str, cookie: &[u8]) -> u16 {
    let mut bytes = format!(
        "{request}Host: x\r\nConnection: close\r\nOrigin: {}\r\n",
        stage.url
    )
    .into_bytes();
    bytes.extend_from_slice(b"Cookie: ");
    bytes.extend_from_slice(cookie);
    bytes.extend_from_slice(b"\r\n\r\n");
    let answer = until_closed(stage, &bytes).await;
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_other_software_hide_none_of_ours() {
    let stage = Stage::open().await;
    stage.event("cookies", json!({})).await;
    let session = stage.session("cookies").await;
    let (pass, token) = stage.admit("cookies").await;
    let signed_in = stage
        .client
        .raw(
            Method::POST,
            "/api/v1/organiser/session",
            &[("content-type", "application/json")],
            json!({"key": KEY}).to_string().into(),
        )
        .await
        .unwrap();
    let console = signed_in.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    for foreign in [
        &b"a=\xc3\xa9"[..],
        b"n=caf\xe9",
        b"__utmz=utmccn=Festival-M\xfcnchen",
        b"\xff",
        b"=; ;a;\xfe=1",
        b"fairline_pass_cookies=\"x; fairline_console=a.b; fairline_admission_cookies=a.b.c",
    ] {
        for (request, cookie, status) in [
            (
                "GET /api/v1/events/cookies/line/me HTTP/1.1\r\n",
                format!("fairline_pass_cookies={pass}"),
                200,
            ),
            (
                "POST /api/v1/events/cookies/line HTTP/1.1\r\n",
                format!("fairline_pass_cookies={pass}"),
                200,
            ),
            (
                "GET /gate/cookies HTTP/1.1\r\n",
                format!("fairline_admission_cookies={token}"),
                204,
            ),
            (
                "GET /api/v1/events/cookies/sessions HTTP/1.1\r\n",
                format!("fairline_session_cookies={session}"),
                200,
            ),
            (
                "GET /api/v1/organiser/session HTTP/1.1\r\n",
                console.clone(),
                200,
            ),
        ] {
            for line in [
                [foreign, b"; ", cookie.as_bytes()].concat(),
                [cookie.as_bytes(), b";", foreign].concat(),
            ] {
                assert_eq!(
                    with_cookie(&stage, request, &line).await,
                    status,
                    "{request} {}",
                    String::from_utf8_lossy(&line)
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn return_to_leads_to_our_own_pages_whatever_a_browser_makes_of_it() {
    let stage = Stage::open().await;
    stage.event("back", json!({})).await;
    let (pass, _) = stage.admit("back").await;
    let bearer = format!("Bearer {pass}");
    let go_to = async |return_to: &str| {
        let path = format!("/e/back?return_to={return_to}");
        let page = stage
            .client
            .raw(Method::GET, &path, &[("authorization", &bearer)], vec![])
            .await
            .unwrap();
        let text = String::from_utf8(page.body().to_vec()).unwrap();
        let link = text.split("id=\"go\"").nth(1).unwrap();
        link.split("href=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    };
    let ours = "/e/back/seats";
    for byte in (0..=0x20).chain([0x5c, 0x7f]) {
        for at in [
            format!("/%{byte:02x}/evil.example/pay"),
            format!("%{byte:02x}//evil.example/pay"),
            format!("//%{byte:02x}evil.example/pay"),
            format!("http:%{byte:02x}//evil.example"),
        ] {
            assert_eq!(go_to(&at).await, ours, "{at}");
        }
    }
    for foreign in [
        "//evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "http://127.0.0.1.evil.example",
        "/%5Cevil.example",
        "http:evil.example",
    ] {
        assert_eq!(go_to(foreign).await, ours, "{foreign}");
    }
    assert_eq!(
        go_to("/tickets%3Fa=1%26b=2%23c").await,
        "/tickets?a=1&amp;b=2#c"
    );
    let own = format!("{}/x", stage.url);
    assert_eq!(go_to(&own).await, own);
    for twice in [
        "//evil.example&return_to=/x",
        "/x&return_to=//evil.example",
        "/x&return_to=/y",
    ] {
        assert_eq!(go_to(twice).await, "/x", "{twice}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_url_that_browsers_rewrite_is_refused() {
    let stage = Stage::open().await;
    stage.event("url", json!({})).await;
    let set = async |url: &str| -> (StatusCode, Value) {
        let answer = stage
            .organise(
                Method::PATCH,
                "/events/url",
                Some(json!({"checkout_url": url})),
            )
            .await;
        (answer.status, answer.body)
    };
    for url in [
        "/\t/evil.example",
        "\n//evil.example",
        "https:\t//shop.example",
        "//evil.example",
        "/\\evil.example",
        "https://user@shop.example",
        "javascript:alert(1)",
        "shop.example",
        "https://",
        "https://shop.example/a b",
    ] {
        let (status, body) = set(url).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url:?}: {body}");
        assert_eq!(word(&body["errors"][0]["field"]), "checkout_url");
    }
    for url in [
        "/",
        "/shop?x=1",
        "https://shop.example/a%20b",
        "http://127.0.0.1:3000/",
    ] {
        assert_eq!(set(url).await.0, StatusCode::OK, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_break_the_protocol_are_refused_with_a_problem() {
    let stage = Stage::open().await;
    for (heads, status) in [
        ("Host: a\r\nHost: a\r\n", 400),
        ("Host: a/b@c\r\n", 400),
        ("Host: \r\n", 400),
        ("", 400),
        ("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", 501),
        ("Host: a\r\nExpect: 200-ok\r\n", 417),
        ("Host: a:8080\r\n", 200),
        ("Host: [::1]:8080\r\n", 200),
    ] {
        let request = format!("GET /api/v1/events HTTP/1.1\r\nConnection: close\r\n{heads}\r\n");
        let answer = until_closed(&stage, request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{heads}{answer}"
        );
        let is_problem = answer.contains("application/problem+json");
        assert_eq!(is_problem, status != 200, "{answer}");
        assert!(
            answer.contains("cross-origin-resource-policy: same-origin"),
            "{answer}"
        );
    }
    let answer_to = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        until_closed(&stage, request.as_bytes()).await
    };
    let of_documents = [
        "content-security-policy: default-src 'self'",
        "x-frame-options: DENY",
        "referrer-policy: same-origin",
        "cross-origin-opener-policy: same-origin",
        "permissions-policy: accelerometer=()",
    ];
    let documents = ["/organiser", "/e/none"];
    for (path, is_document) in documents
        .map(|path| (path, true))
        .into_iter()
        .chain(["/static/api.js", "/static/base.css", "/api/v1/events"].map(|path| (path, false)))
    {
        let answer = answer_to(path).await;
        for header in of_documents {
            assert_eq!(answer.contains(header), is_document, "{path} {answer}");
        }
        assert!(
            answer.contains("x-content-type-options: nosniff"),
            "{path} {answer}"
        );
    }
}
