//! Signals and the log: SIGTERM ends the program whatever became of the reader of its output.

use crate::crash::{command, free_port};
use client::Client;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Maximum time a test waits for the program to come up, to fill its log, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

fn terminate(child: &Child) {
    let status = Command::new("kill").arg(child.id().to_string()).status();
    assert!(status.unwrap().success());
}

/// Waits for the program to end by itself; returns whether it succeeded.
fn ends_well(mut child: Child) -> bool {
    let from = Instant::now();
    while from.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

async fn is_serving(client: &Client) -> bool {
    let from = Instant::now();
    while from.elapsed() < PATIENCE {
        let answer = client.get("/api/v1/events", "").await;
        if answer.is_ok_and(|answer| answer.status.is_success()) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_whose_log_has_no_reader_any_more_still_serves_and_ends_on_sigterm() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut child = command(&folder.path().join("data"), port)
            .env("FAIRLINE_LOG", "debug")
            .env("FAIRLINE_LOG_FORMAT", format)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        log.read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        drop((log, child.stdout.take()));
        let client = Client::new(&format!("http://127.0.0.1:{port}"));
        assert!(
            is_serving(&client).await,
            "{format}: each request is logged, into nothing"
        );
        terminate(&child);
        assert!(ends_well(child), "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_ends_on_sigterm_where_all_that_it_writes_goes_into_one_full_pipe() {
    // Whether the last line fits into the pipe depends on the length of the lines before it.
    for path in ["/static/api.js", "/static/a.js", "/static/base.css"] {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let (reader, writer) = std::io::pipe().unwrap();
        let child = command(&folder.path().join("data"), port)
            .env("FAIRLINE_LOG", "trace")
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        let client = Client::new(&format!("http://127.0.0.1:{port}"));
        assert!(is_serving(&client).await);
        // More lines than the log queue holds, so that it is full as well.
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let client = client.clone();
            asking.spawn(async move {
                for _ in 0..1_800 {
                    client.get(path, "").await.unwrap();
                }
            });
        }
        asking.join_all().await;
        terminate(&child);
        assert!(ends_well(child), "{path}");
        drop(reader);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_write_a_line_still_serves_and_ends_on_sigterm_and_on_ctrl_c() {
    // Closed from the start, and a disk without room.
    for end in [">&- 2>&-", "2>&-", ">/dev/full 2>/dev/full"] {
        for signal in ["TERM", "INT"] {
            let folder = tempfile::tempdir().unwrap();
            let port = free_port();
            let prepared = command(&folder.path().join("data"), port);
            let mut shell = Command::new("sh");
            let script = format!("exec \"$0\" {end}");
            shell.arg("-c").arg(script).arg(prepared.get_program());
            for (name, value) in prepared.get_envs() {
                shell.env(name, value.unwrap());
            }
            shell
                .env("FAIRLINE_LOG", "debug")
                .env("FAIRLINE_LOG_FORMAT", "json");
            let child = shell.spawn().unwrap();
            let client = Client::new(&format!("http://127.0.0.1:{port}"));
            assert!(is_serving(&client).await, "{end}");
            let id = child.id().to_string();
            let sent = Command::new("kill").args(["-s", signal, &id]).status();
            assert!(sent.unwrap().success());
            assert!(ends_well(child), "{end} {signal}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_whose_log_is_not_read_still_serves_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let child = command(&folder.path().join("data"), port)
        .env("FAIRLINE_LOG", "trace")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    assert!(is_serving(&client).await);
    // Each request logs at least a hundred bytes; a pipe holds 64 KiB.
    for _ in 0..2_000 {
        let answer = client.get("/api/v1/events", "").await.unwrap();
        assert!(answer.status.is_success());
    }
    terminate(&child);
    assert!(
        ends_well(child),
        "with a full pipe and a reader that sleeps"
    );
}
