//! A thousand admitted fans ask the gate for pages of a site without a pause, and none is thrown out
//! of it, whatever becomes of nodes, keys and the store meanwhile.

use crate::gate::{COOKIE, Shop, my_event};
use crate::site::{Site, word};
use futures_util::future::join_all;
use shared::token::SigningAlgorithm;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const FANS: usize = 1000;
/// Fans who ask one after another; the groups ask at the same time.
const GROUP: usize = 50;

/// Admitted fans who go on asking, and what they were answered.
struct Crowd {
    shop: Shop,
    /// The admission of each, as a cookie.
    cookies: Vec<String>,
    answered: AtomicUsize,
}

impl Crowd {
    async fn admitted(site: &Site) -> Crowd {
        my_event(site, FANS + 1).await;
        let mut passes = Vec::new();
        while passes.len() < FANS {
            // Past nginx, which limits joins of one address.
            let joins = (0..GROUP).map(|at| site.rooms[at % 3].client.join("my-event"));
            let places = join_all(joins).await;
            passes.extend(
                places
                    .iter()
                    .map(|place| word(&place.as_ref().unwrap()["pass"])),
            );
        }
        let mut cookies = Vec::new();
        for pass in &passes {
            let path = "/api/v1/events/my-event/line/me";
            let is_admitted = |place: &serde_json::Value| place["state"] == "admitted";
            let place = site.until(path, pass, is_admitted).await;
            cookies.push(format!("{COOKIE}={}", word(&place["token"])));
        }
        Crowd {
            shop: Shop::open(&site.rooms).await,
            cookies,
            answered: AtomicUsize::new(0),
        }
    }

    /// Lets every fan ask again and again until something is over, and at least once: how often each
    /// status was answered.
    async fn during(&self, something: impl Future<Output = ()>) -> BTreeMap<u16, usize> {
        let is_over = AtomicBool::new(false);
        let statuses = Mutex::new(BTreeMap::new());
        let ask = async |fans: &[String]| {
            while !is_over.load(Ordering::Relaxed) {
                for cookie in fans {
                    let answer = self.shop.get(&[("cookie", cookie.as_str())]).await;
                    let status = answer.status().as_u16();
                    *statuses.lock().unwrap().entry(status).or_default() += 1;
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let crowd = join_all(self.cookies.chunks(GROUP).map(ask));
        let all = async {
            something.await;
            is_over.store(true, Ordering::Relaxed);
        };
        tokio::join!(crowd, all);
        statuses.into_inner().unwrap()
    }

    /// Waits until so many more requests were answered as there are fans, twice.
    async fn two_rounds(&self) {
        let until = self.answered.load(Ordering::Relaxed) + 2 * FANS;
        while self.answered.load(Ordering::Relaxed) < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Whether a line of metrics counts requests to the gate.
fn is_of_gate(line: &str) -> bool {
    line.starts_with("fairline_requests_total{") && line.contains("\"/auth-request/")
}

/// Only the site's own answer, and some of them.
fn assert_all_passed(statuses: &BTreeMap<u16, usize>, meanwhile: &str) {
    let [(&status, &count)] = statuses.iter().collect::<Vec<_>>()[..] else {
        panic!("{meanwhile}: {statuses:?}");
    };
    assert!(status == 200 && count >= FANS, "{meanwhile}: {statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_fans_pass_while_nodes_restart_keys_rotate_and_the_store_freezes() {
    let [old, new] = [(); 2].map(|()| SigningAlgorithm::EdDsa.generate_pem().unwrap());
    let signing = vec![("FAIRLINE_SIGNING_KEY", old.clone())];
    let mut site = Site::with(vec![signing; 3]).await;
    let crowd = Crowd::admitted(&site).await;

    let restarts = crowd.during(async {
        for keys in [&[&old[..], &new].concat(), &[&new[..], &old].concat()] {
            for node in &mut site.rooms {
                node.set("FAIRLINE_SIGNING_KEY", keys);
                node.kill();
                node.start();
                node.ready().await;
                // nginx asks it again two seconds after it failed.
                node.until_metric(is_of_gate).await;
            }
        }
    });
    assert_all_passed(&restarts.await, "nodes were killed and a key was rotated");
    let (_, token) = site.admit("my-event").await;
    let newcomer = format!("{COOKIE}={token}");

    let frozen = crowd.during(async {
        site.redis.signal("STOP");
        crowd.two_rounds().await;
        site.rooms[0].kill();
        crowd.two_rounds().await;
        site.redis.signal("CONT");
        site.rooms[0].start();
        site.rooms[0].ready().await;
    });
    assert_all_passed(&frozen.await, "the store froze and a node was killed");

    let after = crowd.during(crowd.two_rounds());
    assert_all_passed(&after.await, "all is well again");
    let passed = crowd.shop.get(&[("cookie", newcomer.as_str())]).await;
    assert_eq!(passed.status(), 200, "signed with the new key");
}
