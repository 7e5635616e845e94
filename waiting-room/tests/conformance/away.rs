//! Redis that does not answer: only a tick waits for it, and finds that it answers again.

use crate::bench::{policy, spot_of};
use crate::nodes::{Nodes, until};
use futures_util::future::join_all;
use shared::ids::VisitorId;
use shared::time::Clock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Less than Redis has to answer a command, or to a connection.
const AT_ONCE: Duration = Duration::from_millis(1500);
/// Number of attempts to connect that are watched.
const PROBES: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_frozen_operations_fail_at_once_and_ticks_probe_it() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::system(), policy(0, 1, 10)).await;
    nodes.join(0, 1..=5).await;
    let (line, event) = (&nodes.nodes[0], &nodes.event);
    server.signal("STOP");
    // The first ones wait until it is known.
    assert!(line.join(event, &[VisitorId(6)]).await.is_err());
    let probes = AtomicU32::new(0);
    let probing = async {
        while probes.load(Ordering::Relaxed) < PROBES {
            let from = Instant::now();
            assert!(line.tick(event).await.is_err());
            let waited = u32::from(from.elapsed() > AT_ONCE);
            probes.fetch_add(waited, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let asking = async {
        let mut count = 0;
        while probes.load(Ordering::Relaxed) < PROBES {
            let ask = async |visitor| {
                let from = Instant::now();
                assert!(line.join(event, &[VisitorId(visitor)]).await.is_err());
                assert!(line.place(event, VisitorId(1)).await.is_err());
                assert!(from.elapsed() < AT_ONCE, "{visitor} waited for Redis");
            };
            join_all((7..17).map(ask)).await;
            count += 10;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        count
    };
    let ((), asked) = tokio::join!(probing, asking);
    assert!(asked > 20 * PROBES, "{asked} asked meanwhile");
    server.signal("CONT");
    until("it answers again", 10, || async {
        line.tick(event).await.is_ok()
    })
    .await;
    let joined = line.join(event, &[VisitorId(20)]).await.unwrap();
    let number = spot_of(joined[0]).number;
    assert!(
        (6..=7).contains(&number),
        "{number}: who asked meanwhile has no place"
    );
}
