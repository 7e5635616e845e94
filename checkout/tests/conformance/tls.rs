//! TLS between a node and Postgres.

use crate::bench::{START, hall};
use checkout::inventory::{Inventory, Postgres};
use shared::ids::EventId;
use shared::time::Clock;
use std::path::Path;
use testkit::{Authority, shared_postgres};

/// Returns the URL of a database at a host, with a mode and, if any, a root certificate.
fn url(server: &testkit::Postgres, host: &str, mode: &str, root: Option<&Path>) -> String {
    let (port, database) = (server.port(), server.database());
    let root = root.map(|root| format!("&sslrootcert={}", root.display()));
    let root = root.unwrap_or_default();
    format!("postgres://postgres@{host}:{port}/{database}?sslmode={mode}{root}")
}

async fn open(url: &str) -> Result<Inventory, String> {
    let postgres = Postgres::open(url, Clock::manual(START)).await;
    postgres.map(Inventory::from)
}

/// Returns how many connections to a database are encrypted, and how many are not.
fn connections(server: &testkit::Postgres, url: &str) -> (u32, u32) {
    let database = url.split('?').next().unwrap().rsplit_once('/').unwrap().1;
    let count = |is: &str| -> u32 {
        let select = format!(
            "select count(*) from pg_stat_ssl join pg_stat_activity using (pid)
             where datname = '{database}' and {is} ssl"
        );
        server.run("postgres", &select).unwrap().parse().unwrap()
    };
    (count(""), count("not"))
}

#[tokio::test]
async fn every_connection_is_encrypted_where_tls_is_asked_for() {
    let authority = Authority::new();
    let server = testkit::Postgres::start_with_tls(&authority.issue(&["localhost"]));
    let root = authority.root();
    for (host, mode, root) in [
        ("localhost", "prefer", None),
        ("127.0.0.1", "require", None),
        ("127.0.0.1", "verify-ca", Some(root.as_path())),
        ("localhost", "verify-full", Some(root.as_path())),
    ] {
        let url = url(&server, host, mode, root);
        let seats = open(&url).await.unwrap();
        // The writer's connections as well.
        let event = EventId::parse("arena").unwrap();
        seats.set_seating(&event, hall()).await.unwrap();
        let block = checkout::inventory::Block::Block;
        let blocked = seats
            .block(&event, vec!["st-A-1".into()], block, None)
            .await;
        blocked.unwrap();
        let (encrypted, plain) = connections(&server, &url);
        assert!(encrypted >= 3, "{mode}: {encrypted} connections");
        assert_eq!(plain, 0, "{mode}");
    }
    let url = url(&server, "localhost", "disable", None);
    let _seats = open(&url).await.unwrap();
    assert_eq!(connections(&server, &url).0, 0);
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_refused_with_the_name_of_the_peer() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let root = Some(authority.root());
    let root = root.as_deref();
    let unknown = "invalid peer certificate";
    for (certificate, refusals) in [
        (
            stranger.issue(&["localhost"]),
            // The last as in libpq: an authority that is named is asked.
            vec![
                ("verify-full", unknown),
                ("verify-ca", unknown),
                ("require", unknown),
            ],
        ),
        (
            authority.issue_expired(&["localhost"]),
            vec![("verify-full", "expired"), ("verify-ca", "expired")],
        ),
        (
            authority.issue(&["shop.example"]),
            vec![("verify-full", "not valid for name")],
        ),
    ] {
        let server = testkit::Postgres::start_with_tls(&certificate);
        for (mode, why) in refusals {
            let url = url(&server, "localhost", mode, root);
            let error = open(&url).await.err().unwrap();
            assert!(error.contains(why), "{mode}: {error}");
            let peer = format!("localhost:{}", server.port());
            assert!(error.contains(&peer), "{mode}: {error}");
            assert_eq!(connections(&server, &url), (0, 0));
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let servers = shared_postgres();
    let url = url(&servers.postgres, "localhost", "require", None);
    let error = open(&url).await.err().unwrap();
    assert!(error.contains("does not support TLS"), "{error}");
}
