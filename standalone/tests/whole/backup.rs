//! `fairline backup`: a copy of a running sale, and the sale that is opened again from it.

use crate::crash::{KEY, Program, Promises, SmallDisk, check, complaint, journey, open_sale};
use crate::stage::word;
use client::next;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const FANS: usize = 24;

fn backup(data: &Path, to: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairline"));
    command.arg("backup").arg(to).env("FAIRLINE_DATA", data);
    command
}

/// Waits until so many orders were promised.
async fn until_sold(promises: &Promises, orders: usize) {
    let from = Instant::now();
    while promises.orders.lock().unwrap().len() < orders {
        assert!(
            from.elapsed() < Duration::from_secs(30),
            "the sale stands still"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_goes_on_from_a_backup_that_was_made_in_its_rush() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let mut program = Program::start(&data).await;
    open_sale(&program.client).await;
    let promises = Arc::new(Promises::default());
    let mut fans = JoinSet::new();
    for _ in 0..FANS {
        let (client, promises) = (program.client.clone(), promises.clone());
        fans.spawn(async move { while journey(&client, &promises).await.is_ok() {} });
    }
    until_sold(&promises, FANS).await;
    let places = promises.places.lock().unwrap().clone();
    let before = Arc::new(Promises {
        orders: Mutex::new(promises.orders.lock().unwrap().clone()),
        places: Mutex::new(places),
    });
    let made = tokio::task::spawn_blocking({
        let mut command = backup(&data, &copy);
        move || command.output().unwrap()
    });
    let made = made.await.unwrap();
    assert!(made.status.success(), "{made:?}");
    assert!(String::from_utf8_lossy(&made.stdout).contains("It holds secrets"));
    let sold = promises.orders.lock().unwrap().len();
    until_sold(&promises, sold + FANS).await;
    program.kill();
    fans.join_all().await;

    assert_eq!(mode(&copy), 0o700);
    for secret in [
        "pass-secret",
        "signing-key.pem",
        "service-key",
        "inventory.sqlite",
    ] {
        assert_eq!(mode(&copy.join(secret)), 0o600, "{secret}");
    }
    assert!(!copy.join("lock").exists());
    let restored = Program::start(&copy).await;
    check(&restored.client, &before).await;
    let mut fans = JoinSet::new();
    for _ in 0..FANS {
        let (client, before) = (restored.client.clone(), before.clone());
        fans.spawn(async move { journey(&client, &before).await.unwrap() });
    }
    fans.join_all().await;
    check(&restored.client, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joined_after_a_backup_is_not_shown_a_number_that_is_another_fans_since_it_was_restored()
 {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let mut program = Program::start(&data).await;
    let settings = json!({"id": "night", "name": "Night", "admission": {"rate_per_minute": 0}});
    let created = program.client.create_event(KEY, &settings, None).await;
    created.unwrap();
    let first = program.client.join("night").await.unwrap();
    let mut command = backup(&data, &copy);
    let made = tokio::task::spawn_blocking(move || command.output().unwrap());
    assert!(made.await.unwrap().status.success());
    let late = program.client.join("night").await.unwrap();
    let pass = word(&late["pass"]);
    let mut socket = program.client.watch("night", &pass).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap()["number"], 2);
    program.kill();

    let restored = Program::start(&copy).await;
    let other = restored.client.join("night").await.unwrap();
    assert_eq!(other["number"], 2, "it is given out once more");
    // Pages open their socket again, and ask for the place where they cannot.
    assert!(restored.client.watch("night", &pass).await.is_err());
    let me = "/api/v1/events/night/line/me";
    let asked = restored.client.get(me, &pass).await.unwrap();
    assert_eq!(asked.status, 401, "{}", asked.body);
    for (place, number) in [(&first, 1), (&other, 2)] {
        let asked = restored.client.get(me, &word(&place["pass"])).await;
        assert_eq!(asked.unwrap().body["number"], number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_cannot_be_says_why_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let program = Program::start(&data).await;
    open_sale(&program.client).await;
    let disk = SmallDisk::mount();
    let _ = fs::write(disk.0.path().join("filler"), vec![0; 4 * 1024 * 1024]);
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/file"), b"x").unwrap();
    fs::create_dir(folder.path().join("newer")).unwrap();
    fs::write(folder.path().join("newer/format"), b"fairline-data 2\n").unwrap();
    let at = |name: &str| folder.path().join(name);
    for (from, to, why) in [
        (data.clone(), at("full"), "is not empty"),
        (data.clone(), at("full/file"), "cannot hold the backup"),
        (data.clone(), at("none/copy"), "No such file or directory"),
        (data.clone(), data.join("copy"), "lies in the data folder"),
        (data.clone(), disk.0.path().join("copy"), "cannot be made"),
        (at("full"), at("copy"), "is not a Fairline data folder"),
        (at("none"), at("copy"), "is not a Fairline data folder"),
        (at("newer"), at("copy"), "of another version"),
    ] {
        let said = complaint(&mut backup(&from, &to));
        assert!(said.contains(why), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert_eq!(fs::read_dir(disk.0.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(at("full")).unwrap().count(), 1);
    assert!(!data.join("copy").exists());
    // Nothing but what was there.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    // An empty folder will do, and a process that uses the data folder is not needed.
    drop(program);
    fs::create_dir(at("empty")).unwrap();
    assert!(backup(&data, &at("empty")).status().unwrap().success());
    drop(Program::start(&at("empty")).await);
}
