//! Webhooks by real requests, whatever their receivers do.

use crate::mails::until;
use crate::node::ORGANISER_KEY;
use crate::receiver::{Posted, Receiver, WEBHOOKS};
use crate::stage::ProviderStage;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use shared::outbound::{Networks, Outbound, OutboundFailureKind};
use shared::time::Time;
use shared::tls_client::{read_pem_file, roots_of_pem};
use testkit::{Authority, tls_acceptor};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const HOUR_MS: i64 = 3_600_000;

/// Waits until a webhook has so many deliveries, all of them done. Time goes by meanwhile.
async fn done(stage: &ProviderStage, webhook: &str, count: usize) -> Vec<Value> {
    done_in_steps(stage, webhook, count, 500).await
}

/// As `done`, with more time at each step.
async fn done_in_steps(
    stage: &ProviderStage,
    webhook: &str,
    count: usize,
    step_ms: i64,
) -> Vec<Value> {
    until("all deliveries are done", async || {
        let deliveries = stage.deliveries(webhook).await;
        let is_done = |it: &Value| it["state"] != "waiting";
        let all = deliveries.len() == count && deliveries.iter().all(is_done);
        if !all {
            stage.clock.advance_ms(step_ms);
        }
        all
    })
    .await;
    stage.deliveries(webhook).await
}

/// Lets hours go by, and some seconds more until what is due then was tried.
async fn hours(stage: &ProviderStage, webhook: &str, hours: i64) {
    stage.clock.advance_ms(hours * HOUR_MS);
    until("nothing is due", async || {
        // While a delivery is under way, it is due in half a minute.
        let soon = stage.clock.now().plus_seconds(30);
        let is_tried = |it: &Value| {
            let next = it["next_at"].as_str().map(|at| Time::parse(at).unwrap());
            next.is_none_or(|next| next > soon)
        };
        let are_tried = stage.deliveries(webhook).await.iter().all(is_tried);
        if !are_tried {
            stage.clock.advance_ms(1_000);
        }
        are_tried
    })
    .await;
}

async fn audit(stage: &ProviderStage) -> String {
    let (_, audit) = stage.get_as_organiser("/api/v1/organiser/audit").await;
    String::from_utf8(audit).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_posted_once_signed_by_the_secret_that_was_shown_once() {
    for stage in ProviderStage::posting().await {
        let receiver = Receiver::start().await;
        let types = json!({"types": ["order.confirmed", "ticket.*"]});
        let (webhook, secret) = stage.post_to(&receiver, types).await;
        let order = stage.buy(&["s-A-1", "s-A-2"]).await;
        let listed = done(&stage, &webhook, 3).await;
        let posted = receiver.posted();
        assert_eq!(posted.len(), 3);
        let confirmed = posted
            .iter()
            .find(|it| it.event_type() == "order.confirmed");
        let confirmed = confirmed.unwrap();
        assert_eq!(confirmed.signed_by(&secret), Some(0));
        assert_eq!(confirmed.header("content-type"), "application/json");
        let body = confirmed.json();
        assert_eq!(body["data"]["order"], order.id);
        assert_eq!(body["data"]["event"], "arena");
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
        let shown = listed.iter().find(|it| it["id"] == confirmed.id()).unwrap();
        assert_eq!(
            (&shown["status"], &shown["attempts"]),
            (&json!(200), &json!(1))
        );
        assert_eq!(shown["answer"], "answer 200");
        let list = stage.get(WEBHOOKS).await.to_string();
        assert!(!list.contains("whsec_"), "{list}");
        let audit = audit(&stage).await;
        assert!(audit.contains("webhook.create"), "{audit}");
        assert!(
            !audit.contains("whsec_") && !audit.contains("hidden"),
            "{audit}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_choose_types_and_events_and_a_webhook_gets_nothing_from_before_it() {
    for stage in ProviderStage::posting().await {
        stage.buy(&["s-A-1"]).await;
        stage.clock.advance_ms(1);
        let [all, other] = [Receiver::start().await, Receiver::start().await];
        let (first, _) = stage.post_to(&all, json!({"types": ["order.*"]})).await;
        let (second, _) = stage.post_to(&other, json!({"events": ["other"]})).await;
        stage.buy(&["s-A-2"]).await;
        done(&stage, &first, 1).await;
        assert_eq!(all.taken(), ["order.confirmed"]);
        assert_eq!(stage.deliveries(&second).await, Vec::<Value>::new());
        for (change, field) in [
            (json!({"types": ["order.lost"]}), "types"),
            (json!({"events": ["No Event"]}), "events"),
            (json!({"url": "https://10.0.0.1/"}), "url"),
            (json!({"name": ""}), "name"),
        ] {
            let new = json!({"name": "x", "url": all.url});
            let mut new = new.as_object().unwrap().clone();
            new.extend(change.as_object().unwrap().clone());
            let made = stage.post(WEBHOOKS, ORGANISER_KEY, &new.into()).await;
            assert_eq!(made.0, StatusCode::UNPROCESSABLE_ENTITY, "{change}");
            assert!(made.1.to_string().contains(field), "{}", made.1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_fails_is_repeated_later_with_the_same_id_and_body() {
    for stage in ProviderStage::posting().await {
        let receiver = Receiver::start().await;
        let types = json!({"types": ["order.confirmed"]});
        let (webhook, secret) = stage.post_to(&receiver, types).await;
        receiver.answers(|_| (500, &[]));
        stage.buy(&["s-A-1"]).await;
        let failed = async || stage.deliveries(&webhook).await[0]["status"] == 500;
        until("the first attempt", async || {
            !stage.deliveries(&webhook).await.is_empty() && failed().await
        })
        .await;
        until("it is noted", async || {
            stage.only_webhook().await["failing_since"].is_string()
        })
        .await;
        receiver.answers(|_| (200, &[]));
        stage.clock.advance_ms(5_000);
        let made = done(&stage, &webhook, 1).await;
        assert_eq!(made[0]["attempts"], 2);
        let [first, second] = &receiver.posted()[..] else {
            panic!("{:?}", receiver.posted());
        };
        assert_eq!((first.id(), &first.body), (second.id(), &second.body));
        let times = [first, second].map(|it| it.header("webhook-timestamp").to_owned());
        assert_ne!(times[0], times[1]);
        assert_eq!(second.signed_by(&secret), Some(0));
        until("it is not failing any more", async || {
            stage.only_webhook().await["failing_since"].is_null()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_asks_for_a_pause_gets_it() {
    for stage in ProviderStage::posting().await {
        let receiver = Receiver::start().await;
        let types = json!({"types": ["order.confirmed"]});
        let (webhook, _) = stage.post_to(&receiver, types).await;
        receiver.answers(|_| (429, &[("retry-after", "3600")]));
        stage.buy(&["s-A-1"]).await;
        until("the first attempt", async || receiver.posted().len() == 1).await;
        let asked_at = stage.clock.now();
        until("its outcome", async || {
            stage.deliveries(&webhook).await[0]["status"] == 429
        })
        .await;
        receiver.answers(|_| (200, &[]));
        // Another event is not posted either.
        stage.buy(&["s-A-2"]).await;
        done_in_steps(&stage, &webhook, 2, 60_000).await;
        let posted = receiver.posted();
        for later in &posted[1..] {
            let at: i64 = later.header("webhook-timestamp").parse().unwrap();
            assert!(at >= asked_at.seconds() + 3_600, "{at} {asked_at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_gone_is_disabled_at_once_and_what_it_missed_can_be_posted_again() {
    for stage in ProviderStage::posting().await {
        let receiver = Receiver::start().await;
        let types = json!({"types": ["order.confirmed"]});
        let (webhook, _) = stage.post_to(&receiver, types).await;
        receiver.answers(|_| (410, &[]));
        stage.buy(&["s-A-1"]).await;
        let gone = done(&stage, &webhook, 1).await;
        assert_eq!(
            (&gone[0]["state"], &gone[0]["attempts"]),
            (&json!("failed"), &json!(1))
        );
        until("it is disabled", async || {
            stage.only_webhook().await["state"] == "failed"
        })
        .await;
        assert_eq!(stage.only_webhook().await["reason"], "it answered 410 Gone");
        until("the audit log has it", async || {
            audit(&stage).await.contains("webhook.disable")
        })
        .await;
        let path = format!("{WEBHOOKS}/{webhook}");
        let id = gone[0]["id"].as_str().unwrap();
        let again = format!("{path}/deliveries/{id}/resend");
        let (status, problem) = stage.post_as_organiser(&again).await;
        let refused = (StatusCode::CONFLICT, json!("/problems/webhook-disabled"));
        assert_eq!((status, problem["type"].clone()), refused);
        // While it is disabled nothing is kept for it.
        stage.buy(&["s-A-2"]).await;
        stage.clock.advance_ms(1);
        receiver.answers(|_| (200, &[]));
        let enable = json!({"is_enabled": true});
        let (status, enabled) = stage.send("PATCH", &path, ORGANISER_KEY, &enable).await;
        assert_eq!(
            (status, &enabled["state"]),
            (StatusCode::OK, &json!("enabled"))
        );
        assert_eq!(
            stage.post_as_organiser(&again).await.0,
            StatusCode::NO_CONTENT
        );
        stage.buy(&["s-A-3"]).await;
        done(&stage, &webhook, 2).await;
        assert_eq!(receiver.taken().len(), 2);
        assert!(receiver.posted().iter().filter(|it| it.id() == id).count() == 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_away_for_days_is_tried_for_three_and_disabled_after_five() {
    for stage in ProviderStage::posting().await {
        let receiver = Receiver::start().await;
        let types = json!({"types": ["order.confirmed"]});
        let (webhook, _) = stage.post_to(&receiver, types).await;
        receiver.answers(|_| (503, &[]));
        stage.buy(&["s-A-1"]).await;
        let from = stage.clock.now();
        let days = || (stage.clock.now().0 - from.0) / (24 * HOUR_MS);
        let first = async || stage.deliveries(&webhook).await.last().cloned();
        until("it is queued", async || first().await.is_some()).await;
        while first().await.unwrap()["state"] == "waiting" {
            hours(&stage, &webhook, 4).await;
        }
        assert_eq!(days(), 3);
        let attempts = first().await.unwrap()["attempts"].as_i64().unwrap();
        assert!((9..=60).contains(&attempts), "{attempts}");
        assert_eq!(stage.only_webhook().await["state"], "enabled");
        stage.buy(&["s-A-2"]).await;
        until("it is queued", async || {
            stage.deliveries(&webhook).await.len() == 2
        })
        .await;
        while stage.deliveries(&webhook).await[0]["state"] == "waiting" {
            hours(&stage, &webhook, 4).await;
        }
        until("it is disabled", async || {
            stage.only_webhook().await["state"] == "failed"
        })
        .await;
        assert_eq!(days(), 6);
        let reason = stage.only_webhook().await["reason"].clone();
        assert_eq!(reason, "all deliveries have failed for five days");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_secrets_sign_after_a_rotation_until_the_old_one_ends() {
    for stage in ProviderStage::posting().await {
        let receiver = Receiver::start().await;
        let (webhook, old) = stage
            .post_to(&receiver, json!({"types": ["order.expired"]}))
            .await;
        let path = format!("{WEBHOOKS}/{webhook}");
        let rotate = json!({"old_seconds": 3600});
        let (status, rotated) = stage
            .post(&format!("{path}/rotate"), ORGANISER_KEY, &rotate)
            .await;
        assert_eq!(status, StatusCode::OK, "{rotated}");
        let new = rotated["secret"].as_str().unwrap().to_owned();
        let test = format!("{path}/test");
        let mut count = 0;
        let mut posted = async |after_ms: i64| -> Posted {
            stage.clock.advance_ms(after_ms);
            assert_eq!(stage.post_as_organiser(&test).await.0, StatusCode::ACCEPTED);
            count += 1;
            done(&stage, &webhook, count).await;
            receiver.posted()[count - 1].clone()
        };
        let both = posted(0).await;
        assert_eq!(
            (both.signed_by(&new), both.signed_by(&old)),
            (Some(0), Some(1))
        );
        assert_eq!(both.event_type(), "webhook.test");
        let one = posted(HOUR_MS).await;
        assert_eq!((one.signed_by(&new), one.signed_by(&old)), (Some(0), None));
        assert_eq!(audit(&stage).await.matches("webhook.rotate").count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_an_order_arrive_in_order_whatever_fails_and_poison_holds_up_its_order_alone() {
    for stage in ProviderStage::posting().await {
        let receiver = Receiver::start().await;
        let wish = json!({"types": ["order.*", "payment.*"], "is_ordered": true});
        let (webhook, _) = stage.post_to(&receiver, wish).await;
        let count = std::sync::atomic::AtomicUsize::new(0);
        receiver.answers(move |_| {
            let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            (if count % 3 == 2 { 200 } else { 500 }, &[])
        });
        let order = stage.buy(&["s-A-1"]).await;
        stage.refund(&order.id, None).await;
        stage.sweep().await;
        let made = done(&stage, &webhook, 4).await;
        assert_eq!(made.len(), 4);
        let taken = receiver.taken();
        let stored = stage.stored_types(&order.id).await;
        assert_eq!(taken, stored);
        // An event that is refused for ever.
        receiver.answers(|it| {
            (
                if it.event_type() == "order.confirmed" {
                    400
                } else {
                    200
                },
                &[],
            )
        });
        let poison = stage.buy(&["s-A-2"]).await;
        until("it is refused", async || {
            let posted = receiver.posted();
            posted.iter().any(|it| it.status == 400)
        })
        .await;
        let unpaid = stage.order(&["s-A-3"]).await;
        stage.release(&unpaid).await;
        until("that of another order arrives", async || {
            stage.clock.advance_ms(100);
            receiver.taken().iter().any(|it| it == "order.cancelled")
        })
        .await;
        let of_poison = receiver.posted().into_iter();
        let of_poison = of_poison.filter(|it| it.json()["data"]["order"] == poison.id);
        assert!(
            of_poison
                .filter(|it| it.status == 200)
                .all(|it| it.event_type() != "order.confirmed")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_hangs_delays_no_other() {
    for stage in ProviderStage::posting().await {
        let [slow, fast] = [Receiver::start().await, Receiver::start().await];
        slow.answers(|_| (0, &[]));
        stage.post_to(&slow, json!({})).await;
        let (webhook, _) = stage.post_to(&fast, json!({})).await;
        for seat in ["s-A-1", "s-A-2", "s-A-3"] {
            stage.buy(&[seat]).await;
        }
        until("the fast one has all", async || {
            let deliveries = stage.deliveries(&webhook).await;
            let made = |it: &&Value| it["state"] == "delivered";
            deliveries.len() >= 9 && deliveries.iter().filter(made).count() == deliveries.len()
        })
        .await;
        // None of them had an answer yet.
        assert!(!slow.posted().is_empty() && slow.posted().len() <= 8);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_of_a_node_that_died_before_it_recorded_it_is_made_again() {
    for stage in ProviderStage::stripe().await {
        let receiver = Receiver::start().await;
        let (webhook, _) = stage.post_to(&receiver, json!({})).await;
        assert_eq!(
            stage
                .post_as_organiser(&format!("{WEBHOOKS}/{webhook}/test"))
                .await
                .0,
            StatusCode::ACCEPTED
        );
        // A node takes it, posts it, and dies.
        let rooms = [(webhook.clone(), 1)];
        let store = stage.node.shop.inventory.webhooks();
        let taken = store.claim(&rooms, 30_000).await.unwrap();
        tokio::spawn(checkout::run(stage.node.shop.clone()));
        stage.clock.advance_ms(30_000);
        // Events of the stage are delivered beside it.
        let it = async || {
            let deliveries = stage.deliveries(&webhook).await;
            let is_it = |other: &Value| other["id"] == json!(taken[0].id);
            deliveries.into_iter().find(is_it).unwrap()
        };
        until("it is delivered", async || {
            it().await["state"] == "delivered"
        })
        .await;
        assert_eq!(it().await["attempts"], 2);
        let posted = receiver.posted().into_iter();
        assert_eq!(posted.filter(|it| it.id() == taken[0].id).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_must_be_of_an_authority_that_is_trusted_and_for_the_host() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (names, trusted, is_taken) in [
        (["127.0.0.1"], &authority, true),
        (["127.0.0.1"], &stranger, false),
        (["127.0.0.2"], &authority, false),
    ] {
        let tls = tls_acceptor(&authority.issue(&names));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = tls.accept(stream).await {
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        let root = read_pem_file(&trusted.root().display().to_string()).unwrap();
        let outbound = Outbound::new(Networks::parse("127.0.0.1").unwrap());
        let outbound = outbound.trusting(roots_of_pem(&root));
        let url = outbound.check(&url).unwrap();
        let answer = outbound.post(&url, HeaderMap::new(), "{}".into()).await;
        match is_taken {
            true => assert_eq!(answer.unwrap().status, StatusCode::NO_CONTENT),
            false => {
                let failure = answer.unwrap_err();
                assert_eq!(failure.kind, OutboundFailureKind::Unreachable);
                assert!(failure.why.starts_with("TLS: "), "{}", failure.why);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_the_list_of_deliveries_does_not_have_is_refused_and_its_end_is_empty() {
    for stage in ProviderStage::posting().await {
        let receiver = Receiver::start().await;
        // No event of the stage is posted, only the tests.
        let types = json!({"types": ["order.expired"]});
        let (webhook, _) = stage.post_to(&receiver, types).await;
        let test = format!("{WEBHOOKS}/{webhook}/test");
        for _ in 0..2 {
            assert_eq!(stage.post_as_organiser(&test).await.0, StatusCode::ACCEPTED);
        }
        let list = format!("{WEBHOOKS}/{webhook}/deliveries?limit=1&after=");
        let mut pages = vec![stage.get(&list).await];
        for _ in 0..2 {
            let next = pages.last().unwrap()["next"].as_str().unwrap().to_owned();
            pages.push(stage.get(&format!("{list}{next}")).await);
        }
        assert_ne!(pages[0]["deliveries"], pages[1]["deliveries"]);
        assert_eq!(pages[2], json!({"deliveries": [], "next": null}));
        let unknown = format!("1.evt_{}", "0".repeat(40));
        for after in ["x", "1", "1.x", "now.evt_0", "1.evt_0", &unknown] {
            let path = format!("{list}{after}");
            let (status, refused) = stage.send("GET", &path, ORGANISER_KEY, &json!({})).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{after}");
            assert_eq!(refused["type"], "/problems/unknown-cursor", "{after}");
        }
    }
}
