//! The engine alone, without HTTP, beside the bare batched update that pgbench performs with
//! batches of the same size; and a storm of holds that lapse at once.

use super::args::SeatsArgs;
use super::combined::Hall;
use super::strategy::wrong;
use crate::report::{Report, histogram, median, round};
use checkout::inventory::{Best, Wish};
use client::Failed;
use futures_util::stream::{self, StreamExt as _};
use std::process::Command;
use std::time::Instant;
use testkit::Postgres;

/// Numbers of concurrent requests: that of the contended sale, and enough to fill a batch.
const AT_ONCE: [usize; 2] = [64, 2000];
/// Divisor of the holds or statements executed before the clock starts, so that plans are prepared
/// and connections are warm.
const WARM: usize = 10;
/// Numbers of threads with which the engine is measured.
const THREADS: [usize; 2] = [1, 2];
/// Factor by which pgbench updates more seats than the engine; otherwise it would finish before it
/// could be measured.
const BARE: usize = 10;
/// Number of seats in the storm, each in a hold of its own.
const STORM: u32 = 50_000;

/// Alternates both and reports the medians.
pub(super) async fn run(args: &SeatsArgs, report: &mut Report) -> Result<(), Failed> {
    for at_once in AT_ONCE {
        let (mut ours, mut bare, mut batches) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..args.rounds {
            let (rate, batch) = engine(args, at_once).await?;
            ours.push(rate);
            batches.push(batch);
            bare.push(pgbench(args, batch as usize)?);
        }
        let (ours, bare) = (median(&mut ours), median(&mut bare));
        let name = |what: &str| format!("{what}, {at_once} at once");
        report.add(&name("engine alone"), round(ours), "seats/s");
        report.add(
            &name("seats in its batches"),
            round(median(&mut batches)),
            "",
        );
        report.add(
            &name("bare update from unnest of as many, pgbench"),
            round(bare),
            "seats/s",
        );
        report.add(
            &name("engine to bare update"),
            (ours / bare * 100.0).round() / 100.0,
            "",
        );
    }
    storm(report).await
}

/// Measures seats per second and seats per batch, with the best number of threads: a few concurrent
/// requests are answered faster by one thread, which need not be woken.
async fn engine(args: &SeatsArgs, at_once: usize) -> Result<(f64, f64), Failed> {
    let mut best = (0.0, 0.0);
    for threads in THREADS {
        let (seats, quantity) = (args.seats, args.per_order);
        let measured = tokio::task::spawn_blocking(move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(threads).enable_all().build();
            let runtime = runtime.map_err(wrong)?;
            // Runs as a task of the runtime, like the tasks that answer requests.
            let measuring = runtime.spawn(holds(seats, quantity, at_once));
            runtime.block_on(measuring).map_err(wrong)?
        });
        let measured = measured.await.map_err(wrong)??;
        if measured.0 > best.0 {
            best = measured;
        }
    }
    Ok(best)
}

async fn holds(seats: usize, quantity: usize, at_once: usize) -> Result<(f64, f64), Failed> {
    let postgres = Postgres::start();
    let database = postgres.database();
    let hall = Hall::open(&postgres.url(&database), seats, true).await?;
    let fans = seats / quantity;
    hall.admit(0..fans as u32).await?;
    let count = "select count(*) from fairline.change where length(changes) > 0";
    let batches = || -> Result<f64, Failed> {
        let batches = postgres.run(&database, count);
        let batches = batches.ok_or("cannot count the batches")?;
        batches.parse().map_err(wrong)
    };
    let warm = fans / WARM;
    // Measures only at full concurrency: from the first completed holds to the last started ones.
    let window = at_once..(fans - warm).saturating_sub(at_once);
    if window.len() < at_once {
        return Err(format!(
            "{seats} seats are too few for {at_once} concurrent requests: raise --seats"
        ));
    }
    hold_all(&hall, 0..warm as u32, at_once, quantity).await?;
    let before = batches()?;
    let holding = stream::iter(warm as u32..fans as u32);
    let holding = holding.map(|fan| hold(&hall, fan, quantity as u32));
    let mut holding = holding.buffer_unordered(at_once);
    let (mut done, mut from, mut to) = (0, Instant::now(), Instant::now());
    while let Some(held) = holding.next().await {
        held?;
        done += 1;
        if done == window.start {
            from = Instant::now();
        } else if done == window.end {
            to = Instant::now();
        }
    }
    let seats_of = |holds: usize| (holds * quantity) as f64;
    let rate = seats_of(window.len()) / (to - from).as_secs_f64();
    let batch = seats_of(fans - warm) / (batches()? - before).max(1.0);
    Ok((rate, batch))
}

async fn hold_all(
    hall: &Hall,
    fans: std::ops::Range<u32>,
    at_once: usize,
    quantity: usize,
) -> Result<(), Failed> {
    let holding = stream::iter(fans).map(|fan| hold(hall, fan, quantity as u32));
    let held: Vec<_> = holding.buffer_unordered(at_once).collect().await;
    held.into_iter().collect()
}

async fn hold(hall: &Hall, fan: u32, quantity: u32) -> Result<(), Failed> {
    let wish = Wish::Best(Best {
        quantity,
        ..Best::default()
    });
    let held = hall
        .seats
        .hold(hall.keys(fan), &hall.event, wish, None)
        .await;
    held.map(drop).map_err(wrong)
}

/// Measures how holds that lapse in the same second affect other fans' purchases.
async fn storm(report: &mut Report) -> Result<(), Failed> {
    let postgres = Postgres::start();
    let hall = Hall::open(
        &postgres.url(&postgres.database()),
        STORM as usize + 5_000,
        true,
    )
    .await?;
    hall.rules(1).await?;
    hall.admit(0..STORM + 2_000).await?;
    hold_all(&hall, 0..STORM, AT_ONCE[1], 1).await?;
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    hall.rules(3600).await?;
    let from = Instant::now();
    let sweeping = async {
        let mut released = 0;
        while released < STORM {
            released += hall.seats.sweep().await.map_err(wrong)?.seats_released;
        }
        Ok::<_, Failed>(from.elapsed())
    };
    let mut latency = histogram();
    let buying = async {
        for fan in STORM..STORM + 2_000 {
            let begun = Instant::now();
            hold(&hall, fan, 2).await?;
            latency.saturating_record(begun.elapsed().as_micros() as u64);
        }
        Ok::<_, Failed>(())
    };
    let (swept, bought) = tokio::join!(sweeping, buying);
    bought?;
    report.add(
        "a storm of 50,000 lapsed holds is released in",
        round(swept?.as_secs_f64()),
        "s",
    );
    report.add_latency("holds of others meanwhile", &latency);
    Ok(())
}

/// Measures pgbench: it updates the same number of seats with the values that a hold writes, in
/// statements as large as the engine's batches, with the best number of connections.
fn pgbench(args: &SeatsArgs, batch: usize) -> Result<f64, Failed> {
    let mut best: f64 = 0.0;
    let seats = args.seats * BARE;
    for clients in [1, 2, 4] {
        let postgres = Postgres::start();
        let database = postgres.database();
        let setup = format!(
            "create table seat (event text not null, seat integer not null, state smallint not null default 0, hold uuid,
                visitor uuid, primary key (event, seat)) with (fillfactor = 25);
             insert into seat (event, seat) select 'hall', n from generate_series(0, {seats} - 1) n; vacuum analyze seat;
             create sequence batch minvalue 0 start 0;"
        );
        for statement in setup.split_inclusive(';') {
            postgres
                .run(&database, statement)
                .ok_or("cannot create the table of pgbench")?;
        }
        let id = "array_fill('0b7a3a52-7a3e-4c8e-9d1a-5f6b7c8d9e0f'::uuid,";
        let script = format!(
            "select nextval('batch') * {batch} as first \\gset\n\
             update seat s set state = 1, hold = w.hold, visitor = w.visitor\n\
             from unnest(array(select generate_series(:first, :first + {batch} - 1)), {id} array[{batch}]),\n\
             {id} array[{batch}])) as w(seat, hold, visitor)\n\
             where s.event = 'hall' and s.seat = w.seat and s.state = 0;\n",
        );
        let path = postgres.folder().join("script.sql");
        std::fs::write(&path, script).map_err(wrong)?;
        let statements = (seats / batch / clients).max(1);
        let warm = statements.div_ceil(WARM);
        run_pgbench(&postgres, &database, clients, warm)?;
        let left = (statements - warm).max(1);
        let rate = run_pgbench(&postgres, &database, clients, left)?;
        best = best.max(rate * batch as f64);
    }
    Ok(best)
}

/// Runs pgbench and returns transactions per second, without the time to connect.
fn run_pgbench(
    postgres: &Postgres,
    database: &str,
    clients: usize,
    statements: usize,
) -> Result<f64, Failed> {
    let (folder, port) = (
        postgres.folder().display().to_string(),
        postgres.port().to_string(),
    );
    let (clients, statements) = (clients.to_string(), statements.to_string());
    let ran = Command::new(postgres.programs().join("pgbench"))
        .args(["-h", &folder, "-p", &port, "-U", "postgres"])
        .args(["-n", "-M", "prepared", "-c", &clients, "-j", &clients])
        .args(["-t", &statements, "-f"])
        .args([&format!("{folder}/script.sql"), database])
        .output()
        .map_err(wrong)?;
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let tps = tps.and_then(|rest| rest.split(' ').next()?.parse().ok());
    tps.ok_or_else(|| format!("unexpected output of pgbench: {text}"))
}
