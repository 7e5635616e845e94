use checkout::inventory::*;
use futures_util::stream::{self, StreamExt as _};
use shared::time::Clock;
use shared::words::{EventId, VisitorId};
use std::sync::Arc;
#[tokio::main]
async fn main() {
    let explain = std::env::args().nth(1).is_some_and(|a| a == "explain");
    let n: u32 = std::env::args()
        .nth(2)
        .map_or(20_000, |a| a.parse().unwrap());
    let pg = loadtest::servers::Postgres::start();
    if explain {
        let conf = pg.folder().join("data/postgresql.conf");
        let mut t = std::fs::read_to_string(&conf).unwrap();
        t.push_str("\nlog_min_duration_statement=0\n");
        std::fs::write(&conf, t).unwrap();
        pg.run("postgres", "select pg_reload_conf()").unwrap();
    }
    let url = pg.url(&pg.database());
    let e = Arc::new(Postgres::open(&url, Clock::system()).await.unwrap());
    let event = EventId::parse("hall").unwrap();
    e.set_rules(
        &event,
        RulesPatch {
            hold_seconds: Some(3600),
            hold_max_seconds: Some(7200),
            ..Default::default()
        },
    )
    .await
    .unwrap();
    let rows = n / 50;
    let sections: Vec<_> = (0..rows.div_ceil(100)).map(|at| serde_json::json!({"id": format!("s{at}"), "category": "c", "rows": 100.min(rows - at * 100), "seats_per_row": 50})).collect();
    let plan = serde_json::json!({"categories": [{"id": "c", "name": "Seats", "price": 4500}], "sections": sections});
    e.set_seating(&event, layout::parse(plan.to_string().as_bytes()).unwrap())
        .await
        .unwrap();
    let keys = |fan: u32| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&fan.to_be_bytes());
        vec![SessionKey {
            event: event.clone(),
            hash,
        }]
    };
    let fans = n / 2;
    let from = std::time::Instant::now();
    let o: Vec<_> = stream::iter(0..fans)
        .map(|fan| {
            e.open_session(NewSession {
                key: keys(fan)[0].hash,
                event: event.clone(),
                visitor: VisitorId(fan.into()),
                number: 1,
                jti: format!("a{fan}"),
                token: String::new(),
                expires_at: e.now().plus_seconds(3600),
                is_reported: true,
            })
        })
        .buffer_unordered(1000)
        .collect()
        .await;
    assert!(o.iter().all(Result::is_ok));
    println!("sessions {:?}", from.elapsed());
    let from = std::time::Instant::now();
    let o: Vec<_> = stream::iter(0..fans)
        .map(|fan| {
            e.hold(
                keys(fan),
                &event,
                Wish::Best(Best {
                    quantity: 2,
                    ..Best::default()
                }),
                None,
            )
        })
        .buffer_unordered(1000)
        .collect()
        .await;
    assert!(o.iter().all(Result::is_ok));
    println!(
        "holds {:?} {} seats/s",
        from.elapsed(),
        f64::from(n) / from.elapsed().as_secs_f64()
    );
    if explain {
        println!(
            "{}",
            std::fs::read_to_string(pg.folder().join("log")).unwrap()
        );
    }
}
