//! Stores of a newer version of the program, and of an older one where it cannot go on with them,
//! are refused at the start and left as they are.

use crate::crash::{Program, command, complaint, free_port, open_sale};
use std::path::Path;
use std::process::Command;

fn start(data: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = command(data, free_port());
    command.envs(settings.iter().copied());
    command
}

/// Asserts that the program ends with one line that says this.
fn refuses(data: &Path, settings: &[(&str, &str)], why: &str) {
    let said = complaint(&mut start(data, settings));
    assert!(said.contains(why), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_newer_version_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut program = Program::start(&data).await;
    open_sale(&program.client).await;
    program.kill();
    for name in ["line/crash.sqlite", "inventory.sqlite"] {
        let file = rusqlite::Connection::open(data.join(name)).unwrap();
        let version = |file: &rusqlite::Connection| -> u32 {
            let row = file.query_row("pragma user_version", [], |row| row.get(0));
            row.unwrap()
        };
        let known = version(&file);
        assert!(known > 0, "{name} has a version");
        file.pragma_update(None, "user_version", 99).unwrap();
        refuses(&data, &[], "has version 99, this program knows");
        assert_eq!(version(&file), 99);
        file.pragma_update(None, "user_version", known).unwrap();
    }
    drop(Program::start(&data).await);
    std::fs::write(data.join("format"), "fairline-data 2\n").unwrap();
    refuses(&data, &[], "of another version");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = testkit::Postgres::start();
    let database = server.database();
    let url = server.url(&database);
    let settings = [("FAIRLINE_INVENTORY", url.as_str())];
    drop(Program::of(start(&data, &settings)).await);
    let newer = "insert into fairline._sqlx_migrations (version, description, success, checksum, execution_time)
        values (99, 'newer', true, '', 0)";
    server.run(&database, newer).unwrap();
    refuses(&data, &settings, "has version 99, this program knows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let redis = testkit::Redis::start();
    let url = redis.url();
    let settings = [
        ("FAIRLINE_LINE", url.as_str()),
        ("FAIRLINE_PASS_SECRET", crate::stage::PASS_SECRET),
        ("FAIRLINE_SERVICE_KEY", crate::stage::SERVICE_KEY),
    ];
    drop(Program::of(start(&data, &settings)).await);
    assert_eq!(redis.ask(&["GET", "fairline:format"]).as_deref(), Some("3"));
    for other in ["2", "4"] {
        redis.ask(&["SET", "fairline:format", other]).unwrap();
        let why = format!("has data of version {other}, this program knows 3");
        refuses(&data, &settings, &why);
    }
}
