//! Console sessions that were signed out: kept in the data folder, and on Redis for all nodes.

use crate::bench::{Bench, START, Store, benches};
use futures_util::stream::{self, StreamExt as _};
use shared::sign_outs::{SIGN_OUTS_MAX, SIGN_OUTS_PER_KEY_MAX, Shared, SignOut, SignOuts};
use std::sync::Arc;
use waiting_room::line::Redis;

fn sign_out(at: usize) -> SignOut {
    SignOut {
        key: "key".to_owned(),
        id: Some(format!("{at:032x}")),
        expires_at: START.plus_seconds(11 * 3600 + u32::try_from(at).unwrap() % 3600),
    }
}

/// Returns the store that nodes share, if the engine has one.
fn shared(bench: &Bench) -> Option<Arc<dyn Shared>> {
    let url = match &bench.store {
        Store::Folder => return None,
        Store::Redis(server) => server.url(),
        Store::Cluster(cluster, prefix) => format!("{}?prefix={prefix}", cluster.url()),
    };
    let notes = bench.folder.path().join("notes");
    let redis = Redis::open(&url, notes, bench.clock.clone()).unwrap();
    Some(redis.store())
}

/// Opens the sign-outs of a node with its data folder.
fn node(bench: &Bench, name: &str) -> SignOuts {
    let path = bench.folder.path().join(format!("{name}.json"));
    let all = SignOuts::open(&path, bench.clock.clone()).unwrap();
    if let Some(store) = shared(bench) {
        all.share(store);
    }
    all
}

#[tokio::test]
async fn a_sign_out_may_be_repeated_and_survives_the_process() {
    for bench in benches() {
        let name = bench.name;
        let one = node(&bench, "one");
        one.add(sign_out(1), "session").await.unwrap();
        one.add(sign_out(1), "session").await.unwrap();
        assert!(one.contains(&sign_out(1)), "{name}");
        assert!(!one.contains(&sign_out(2)), "{name}");
        let again = node(&bench, "one");
        assert_eq!(again.all(), [sign_out(1)], "{name}");
        again.refresh().await;
        assert_eq!(again.all(), [sign_out(1)], "{name}");
    }
}

#[tokio::test]
async fn nodes_that_share_a_store_know_each_others_sign_outs_and_keep_them_when_it_forgets() {
    for bench in benches() {
        let Some(store) = shared(&bench) else {
            continue;
        };
        let name = bench.name;
        let (one, two) = (node(&bench, "one"), node(&bench, "two"));
        one.add(sign_out(1), "session").await.unwrap();
        two.refresh().await;
        assert!(two.contains(&sign_out(1)), "{name}");
        assert_eq!(store.all().await.unwrap(), [sign_out(1)], "{name}");
        // A node restores what the store has lost, and so informs all others.
        let lost = SignOuts::open(&bench.folder.path().join("two.json"), bench.clock.clone());
        let lost = lost.unwrap();
        lost.add(sign_out(2), "session").await.unwrap();
        drop(lost);
        node(&bench, "two").refresh().await;
        one.refresh().await;
        assert!(one.contains(&sign_out(2)), "{name}");
    }
}

#[tokio::test]
async fn a_key_that_signs_out_without_end_ends_its_sessions_so_far_on_all_nodes_and_no_others() {
    for bench in benches() {
        let name = bench.name;
        let (one, two) = (node(&bench, "one"), node(&bench, "two"));
        let of_other = |at| SignOut {
            key: "other".to_owned(),
            ..sign_out(at)
        };
        let other = of_other(1);
        one.add(other.clone(), "session").await.unwrap();
        for at in 0..3 * SIGN_OUTS_PER_KEY_MAX {
            one.add(sign_out(at), "session").await.unwrap();
            one.add(sign_out(at), "session").await.unwrap();
        }
        assert!(one.all().len() <= SIGN_OUTS_PER_KEY_MAX + 2, "{name}");
        for at in 0..3 * SIGN_OUTS_PER_KEY_MAX {
            assert!(one.contains(&sign_out(at)), "{name} {at}");
        }
        assert!(
            !one.contains(&sign_out(3 * SIGN_OUTS_PER_KEY_MAX)),
            "{name}"
        );
        let Some(store) = shared(&bench) else {
            continue;
        };
        two.refresh().await;
        for at in 0..3 * SIGN_OUTS_PER_KEY_MAX {
            assert!(two.contains(&sign_out(at)), "{name} {at}");
        }
        assert!(
            two.contains(&other) && !two.contains(&of_other(2)),
            "{name}"
        );
        let kept = store.all().await.unwrap();
        assert!(kept.len() <= SIGN_OUTS_PER_KEY_MAX + 2, "{name}");
        assert!(kept.contains(&other), "{name}");
    }
}

#[tokio::test]
async fn what_ended_is_forgotten_and_a_full_store_forgets_nothing_else() {
    for bench in benches() {
        let Some(store) = shared(&bench) else {
            continue;
        };
        let name = bench.name;
        let keeping = (0..SIGN_OUTS_MAX).map(|at| {
            let store = store.clone();
            async move { store.keep(&sign_out(at), Some("session")).await.unwrap() }
        });
        stream::iter(keeping)
            .for_each_concurrent(200, |kept| kept)
            .await;
        let more = sign_out(SIGN_OUTS_MAX);
        assert!(store.keep(&more, Some("session")).await.is_err(), "{name}");
        store.keep(&sign_out(7), Some("session")).await.unwrap();
        assert_eq!(store.all().await.unwrap().len(), SIGN_OUTS_MAX, "{name}");
        // Nodes that hear of so many of one key make one of them, which makes room.
        let one = node(&bench, "one");
        let other = SignOut {
            key: "other".to_owned(),
            ..sign_out(1)
        };
        assert!(one.add(other.clone(), "session").await.is_err(), "{name}");
        one.refresh().await;
        one.refresh().await;
        let kept = store.all().await.unwrap();
        assert!(kept.len() <= SIGN_OUTS_PER_KEY_MAX + 2, "{name}");
        assert!(kept.contains(&other), "{name}");
        assert!(
            (0..SIGN_OUTS_MAX).all(|at| one.contains(&sign_out(at))),
            "{name}"
        );
        bench.clock.advance_ms(14 * 3600 * 1000);
        let late = SignOut {
            expires_at: bench.clock.now().plus_seconds(3600),
            ..more
        };
        store.keep(&late, Some("session")).await.unwrap();
        assert_eq!(store.all().await.unwrap(), [late], "{name}");
    }
}
