//! TLS to Redis: a single server, Sentinels and a cluster, with certificates that hold and that do
//! not.

use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::{Authority, Cluster, Redis as Server, Sentinels};
use waiting_room::line::{EventSettings, Line, Redis};

/// An engine on a URL, and its folder.
struct Node {
    line: Arc<Redis>,
    _folder: tempfile::TempDir,
}

impl Node {
    fn open(url: &str) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let line = Redis::open(url, folder.path().to_owned(), Clock::system()).unwrap();
        Node {
            line: Arc::new(line),
            _folder: folder,
        }
    }

    /// Creates an event and joins it.
    async fn sells(&self) {
        let event = EventId::parse("arena").unwrap();
        let settings = EventSettings::new(event.clone(), "Arena");
        self.line.create(settings).await.unwrap();
        let joined = self.line.join(&event, &[VisitorId(1)]).await.unwrap();
        assert_eq!(joined.len(), 1);
        assert_eq!(self.line.trouble().await, None);
    }

    /// Returns why the engine refuses its servers. On a busy machine they may be late first.
    async fn refusal(&self) -> String {
        let from = Instant::now();
        loop {
            assert!(self.line.events().await.is_err());
            let detail = self.line.trouble().await.unwrap().detail;
            let is_late = detail.ends_with("no answer in time");
            if !is_late || from.elapsed() > Duration::from_secs(60) {
                return detail;
            }
        }
    }
}

/// Names a root certificate in a URL.
fn trusting(url: &str, authority: &Authority) -> String {
    format!("{url}?sslrootcert={}", authority.root().display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_kept_over_tls_by_one_server_by_sentinels_and_by_a_cluster() {
    let authority = Authority::new();
    let certificate = authority.issue(&["localhost", "127.0.0.1"]);
    let single = Server::with_tls(&authority, &certificate, &[]);
    Node::open(&trusting(&single.url(), &authority))
        .sells()
        .await;
    let sentinels = Sentinels::start_tls(&authority, &certificate);
    Node::open(&trusting(&sentinels.url(), &authority))
        .sells()
        .await;
    let cluster = Cluster::start_tls(&authority, &certificate);
    Node::open(&trusting(&cluster.url(), &authority))
        .sells()
        .await;
}

/// URLs of the three topologies at one port.
fn urls(scheme: &str, port: u16) -> [String; 3] {
    [
        format!("{scheme}://localhost:{port}"),
        format!("{scheme}+sentinel://localhost:{port}/line"),
        format!("{scheme}+cluster://localhost:{port}"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_wrong_certificate_is_refused_by_name() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let names = ["localhost", "127.0.0.1"];
    for (certificate, root, reason) in [
        (authority.issue(&names), &stranger, "UnknownIssuer"),
        (stranger.issue(&names), &authority, "UnknownIssuer"),
        (authority.issue_expired(&names), &authority, "expired"),
        (
            authority.issue(&["redis.example.org"]),
            &authority,
            "not valid for name \"localhost\"",
        ),
    ] {
        let server = Server::with_tls(&authority, &certificate, &[]);
        for url in urls("rediss", server.port()) {
            let refusal = Node::open(&trusting(&url, root)).refusal().await;
            let peer = format!("localhost:{}", server.port());
            assert!(refusal.starts_with("Redis at "), "{url}: {refusal}");
            assert!(refusal.contains(&peer), "{url}: {refusal}");
            assert!(refusal.contains(reason), "{url}: {refusal}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_refused_without_its_authority_among_those_of_the_system() {
    let authority = Authority::new();
    let server = Server::with_tls(&authority, &authority.issue(&["localhost"]), &[]);
    for url in urls("rediss", server.port()) {
        let refusal = Node::open(&url).refusal().await;
        assert!(refusal.contains("UnknownIssuer"), "{url}: {refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_that_sentinels_and_clusters_lead_to_are_checked_as_well() {
    let authority = Authority::new();
    // Valid for the host in the URL, but not for the address that is announced.
    let certificate = authority.issue(&["localhost"]);
    let sentinels = Sentinels::start_tls(&authority, &certificate);
    let cluster = Cluster::start_tls(&authority, &certificate);
    for (url, reason) in [
        (sentinels.url(), "not valid for name \"127.0.0.1\""),
        (cluster.url(), "must name the addresses that they announce"),
    ] {
        let url = url.replace("127.0.0.1", "localhost");
        let refusal = Node::open(&trusting(&url, &authority)).refusal().await;
        assert!(refusal.contains(reason), "{url}: {refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_with_tls_and_a_server_without_it_say_what_to_change_and_so_the_other_way_round() {
    let authority = Authority::new();
    let with_tls = Server::with_tls(&authority, &authority.issue(&["localhost"]), &[]);
    for url in urls("redis", with_tls.port()) {
        let refusal = Node::open(&url).refusal().await;
        assert!(refusal.contains("begins with rediss"), "{url}: {refusal}");
    }
    let without = Server::with(testkit::free_port(), &[]);
    let url = format!("rediss://localhost:{}", without.port());
    let refusal = Node::open(&trusting(&url, &authority)).refusal().await;
    assert!(
        refusal.contains("begins with redis instead of rediss"),
        "{refusal}"
    );
}

#[test]
fn mistakes_in_a_url_are_reported_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    let missing = folder.path().join("missing.pem");
    let root = Authority::new();
    for (url, reason) in [
        (
            "rediss://u:secret@host#insecure".to_owned(),
            "always checked",
        ),
        (
            "rediss+cluster://u:secret@host:1#insecure".to_owned(),
            "always checked",
        ),
        ("rediss+unix:///u:secret".to_owned(), "neither 'embedded'"),
        ("tls://u:secret@host".to_owned(), "neither 'embedded'"),
        (
            "redis+cluster://u:secret@host:port".to_owned(),
            "not host:port",
        ),
        (
            "redis+cluster://u:secret@host?tls=no".to_owned(),
            "the parameters are",
        ),
        ("redis://u:secret@host?prefix=A_B".to_owned(), "prefix"),
        (
            trusting("redis://u:secret@host", &root),
            "sslrootcert needs TLS",
        ),
        (
            format!("rediss://u:secret@host?sslrootcert={}", missing.display()),
            "missing.pem",
        ),
        (
            format!("rediss://u:secret@host?sslrootcert={}", empty.display()),
            "not a file of PEM certificates",
        ),
    ] {
        let error = Redis::check(&url).unwrap_err();
        assert!(error.starts_with("FAIRLINE_LINE: "), "{error}");
        assert!(error.contains(reason), "{url}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    for url in [
        "redis+unix:///path?prefix=a&db=1".to_owned(),
        trusting("rediss+sentinel://u:secret@host,other/line", &root),
        "rediss+cluster://u:secret@host:1,other:2?prefix=b".to_owned(),
    ] {
        Redis::check(&url).unwrap();
    }
}
