//! The engine alone, without HTTP, beside the bare batched update that pgbench reaches on the same server.

use super::Args;
use super::combined::House;
use super::locks::wrong;
use crate::client::Failed;
use crate::report::{Report, median, round};
use crate::servers::Postgres;
use checkout::inventory::{Best, Wish};
use futures_util::stream::{self, StreamExt as _};
use std::process::Command;
use std::time::Instant;

/// Holds asked for at one time, and seats in one statement of pgbench: the engine's batches at that depth.
const AT_ONCE: usize = 1000;

/// Alternates both and adds the medians.
pub(super) async fn run(args: &Args, report: &mut Report) -> Result<(), Failed> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        ours.push(holds(args).await?);
        bare.push(pgbench(args)?);
    }
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    report.add("engine alone", round(ours), "seats/s");
    report.add("bare update from unnest, pgbench", round(bare), "seats/s");
    report.add(
        "engine to bare update",
        (ours / bare * 100.0).round() / 100.0,
        "",
    );
    Ok(())
}

async fn holds(args: &Args) -> Result<f64, Failed> {
    let postgres = Postgres::start();
    let url = postgres.url(&postgres.database());
    let house = House::open(&url, args.seats, true).await?;
    let fans = (args.seats / args.per_order) as u32;
    house.admit(0..fans).await?;
    let from = Instant::now();
    let holding = stream::iter(0..fans).map(|fan| {
        let wish = Wish::Best(Best {
            quantity: args.per_order as u32,
            ..Best::default()
        });
        let keys = house.keys(fan);
        house.seats.hold(keys, &house.event, wish, None)
    });
    let held: Vec<_> = holding.buffer_unordered(AT_ONCE).collect().await;
    let seconds = from.elapsed().as_secs_f64();
    for outcome in held {
        outcome.map_err(wrong)?;
    }
    Ok(args.seats as f64 / seconds)
}

/// The same number of seats, as many in a statement as the engine's batches have, by whichever number of connections is best.
fn pgbench(args: &Args) -> Result<f64, Failed> {
    let mut best: f64 = 0.0;
    for clients in [1, 2] {
        let postgres = Postgres::start();
        let database = postgres.database();
        let batch = AT_ONCE * args.per_order;
        let statements = (args.seats / batch).max(1);
        let setup = format!(
            "create table seat (event text not null, seat integer not null, state smallint not null default 0, hold text,
                primary key (event, seat)) with (fillfactor = 25);
             insert into seat (event, seat) select 'hall', n from generate_series(0, {} - 1) n; vacuum analyze seat;
             create sequence batch minvalue 0 start 0;",
            args.seats
        );
        for statement in setup.split_inclusive(';') {
            postgres
                .run(&database, statement)
                .ok_or("pgbench's table was not made")?;
        }
        let script = format!(
            "select nextval('batch') * {batch} as first \\gset\n\
             update seat s set state = 1, hold = w.hold from unnest(array(select generate_series(:first, :first + {batch} - 1)),\n\
             array(select 'hold_' || md5(n::text) || '12345678' from generate_series(1, {batch}) n)) as w(seat, hold)\n\
             where s.event = 'hall' and s.seat = w.seat and s.state = 0;\n",
        );
        let path = postgres.folder().join("script.sql");
        std::fs::write(&path, script).map_err(wrong)?;
        let from = Instant::now();
        let ran = Command::new(postgres.programs().join("pgbench"))
            .args([
                "-h",
                &postgres.folder().display().to_string(),
                "-p",
                &postgres.port().to_string(),
            ])
            .args([
                "-U",
                "postgres",
                "-n",
                "-M",
                "prepared",
                "-c",
                &clients.to_string(),
                "-j",
                &clients.to_string(),
            ])
            .args([
                "-t",
                &(statements / clients).max(1).to_string(),
                "-f",
                &path.display().to_string(),
                &database,
            ])
            .output()
            .map_err(wrong)?;
        let seconds = from.elapsed().as_secs_f64();
        if !ran.status.success() {
            return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
        }
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        let tps = text.lines().find_map(|line| line.strip_prefix("tps = "));
        let tps = tps.and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
        // Without connecting, as pgbench counts it.
        best = best.max(tps.map_or(args.seats as f64 / seconds, |tps| tps * batch as f64));
    }
    Ok(best)
}
