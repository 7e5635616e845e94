//! The gate before a site that knows nothing of it: the repository's own nginx configuration, under
//! load and in trouble.

use crate::site::{KEY, Node, Site, word};
use client::Client;
use futures_util::future::join_all;
use hyper::{Method, Response, StatusCode, body::Bytes};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::{Server, free_port};

pub(crate) const COOKIE: &str = "fairline_admission_my-event";

/// nginx with `protect-any-site.conf` before a shop that answers who it was told the visitor is,
/// and from where.
pub(crate) struct Shop {
    _nginx: Server,
    _folder: tempfile::TempDir,
    client: Client,
}

impl Shop {
    pub(crate) async fn open(rooms: &[Node]) -> Shop {
        let address = |room: &Node| room.url.trim_start_matches("http://").to_owned();
        let addresses: Vec<String> = rooms.iter().map(address).collect();
        Shop::before(&addresses, "").await
    }

    /// The gate is asked at these addresses. `more` is further configuration of nginx's.
    async fn before(addresses: &[String], more: &str) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let (front, shop) = (free_port(), free_port());
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nginx/protect-any-site.conf");
        let text = std::fs::read_to_string(ours).unwrap();
        let first = text.find("    server 127.0.0.1:8081").unwrap();
        let last = text.find("    server 127.0.0.1:8083").unwrap();
        let end = last + text[last..].find('\n').unwrap() + 1;
        let settings = &text[first..first + text[first..].find('\n').unwrap()];
        let node = |address: &String| settings.replace("127.0.0.1:8081", address) + "\n";
        let nodes: String = addresses.iter().map(node).collect();
        let text = format!("{}{nodes}{}", &text[..first], &text[end..])
            .replace("listen 80;", &format!("listen 127.0.0.1:{front};"))
            .replace("127.0.0.1:3000", &format!("127.0.0.1:{shop}"));
        std::fs::write(folder.path().join("protect.conf"), text).unwrap();
        let conf = format!(
            "pid p; error_log e; events {{ worker_connections 8192; }} http {{ access_log off; \
             client_body_temp_path b; proxy_temp_path x; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; \
             include protect.conf; server {{ listen 127.0.0.1:{shop}; \
             return 200 'shop $http_x_fairline_visitor $http_x_forwarded_for'; }} {more} }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, conf).unwrap();
        let (prefix, file) = (
            folder.path().display().to_string(),
            file.display().to_string(),
        );
        let arguments = ["-p", &prefix, "-c", &file, "-g", "daemon off;"];
        let nginx = Server::start(folder.path(), "nginx", &arguments);
        let shop = Shop {
            _nginx: nginx,
            _folder: folder,
            client: Client::new(&format!("http://127.0.0.1:{front}")),
        };
        let from = Instant::now();
        while let Err(error) = shop.client.raw(Method::GET, "/", &[], Vec::new()).await {
            assert!(from.elapsed() < Duration::from_secs(10), "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        shop
    }

    /// Asks for a page, as browsers do.
    pub(crate) async fn get(&self, heads: &[(&str, &str)]) -> Response<Bytes> {
        let heads = [heads, &[("sec-fetch-mode", "navigate")]].concat();
        let answer = self.client.raw(Method::GET, "/buy", &heads, Vec::new());
        answer.await.unwrap()
    }

    /// So many requests, `at_once` together: how often each status was answered.
    async fn load(
        &self,
        count: usize,
        at_once: usize,
        heads: &[(&str, &str)],
    ) -> BTreeMap<u16, usize> {
        let mut statuses = BTreeMap::new();
        for _ in 0..count / at_once {
            for answer in join_all((0..at_once).map(|_| self.get(heads))).await {
                *statuses.entry(answer.status().as_u16()).or_default() += 1;
            }
        }
        statuses
    }
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}

/// The event of the configuration, which sells nothing here.
pub(crate) async fn my_event(site: &Site, max_active: usize) {
    let policy = json!({"rate_per_minute": 60_000, "batch_seconds": 1, "max_active": max_active});
    let event = json!({"id": "my-event", "name": "The night", "admission": policy,
        "checkout_url": "/"});
    site.client.create_event(KEY, &event, None).await.unwrap();
}

/// The event of the configuration, and the admission of a fan as a cookie.
async fn admitted(site: &Site) -> String {
    my_event(site, 100).await;
    let (_, token) = site.admit("my-event").await;
    format!("{COOKIE}={token}")
}

/// Limits as they are by default, and so many proxies that are believed.
fn limits(hops: &str) -> Vec<(&'static str, String)> {
    [
        ("FAIRLINE_TRUSTED_HOPS", hops),
        ("FAIRLINE_REQUESTS_PER_SECOND", "100"),
        ("FAIRLINE_VISITOR_REQUESTS_PER_SECOND", "10"),
        ("FAIRLINE_JOINS_PER_MINUTE", "30"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

#[tokio::test]
async fn the_gate_protects_a_site_that_knows_nothing_of_it() {
    let site = Site::open(1).await;
    let cookie = admitted(&site).await;
    let shop = Shop::open(&site.rooms).await;
    let away = shop.get(&[]).await;
    assert_eq!(away.status(), StatusCode::FOUND);
    assert_eq!(
        away.headers()["location"],
        format!("{}/.fairline/e/my-event?return_to=/buy", site.url).as_str()
    );
    assert_eq!(away.headers()["cache-control"], "no-store");
    // The visitor header comes from the gate, never from the client.
    let forged = [
        ("cookie", cookie.as_str()),
        ("x-fairline-visitor", "vis_forged"),
        ("x-forwarded-for", "203.0.113.9"),
    ];
    let inside = shop.get(&forged).await;
    assert_eq!(inside.status(), StatusCode::OK);
    let told = text(&inside);
    assert!(
        told.starts_with("shop vis_") && told.ends_with(" 127.0.0.1"),
        "{told}"
    );
    assert!(!told.contains("forged"), "{told}");
    // The site has an Authorization and large headers of its own.
    let large = "x".repeat(7000);
    for more in [
        ("authorization", "Basic dTpw"),
        ("authorization", "Bearer a-token-of-the-site"),
        ("x-large", large.as_str()),
    ] {
        let heads = [("cookie", cookie.as_str()), more, ("x-larger", &large)];
        assert_eq!(
            shop.get(&heads).await.status(),
            StatusCode::OK,
            "{}",
            more.0
        );
    }
    let forged = format!("{cookie}x");
    let answer = shop.get(&[("cookie", &forged)]).await;
    assert_eq!(answer.status(), StatusCode::FOUND);
    // The gate itself is asked by nginx alone: its path is the site's, as all others.
    let asked = async |heads: &[(&str, &str)]| {
        let asking = shop
            .client
            .raw(Method::GET, "/gate/my-event", heads, Vec::new());
        asking.await.unwrap()
    };
    assert_eq!(asked(&[]).await.status(), StatusCode::UNAUTHORIZED);
    let told = text(&asked(&[("cookie", cookie.as_str())]).await);
    assert!(told.starts_with("shop vis_"), "{told}");
    let page = shop
        .client
        .raw(Method::GET, "/.fairline/e/my-event", &[], Vec::new());
    assert!(
        text(&page.await.unwrap()).contains("queue.js"),
        "the queue page on the same origin"
    );
}

#[tokio::test]
async fn a_fan_with_large_cookies_and_a_long_authorization_of_the_site_queues_and_passes() {
    let site = Site::open(1).await;
    admitted(&site).await;
    let shop = Shop::open(&site.rooms).await;
    // nginx takes 8 KiB of cookies in one header: those of the site and of ours.
    let (one, other) = (format!("a={}", "x".repeat(7500)), "y".repeat(7300));
    let negotiate = format!("Negotiate {}", "z".repeat(7500));
    let path = "/.fairline/api/v1/events/my-event/line";
    let ask = async |method: Method, path: &str, ours: &str| {
        let last = format!("{ours}b={other}; c=\"q; r\"");
        let heads = [
            ("cookie", one.as_str()),
            ("cookie", &last),
            ("authorization", &negotiate),
            ("origin", &site.url),
            ("sec-fetch-mode", "navigate"),
        ];
        let answer = shop.client.raw(method, path, &heads, Vec::new()).await;
        answer.unwrap()
    };
    let set = |answer: &Response<Bytes>, name: &str| {
        let cookies = answer.headers().get_all("set-cookie").iter();
        let mut pairs = cookies.filter_map(|cookie| cookie.to_str().ok()?.split_once(';'));
        let found = pairs.find(|(pair, _)| pair.starts_with(name));
        found.map(|(pair, _)| format!("{pair}; "))
    };
    let away = ask(Method::GET, "/buy", "").await;
    assert_eq!(away.status(), StatusCode::FOUND);
    let page = ask(Method::GET, "/.fairline/e/my-event", "").await;
    assert_eq!(page.status(), StatusCode::OK);
    let joined = ask(Method::POST, path, "").await;
    assert_eq!(joined.status(), StatusCode::CREATED, "{}", text(&joined));
    let pass = set(&joined, "fairline_pass_my-event=").unwrap();
    let from = Instant::now();
    let admission = loop {
        let me = ask(Method::GET, &format!("{path}/me"), &pass).await;
        assert_eq!(me.status(), StatusCode::OK, "{}", text(&me));
        if let Some(admission) = set(&me, COOKIE) {
            break admission;
        }
        assert!(from.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let inside = ask(Method::GET, "/buy", &format!("{pass}{admission}")).await;
    assert_eq!(inside.status(), StatusCode::OK);
    assert!(text(&inside).starts_with("shop vis_"), "{}", text(&inside));
}

#[tokio::test]
async fn the_gate_gets_the_admission_of_its_event_and_no_other_credential() {
    let gate = free_port();
    let echo = format!(
        "server {{ listen 127.0.0.1:{gate}; add_header X-Fairline-Visitor '<$http_cookie$http_authorization>'; return 204; }}"
    );
    let shop = Shop::before(&[format!("127.0.0.1:{gate}")], &echo).await;
    let (bare, host) = (format!("{COOKIE}=b.b-b_b"), format!("__Host-{COOKIE}=h"));
    for (cookies, passed) in [
        (vec![bare.clone()], bare.as_str()),
        (vec![format!("a=1; {bare};b=2")], &bare),
        (vec![format!("a=1;{bare}")], &bare),
        (vec!["a=1".to_owned(), bare.clone()], &bare),
        (vec![host.clone()], &host),
        // Behind https the other name proves nothing: another host of the domain may have set it.
        (vec![format!("{bare}; {host}")], &host),
        (vec![format!("{host}; {bare}")], &host),
        (
            vec![format!(
                "x{bare}; {COOKIE}-2=1; fairline_admission_my_event=1"
            )],
            "",
        ),
        (vec!["a=1".to_owned()], ""),
        (vec![], ""),
        (
            vec![format!("fairline_client_my-event=c; a=1; {bare}")],
            &format!("{bare}; fairline_client_my-event=c"),
        ),
    ] {
        let mut heads: Vec<(&str, &str)> = vec![("authorization", "Basic of-the-site")];
        heads.extend(cookies.iter().map(|line| ("cookie", line.as_str())));
        let told = text(&shop.get(&heads).await);
        assert_eq!(told, format!("shop <{passed}> 127.0.0.1"), "{cookies:?}");
    }
}

#[tokio::test]
async fn every_request_of_an_admitted_fan_passes_however_many_come_and_whatever_their_address() {
    for (hops, at_once) in [("0", 60), ("1", 600)] {
        let site = Site::with(vec![limits(hops)]).await;
        let cookie = admitted(&site).await;
        let shop = Shop::open(&site.rooms).await;
        let all = BTreeMap::from([(200, 600)]);
        let heads = [("cookie", cookie.as_str())];
        assert_eq!(shop.load(600, at_once, &heads).await, all, "hops {hops}");
        let forged = [heads[0], ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(shop.load(600, at_once, &forged).await, all, "hops {hops}");
        let away = BTreeMap::from([(302, 600)]);
        assert_eq!(
            shop.load(600, at_once, &forged[1..]).await,
            away,
            "hops {hops}"
        );
    }
}

#[tokio::test]
async fn an_address_that_a_client_writes_into_its_request_neither_avoids_nor_uses_up_a_limit() {
    let site = Site::with(vec![limits("1")]).await;
    admitted(&site).await;
    let shop = Shop::open(&site.rooms).await;
    let path = "/.fairline/api/v1/events/my-event/line";
    let join = async |client: &Client, address: &str| {
        let heads = [("x-forwarded-for", address)];
        let answer = client.raw(Method::POST, path, &heads, Vec::new()).await;
        answer.unwrap().status().as_u16()
    };
    let mut limited = 0;
    for at in 0..90 {
        let address = if at % 2 == 0 {
            "203.0.113.9".to_owned()
        } else {
            format!("198.51.100.{at}")
        };
        limited += usize::from(join(&shop.client, &address).await == 429);
    }
    assert!(limited > 0, "one client, one limit");
    // Those whose addresses were written there join as ever, at a node that hears of them by its
    // own proxy.
    for address in ["203.0.113.9", "198.51.100.1:4000", "[2001:db8::1]:4000"] {
        assert_eq!(join(&site.rooms[0].client, address).await, 201, "{address}");
    }
    // Requests without a readable address share no limit per address.
    for _ in 0..40 {
        assert_eq!(join(&site.rooms[0].client, "unknown").await, 201);
    }
    let warnings = site.rooms[0].log().matches("names no address").count();
    assert_eq!(warnings, 1);
}

#[tokio::test]
async fn an_admitted_fan_passes_while_the_store_is_away_and_nobody_else_does() {
    let site = Site::open(1).await;
    let cookie = admitted(&site).await;
    let shop = Shop::open(&site.rooms).await;
    let heads = [("cookie", cookie.as_str())];
    assert_eq!(shop.get(&heads).await.status(), StatusCode::OK);
    site.redis.signal("STOP");
    let passed = shop.load(120, 60, &heads).await;
    let one_by_one = shop.load(5, 1, &heads).await;
    let forged = format!("{cookie}x");
    let refused = shop.load(20, 10, &[("cookie", &forged)]).await;
    let strangers = shop.load(20, 10, &[]).await;
    site.redis.signal("CONT");
    assert_eq!(passed, BTreeMap::from([(200, 120)]));
    assert_eq!(one_by_one, BTreeMap::from([(200, 5)]));
    assert_eq!(refused, BTreeMap::from([(302, 20)]));
    assert_eq!(strangers, BTreeMap::from([(302, 20)]));
    // Once the store is back, whoever is done has no second turn.
    let token = cookie.split_once('=').unwrap().1;
    let path = "/api/v1/events/my-event/admission";
    let from = Instant::now();
    while !site
        .client
        .delete(path, token)
        .await
        .is_ok_and(|answer| answer.status.is_success())
    {
        assert!(from.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while shop.get(&heads).await.status() != StatusCode::FOUND {
        assert!(from.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_deleted_event_leads_to_the_queue_page_and_is_no_error_of_the_shop() {
    let site = Site::open(2).await;
    let cookie = admitted(&site).await;
    let shop = Shop::open(&site.rooms).await;
    let heads = [("cookie", cookie.as_str())];
    assert_eq!(shop.load(20, 10, &heads).await, BTreeMap::from([(200, 20)]));
    let gone = site
        .client
        .delete("/api/v1/organiser/events/my-event", KEY)
        .await;
    assert_eq!(gone.unwrap().status, StatusCode::NO_CONTENT);
    // The other node may believe for a second what it heard just before.
    let from = Instant::now();
    let away = BTreeMap::from([(302, 60)]);
    while shop.load(60, 30, &heads).await != away {
        assert!(from.elapsed() < Duration::from_secs(5));
    }
    assert_eq!(shop.load(20, 10, &[]).await, BTreeMap::from([(302, 20)]));
}

#[tokio::test]
async fn a_node_that_is_down_is_passed_over_and_without_any_the_shop_says_so() {
    let mut site = Site::open(3).await;
    let cookie = admitted(&site).await;
    let shop = Shop::open(&site.rooms).await;
    let heads = [("cookie", cookie.as_str())];
    site.rooms[0].kill();
    let answers = shop.load(120, 30, &heads).await;
    assert_eq!(answers, BTreeMap::from([(200, 120)]));
    site.rooms[1].kill();
    site.rooms[2].kill();
    let answer = shop.get(&heads).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "5");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert!(text(&answer).contains("waiting room"), "{}", text(&answer));
}

#[tokio::test]
async fn a_fan_who_joined_again_before_the_store_was_emptied_waits_at_the_newer_place() {
    let site = Site::open(1).await;
    site.event("night", json!({"rate_per_minute": 0})).await;
    let (line, me) = ("/api/v1/events/night/line", "/api/v1/events/night/line/me");
    let older = word(&site.client.join("night").await.unwrap()["pass"]);
    site.client.delete(me, &older).await.unwrap();
    let again = site.client.post(line, &older, json!({})).await.unwrap();
    let newer = word(&again.ok().unwrap()["pass"]);
    site.until("/api/v1/events/night", "", |event| event["waiting"] == 1)
        .await;
    site.redis.ask(&["FLUSHALL"]).unwrap();
    // The nodes tell the store how places ended.
    site.until(me, &older, |place| place["state"] == "left")
        .await;
    let place = site.client.get(me, &newer).await.unwrap().body;
    assert_eq!(
        (&place["state"], &place["number"]),
        (&json!("waiting"), &json!(2))
    );
}
