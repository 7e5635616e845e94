//! Crashes: `kill -9` at random moments of a rush, a full disk, a folder in use. No acknowledged
//! change is lost.

use crate::stage::{CARD, word};
use client::Client;
use rand::RngExt as _;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) const KEY: &str = "crash-organiser-key";
const ROUNDS: usize = 20;

/// The real binary on a free port.
pub(crate) struct Program {
    child: Child,
    pub(crate) client: Client,
}

pub(crate) fn command(data: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairline"));
    command
        .env("FAIRLINE_LISTEN", format!("127.0.0.1:{port}"))
        .env("FAIRLINE_OPS_LISTEN", "127.0.0.1:0")
        .env("FAIRLINE_DATA", data)
        .env("FAIRLINE_ORGANISER_KEY", KEY)
        .env("FAIRLINE_REQUESTS_PER_SECOND", "0")
        .env("FAIRLINE_JOINS_PER_MINUTE", "0")
        .env("FAIRLINE_REJOINS_PER_HOUR", "0")
        .env("FAIRLINE_CONNECTIONS_PER_ADDRESS", "0")
        .env("FAIRLINE_DELAY_MS", "0")
        .env("FAIRLINE_LOG", "off")
        .stdout(Stdio::null());
    command
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl Program {
    pub(crate) async fn start(data: &Path) -> Program {
        Program::of(command(data, free_port())).await
    }

    /// Starts a prepared command, and waits until it answers.
    pub(crate) async fn of(mut command: Command) -> Program {
        let is_address = |(name, _): &(&OsStr, Option<&OsStr>)| *name == "FAIRLINE_LISTEN";
        let address = command.get_envs().find(is_address).and_then(|it| it.1);
        let address = address.unwrap().to_str().unwrap().to_owned();
        let client = Client::new(&format!("http://{address}"));
        let program = Program {
            child: command.spawn().unwrap(),
            client,
        };
        for _ in 0..500 {
            let answer = program.client.get("/api/v1/events", "").await;
            if answer.is_ok_and(|answer| answer.status.is_success()) {
                return program;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the program did not come up");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Changes that the server acknowledged before it died.
#[derive(Default)]
pub(crate) struct Promises {
    /// Numbers by pass.
    pub(crate) places: Mutex<HashMap<String, u64>>,
    /// Session and seats of each order.
    pub(crate) orders: Mutex<HashMap<String, (String, Vec<String>)>>,
}

/// Creates an event that admits everyone, with a hall.
pub(crate) async fn open_sale(client: &Client) {
    let settings = json!({"id": "crash", "name": "Crash", "admission": {"rate_per_minute": 6_000_000, "batch_seconds": 1,
        "max_active": 1_000_000, "away_seconds": 86_400}});
    let plan = json!({"categories": [{"id": "c", "name": "C", "price": 100}], "sections": [{"id": "s", "category": "c", "rows": 40, "seats_per_row": 50}]});
    let created = client.create_event(KEY, &settings, Some(plan)).await;
    created.unwrap();
}

/// Simulates one fan while the server lives, recording what it acknowledges.
pub(crate) async fn journey(client: &Client, promises: &Promises) -> Result<(), String> {
    let place = client.join("crash").await?;
    let pass = word(&place["pass"]);
    promises
        .places
        .lock()
        .unwrap()
        .insert(pass.clone(), place["number"].as_u64().unwrap());
    let token = loop {
        let me = client
            .get("/api/v1/events/crash/line/me", &pass)
            .await?
            .ok()?;
        if let Some(token) = me["token"].as_str() {
            break token.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(120)).await;
    };
    let session = client
        .post("/api/v1/events/crash/sessions", &token, json!({}))
        .await?
        .ok()?;
    let session = word(&session["session"]);
    let wish = json!({"best_available": {"quantity": rand::rng().random_range(1..4)}});
    let hold = client
        .post("/api/v1/events/crash/holds", &session, wish)
        .await?
        .ok()?;
    if rand::rng().random_bool(0.2) {
        return Ok(());
    }
    let order = json!({"hold": hold["id"], "buyer": {"name": "C", "email": "c@x.example"}});
    let order = client.post("/api/v1/orders", &session, order).await?.ok()?;
    let path = format!(
        "/api/v1/payments/simulated/{}",
        word(&order["payment"]["id"])
    );
    let paid = client
        .post(&path, &session, json!({"card": CARD}))
        .await?
        .ok()?;
    if paid["state"] == "confirmed" {
        let seats = paid["seats"]
            .as_array()
            .unwrap()
            .iter()
            .map(|seat| word(&seat["id"]))
            .collect();
        promises
            .orders
            .lock()
            .unwrap()
            .insert(word(&paid["id"]), (session, seats));
    }
    Ok(())
}

/// Asserts that acknowledged changes are kept, no seat has two owners, and the sums agree.
pub(crate) async fn check(client: &Client, promises: &Promises) {
    let places = promises.places.lock().unwrap().clone();
    let mut numbers = std::collections::HashSet::new();
    for (pass, number) in &places {
        let me = client
            .get("/api/v1/events/crash/line/me", pass)
            .await
            .unwrap()
            .ok()
            .unwrap();
        assert_eq!(
            me["number"].as_u64(),
            Some(*number),
            "an acknowledged place is never lost"
        );
        assert!(numbers.insert(*number), "two fans with number {number}");
    }
    let orders = promises.orders.lock().unwrap().clone();
    let mut owners: HashMap<String, String> = HashMap::new();
    for (id, (session, seats)) in &orders {
        let order = client
            .get(&format!("/api/v1/orders/{id}"), session)
            .await
            .unwrap()
            .ok()
            .unwrap();
        assert_eq!(
            order["state"], "confirmed",
            "a confirmed order is a promise: {order}"
        );
        let tickets: Vec<String> = order["tickets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ticket| word(&ticket["seat"]))
            .collect();
        assert_eq!(tickets.len(), seats.len());
    }
    let all = client
        .get("/api/v1/organiser/events/crash/orders?limit=1000", KEY)
        .await
        .unwrap()
        .ok()
        .unwrap();
    let mut revenue = 0;
    for order in all["orders"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|order| order["state"] == "confirmed")
    {
        revenue += order["total"]["amount"].as_i64().unwrap();
        for seat in order["seats"].as_array().unwrap() {
            let before = owners.insert(word(&seat["id"]), word(&order["id"]));
            assert_eq!(before, None, "seat {} was sold twice", seat["id"]);
        }
    }
    let sales = client
        .get("/api/v1/organiser/events/crash/sales", KEY)
        .await
        .unwrap()
        .ok()
        .unwrap();
    let count = |name: &str| sales[name].as_u64().unwrap() as usize;
    assert_eq!(count("booked"), owners.len());
    assert_eq!(
        count("available") + count("held") + count("booked"),
        count("capacity")
    );
    assert_eq!(sales["revenue"]["amount"], revenue);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_of_a_rush_nothing_promised_is_lost_and_no_hold_is_stuck() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut program = Program::start(&data).await;
    open_sale(&program.client).await;
    let rules = json!({"hold_seconds": 1, "hold_max_seconds": 2});
    let path = "/api/v1/organiser/events/crash/checkout";
    program
        .client
        .call(hyper::Method::PATCH, path, KEY, Some(rules))
        .await
        .unwrap()
        .ok()
        .unwrap();
    let promises = Arc::new(Promises::default());
    for _ in 0..ROUNDS {
        let mut fans = tokio::task::JoinSet::new();
        for _ in 0..24 {
            let (client, promises) = (program.client.clone(), promises.clone());
            fans.spawn(async move { while journey(&client, &promises).await.is_ok() {} });
        }
        let moment_ms = rand::rng().random_range(50..1500);
        tokio::time::sleep(Duration::from_millis(moment_ms)).await;
        program.kill();
        fans.join_all().await;
        program = Program::start(&data).await;
        check(&program.client, &promises).await;
    }
    let orders = promises.orders.lock().unwrap().len();
    assert!(
        orders > 50,
        "the rounds should have sold something, not {orders}"
    );
    let mut held = Value::Null;
    for _ in 0..300 {
        let sales = program
            .client
            .get("/api/v1/organiser/events/crash/sales", KEY)
            .await
            .unwrap()
            .ok()
            .unwrap();
        held = sales["held"].clone();
        if held == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(held, 0, "a hold is stuck");
    check(&program.client, &promises).await;
}

/// A file system of a few megabytes, unmounted on drop.
pub(crate) struct SmallDisk(pub(crate) tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount() -> SmallDisk {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(
            mounted.success(),
            "this test mounts a small disk: run it as root"
        );
        SmallDisk(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_loses_nothing_and_recovers_when_there_is_room() {
    let disk = SmallDisk::mount();
    let program = Program::start(&disk.0.path().join("data")).await;
    let settings = json!({"id": "full", "name": "Full", "paused": true});
    let plan = json!({"categories": [{"id": "c", "name": "C", "price": 100}], "areas": [{"id": "a", "category": "c", "capacity": 50}]});
    program
        .client
        .create_event(KEY, &settings, Some(plan))
        .await
        .unwrap();
    let kept: Vec<Value> = [
        program.client.join("full").await.unwrap(),
        program.client.join("full").await.unwrap(),
    ]
    .into();
    let filler = disk.0.path().join("filler");
    let _ = std::fs::write(&filler, vec![0; 4 * 1024 * 1024]);
    let mut acknowledged = kept.clone();
    let mut refused = 0;
    for _ in 0..2000 {
        let answer = program
            .client
            .post("/api/v1/events/full/line", "", json!({}))
            .await
            .unwrap();
        match answer.status.as_u16() {
            201 => acknowledged.push(answer.body),
            503 => {
                assert_eq!(answer.body["type"], "/problems/unavailable");
                refused += 1;
            }
            other => panic!("{other}: {}", answer.body),
        }
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "the disk should have been full");
    let is_told = async |is_told: bool| {
        let from = Instant::now();
        let path = "/api/v1/organiser/events/full/stats";
        loop {
            let stats = program.client.get(path, KEY).await.unwrap();
            let words = stats.body["trouble"].as_str().unwrap_or_default();
            if stats.status == 200 && words.contains("takes no changes") == is_told {
                return;
            }
            assert!(from.elapsed() < Duration::from_secs(10), "{}", stats.body);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    is_told(true).await;
    std::fs::remove_file(&filler).unwrap();
    let next = loop {
        let answer = program
            .client
            .post("/api/v1/events/full/line", "", json!({}))
            .await
            .unwrap();
        if answer.status == 201 {
            break answer.body;
        }
        assert_eq!(answer.status, 503);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(
        next["number"].as_u64().unwrap(),
        acknowledged.len() as u64 + 1,
        "no number was lost or given twice"
    );
    acknowledged.push(next);
    is_told(false).await;
    for place in &acknowledged {
        let me = program
            .client
            .get("/api/v1/events/full/line/me", &word(&place["pass"]))
            .await
            .unwrap()
            .ok()
            .unwrap();
        assert_eq!(
            (&me["number"], &me["state"]),
            (&place["number"], &json!("waiting"))
        );
    }
}

/// Returns the program's error output when it cannot start; asserts that it exits with 2.
pub(crate) fn complaint(command: &mut Command) -> String {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_be_says_why_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut program = Program::start(&data).await;
    let settings = json!({"id": "kept", "name": "Kept"});
    program
        .client
        .create_event(KEY, &settings, None)
        .await
        .unwrap();
    let held = complaint(&mut command(&data, free_port()));
    assert!(held.contains("held by another process"), "{held}");
    program.kill();
    let journal = data.join("line/kept.sqlite");
    let _ = std::fs::remove_file(journal.with_extension("sqlite-wal"));
    std::fs::write(&journal, b"garbage that was a journal").unwrap();
    let damaged = complaint(&mut command(&data, free_port()));
    assert!(
        damaged.contains("kept.sqlite") && damaged.contains("damaged"),
        "{damaged}"
    );
    assert_eq!(
        std::fs::read(&journal).unwrap(),
        b"garbage that was a journal"
    );
    std::fs::write(folder.path().join("file"), b"x").unwrap();
    let no_folder = complaint(&mut command(&folder.path().join("file/data"), free_port()));
    assert!(
        no_folder.contains("FAIRLINE_DATA: the data folder")
            && no_folder.contains("cannot be made"),
        "{no_folder}"
    );
    let all = complaint(
        command(&data, free_port())
            .env("FAIRLINE_TRUSTED_HOPS", "x")
            .env("FAIRLINE_LINE", "redis+sentinel://h:1")
            .env("FAIRLINE_PAYMENTS", "gold"),
    );
    assert_eq!(all.lines().count(), 5, "{all}");
    for name in [
        "FAIRLINE_TRUSTED_HOPS",
        "FAIRLINE_LINE: redis+sentinel://host:port,…/master-name needs the master's name",
        "FAIRLINE_PASS_SECRET: needed with Redis",
        "FAIRLINE_SERVICE_KEY: needed with Redis",
        "FAIRLINE_PAYMENTS",
    ] {
        assert!(all.contains(name), "{all}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let busy = complaint(&mut command(&folder.path().join("other"), port));
    assert!(busy.contains("FAIRLINE_LISTEN: cannot listen on"), "{busy}");
}
