//! Clients that do not take what they asked for, over HTTP/1.1, HTTP/2 and WebSockets. The tests last
//! as long as a server has patience, which is half a minute.

use crate::secure::{PATIENCE, Secure};
use crate::stage::Stage;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until};

const ASKED: usize = 30;

fn hall() -> Value {
    json!({"categories": [{"id": "c", "name": "C", "price": 100}],
        "areas": [{"id": "a", "category": "c", "capacity": 50_000}]})
}

/// Asks many times for a map of some megabytes on one connection.
async fn ask(stage: &Stage) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let address = stage.url.trim_start_matches("http://").parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = "GET /api/v1/events/slow/seats HTTP/1.1\r\nHost: x\r\n\r\n";
    let all = request.repeat(ASKED);
    stream.write_all(all.as_bytes()).await.unwrap();
    stream
}

/// Returns what the kernel knows of the server's end of a connection; nothing once it is gone.
fn server_end(stage: &Stage, client: &TcpStream) -> Vec<String> {
    let (_, server) = stage.url.rsplit_once(':').unwrap();
    let server: u16 = server.parse().unwrap();
    let [server, client] = [server, client.local_addr().unwrap().port()];
    let ends = [server, client].map(|port| format!(":{port:04X}"));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect());
    let line =
        lines.find(|line: &Vec<String>| line[1].ends_with(&ends[0]) && line[2].ends_with(&ends[1]));
    line.unwrap_or_default()
}

/// Returns the number of bytes that wait in the kernel for a client.
fn queued(stage: &Stage, client: &TcpStream) -> u64 {
    let end = server_end(stage, client);
    let (to_send, _) = end[4].split_once(':').unwrap();
    u64::from_str_radix(to_send, 16).unwrap()
}

/// Returns the number of bytes that still come.
async fn rest(mut stream: TcpStream) -> usize {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    let _ = tokio::time::timeout(PATIENCE, reading).await;
    bytes.len()
}

/// A client of HTTP/2 that lets the server send a little at a time.
async fn http2(secure: &Secure) -> (hyper::Response<hyper::body::Incoming>, impl Future) {
    let stream = secure.connect(&["h2"]).await;
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .initial_stream_window_size(16 * 1024)
        .initial_connection_window_size(64 * 1024);
    let handshake = builder.handshake::<_, String>(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let url = format!("https://127.0.0.1:{}/api/v1/events/slow/seats", secure.port);
    let request = Request::get(url).body(String::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert!(response.status().is_success());
    // A sender that is dropped would end the connection.
    let ended = async move {
        let _ = connection.await;
        drop(sender);
    };
    (response, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_is_given_up_and_who_is_slow_is_served() {
    let stage = Stage::open().await;
    stage.event("slow", json!({})).await;
    let put = stage.organise(Method::PUT, "/events/slow/seating", Some(hall()));
    put.await.ok().unwrap();
    let map = stage.get("/api/v1/events/slow/seats", "").await.body;
    let map_bytes = map.to_string().len();
    let secure = Secure::start().await;
    secure.create_event("slow");
    let plan = secure.folder.path().join("plan.json");
    std::fs::write(&plan, hall().to_string()).unwrap();
    let path = "/api/v1/organiser/events/slow/seating";
    let key = "Authorization: Bearer crash-organiser-key";
    let data = format!("@{}", plan.display());
    let json = "Content-Type: application/json";
    let arguments = ["-X", "PUT", "-H", key, "-H", json, "--data-binary", &data];
    let (head, _) = secure.curl("--http2", path, &arguments);
    assert!(head.starts_with("http/2 2"), "{head}");

    let (stuck, mut slow) = (ask(&stage).await, ask(&stage).await);
    let (kept, stuck_ended) = http2(&secure).await;
    let (mut slow_response, _slow_ended) = http2(&secure).await;
    let began = Instant::now();
    let mut piece = vec![0; 512 * 1024];
    for second in 1..=21 {
        sleep_until(began + Duration::from_secs(2 * second)).await;
        slow.read_exact(&mut piece).await.unwrap();
        let frame = http_body_util::BodyExt::frame(slow_response.body_mut()).await;
        assert!(frame.unwrap().is_ok(), "slow over HTTP/2, piece {second}");
    }
    let waiting = queued(&stage, &slow);
    assert!(
        (1..=512 * 1024).contains(&waiting),
        "{waiting} bytes wait in the kernel"
    );
    tokio::time::timeout(PATIENCE, stuck_ended)
        .await
        .expect("HTTP/2 should give it up");
    drop(kept);
    let rest = rest(stuck).await;
    assert!(rest < ASKED * map_bytes, "{rest} bytes came all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_whose_client_takes_nothing_is_closed() {
    let stage = Stage::open().await;
    stage.event("deaf", json!({})).await;
    let plan = json!({"categories": [{"id": "c", "name": "C", "price": 100}],
        "sections": [{"id": "s", "category": "c", "rows": 20, "seats_per_row": 50}]});
    let put = stage.organise(Method::PUT, "/events/deaf/seating", Some(plan));
    put.await.ok().unwrap();
    let map = "/api/v1/events/deaf/seats";
    let seats = stage.get(map, "").await.body["seats"].clone();
    let seats = seats.as_array().unwrap().iter();
    let all: Vec<&Value> = seats.map(|seat| &seat["id"]).collect();
    let session = stage.session("deaf").await;
    let host = stage.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let handshake = format!(
        "GET {map}/ws HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {session}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(handshake.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
    // Each change is of a thousand seats, so that no buffer takes all of them.
    for round in 0..60 {
        let (action, blocked) = match round % 2 {
            0 => ("block", all.len()),
            _ => ("unblock", 0),
        };
        let path = format!("/events/deaf/seats/{action}");
        let body = json!({"seats": all});
        let changed = stage.organise(Method::POST, &path, Some(body)).await;
        changed.ok().unwrap();
        stage
            .until(map, "", |map| map["counts"]["blocked"] == blocked)
            .await;
    }
    let closed = async {
        const ESTABLISHED: &str = "01";
        while server_end(&stage, &stream).get(3).map(String::as_str) == Some(ESTABLISHED) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed)
        .await
        .expect("the server should give it up");
}
