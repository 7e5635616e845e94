//! Redis loses data under real nodes with open sockets: no socket goes on showing a number that is
//! another fan's by now, and turns stay as they were.

use crate::site::{KEY, Node, Site, word};
use client::{Client, Socket, next};
use hyper::Method;
use serde_json::{Value, json};
use shared::time::Time;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::until;
use tokio::time::{sleep, timeout};

const ME: &str = "/api/v1/events/night/line/me";
/// Longest time until a socket is told of a loss, on a loaded machine.
const TOLD: Duration = Duration::from_secs(30);

/// A fan with an open socket.
struct Watcher {
    pass: String,
    number: u64,
    socket: Socket,
}

impl Watcher {
    /// Joins at a node and opens a socket there, which shows the place.
    async fn join(client: &Client) -> Watcher {
        let place = client.join("night").await.unwrap();
        let pass = word(&place["pass"]);
        let mut socket = client.watch("night", &pass).await.unwrap();
        let shown = timeout(TOLD, next(&mut socket)).await.unwrap().unwrap();
        assert_eq!(shown["number"], place["number"]);
        Watcher {
            pass,
            number: place["number"].as_u64().unwrap(),
            socket,
        }
    }

    /// Waits until the socket shows so many ahead.
    async fn until_ahead(&mut self, ahead: u64) {
        let waiting = async {
            loop {
                let shown = next(&mut self.socket).await.expect("the socket stays open");
                assert_eq!(shown["number"], self.number, "{shown}");
                if shown["ahead"] == ahead {
                    return;
                }
            }
        };
        timeout(TOLD, waiting).await.expect("is shown as it is");
    }

    /// Waits until the socket closes, and returns its last message.
    async fn until_closed(&mut self) -> Option<Value> {
        let closing = async {
            let mut last = None;
            while let Some(message) = next(&mut self.socket).await {
                last = Some(message);
            }
            last
        };
        let closed = timeout(TOLD, closing).await;
        closed.expect("a socket goes on showing a number that is another fan's")
    }
}

/// Joins once the line is recovered: with a key, so that a join whose answer was lost is the same one.
async fn join_after_recovery(client: &Client) -> Value {
    let path = "/api/v1/events/night/line";
    let key = [("idempotency-key", "join-after-the-recovery")];
    let joining = async {
        loop {
            let answer = client.raw(Method::POST, path, &key, Vec::new()).await;
            if let Some(answer) = answer.ok().filter(|answer| answer.status() == 201) {
                return serde_json::from_slice(answer.body()).unwrap();
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(TOLD, joining).await.expect("the line goes on")
}

fn signal(room: &Node, name: &str) {
    room.process.as_ref().unwrap().signal(name);
}

async fn number_at(room: &Node, pass: &str) -> Option<u64> {
    let answer = room.client.get(ME, pass).await.unwrap();
    if answer.status == 401 {
        return None;
    }
    assert_eq!(answer.body["state"], "waiting", "{}", answer.body);
    answer.body["number"].as_u64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_of_a_node_that_slept_does_not_show_a_number_that_is_another_fans_by_now() {
    let mut site = Site::open(2).await;
    site.event("night", json!({"rate_per_minute": 0})).await;
    let mut early = Vec::new();
    for at in [0, 1, 0] {
        early.push(Watcher::join(&site.rooms[at].client).await);
    }
    until("both nodes tick the line", || {
        let nodes = site.redis.ask(&["HLEN", "fairline:{night}:nodes"]);
        nodes.as_deref() == Some("2")
    });
    site.redis.ask(&["SAVE"]).unwrap();
    // Of the fourth only the second node knows, which sleeps while Redis goes back to its snapshot.
    signal(&site.rooms[0], "STOP");
    let mut late = Watcher::join(&site.rooms[1].client).await;
    assert_eq!(late.number, 4);
    signal(&site.rooms[1], "STOP");
    site.redis.kill();
    site.redis.start_again();
    signal(&site.rooms[0], "CONT");
    let other = join_after_recovery(&site.rooms[0].client).await;
    assert_eq!(other["number"], 4, "the number is given out once more");
    let other = word(&other["pass"]);
    signal(&site.rooms[1], "CONT");

    let last = late.until_closed().await;
    for room in &site.rooms {
        assert_eq!(number_at(room, &late.pass).await, None, "{last:?}");
        let again = room.client.watch("night", &late.pass).await;
        assert!(again.is_err(), "nor does a socket that is opened again");
        assert_eq!(number_at(room, &other).await, Some(4));
        for fan in &early {
            assert_eq!(number_at(room, &fan.pass).await, Some(fan.number));
        }
    }
    // The sockets of the others are open still, and show what is so.
    let left = site.rooms[0].client.delete(ME, &early[0].pass).await;
    assert_eq!(left.unwrap().status, 204);
    for (at, ahead) in [(1, 0), (2, 1)] {
        early[at].until_ahead(ahead).await;
    }
    let joined = site.rooms[1].client.join("night").await.unwrap();
    assert_eq!(joined["number"], 5);
}

/// Records the states that a socket shows, and ends once it is closed.
async fn states(mut socket: Socket, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(message) = next(&mut socket).await {
        if message["type"] == "place" {
            seen.lock().unwrap().push(word(&message["state"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_takes_no_turn_from_who_is_inside_and_gives_none_to_who_is_done() {
    let site = Site::open(2).await;
    let admission = json!({"rate_per_minute": 60_000, "batch_seconds": 1, "max_active": 2});
    site.event("night", admission).await;
    let gate = async |room: &Node, token: &str| {
        let answer = room.client.get("/gate/night", token).await;
        answer.unwrap().status.as_u16()
    };
    let finish = async |token: &str| {
        let path = "/api/v1/events/night/admission";
        site.client.delete(path, token).await.unwrap().status
    };
    // The first is done, the next two are inside, and the last one waits.
    let (_, done) = site.admit("night").await;
    assert_eq!(gate(&site.rooms[0], &done).await, 204);
    let mut inside = vec![site.admit("night").await];
    assert_eq!(finish(&done).await, 204);
    inside.push(site.admit("night").await);
    let waiting = word(&site.client.join("night").await.unwrap()["pass"]);
    let seen = Arc::default();
    let mut sockets = Vec::new();
    for ((pass, _), room) in inside.iter().zip(&site.rooms) {
        let mut socket = room.client.watch("night", pass).await.unwrap();
        let shown = next(&mut socket).await.unwrap();
        assert_eq!(shown["state"], "admitted", "{shown}");
        sockets.push(tokio::spawn(states(socket, Arc::clone(&seen))));
    }

    site.redis.ask(&["FLUSHALL"]).unwrap();
    for (pass, token) in &inside {
        site.until(ME, pass, |place| {
            assert_ne!(place["state"], "missed");
            place["token"] == **token
        })
        .await;
        let bearer = format!("Bearer {pass}");
        let heads = [("authorization", bearer.as_str())];
        let answer = site.client.raw(Method::GET, ME, &heads, Vec::new()).await;
        let answer = answer.unwrap();
        let cookies = answer.headers().get_all("set-cookie").iter();
        let cookies: Vec<&str> = cookies.map(|cookie| cookie.to_str().unwrap()).collect();
        let kept = format!("fairline_admission_night={token}");
        assert!(
            cookies.iter().any(|cookie| cookie.starts_with(&kept)),
            "{cookies:?}"
        );
    }
    for room in &site.rooms {
        assert_eq!(gate(room, &done).await, 401, "no second turn");
        for (_, token) in &inside {
            assert_eq!(gate(room, token).await, 204);
        }
    }
    // Checkouts say more than once that a fan is done. That frees no place of another.
    assert_eq!(finish(&done).await, 204);
    let stats = "/api/v1/organiser/events/night/stats";
    let at = |stats: &Value| Time::parse(stats["at"].as_str()?).ok();
    let begun = at(&site.until(stats, KEY, |stats| at(stats).is_some()).await).unwrap();
    site.until(stats, KEY, |stats| {
        let inside = [&stats["admitted"], &stats["shopping"]].map(|count| count.as_u64());
        assert_eq!(inside.into_iter().flatten().sum::<u64>(), 2, "{stats}");
        at(stats).is_some_and(|at| at >= begun.plus_seconds(4))
    })
    .await;
    assert_eq!(number_at(&site.rooms[0], &waiting).await, Some(4));
    let seen = seen.lock().unwrap().clone();
    let is_inside = |state: &String| ["admitted", "shopping"].contains(&state.as_str());
    assert!(seen.iter().all(is_inside), "{seen:?}");
    assert!(sockets.iter().all(|socket| !socket.is_finished()));
    // The one who is done now leaves room.
    assert_eq!(finish(&inside[0].1).await, 204);
    site.until(ME, &waiting, |place| place["state"] == "admitted")
        .await;
}
