//! The strategies of most shops: one transaction per request, with locked rows or with versions;
//! and the tables of all strategies but Fairline's.

use super::strategy::{Bought, EVENT, Seller, ShopArgs, Strategy, Wanted, new_order, wrong};
use async_trait::async_trait;
use client::Failed;
use parking_lot::Mutex;
use std::str::FromStr as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::{Client, NoTls, Statement};

/// Number of connections of a shop, the usual size of a pool.
const CONNECTIONS: usize = 32;
/// Number of free seats from which a search without locks chooses, so that buyers do not all choose
/// the same ones.
pub(super) const SPREAD: i64 = 64;
/// Largest number of attempts of a request that loses races.
pub(super) const TRIES_MAX: usize = 50;

/// Tables of all strategies but Fairline's. The index finds free seats without visiting sold ones.
const TABLES: &str = "create table seat (event text not null, seat integer not null, state smallint not null default 0,
        order_id text, version integer not null default 0, primary key (event, seat)) with (fillfactor = 50);
    create index seat_free on seat (event, seat) where state = 0;
    create table orders (id text primary key, event text not null, buyer bigint not null, seats integer[] not null,
        at timestamptz not null default now());";

/// One connection with its statements prepared.
pub(super) struct Prepared {
    pub(super) client: Client,
    lock: Statement,
    lock_best: Statement,
    lock_best_skipping: Statement,
    pub(super) look: Statement,
    look_best: Statement,
    pub(super) take: Statement,
    take_version: Statement,
    pub(super) order: Statement,
}

/// A pool of connections; a broken one is replaced.
pub(super) struct Pool {
    url: String,
    free: Mutex<Vec<Prepared>>,
    room: Semaphore,
}

/// A connection lent by the pool.
pub(super) struct Lent<'a> {
    pub(super) prepared: Option<Prepared>,
    pool: &'a Pool,
    _room: SemaphorePermit<'a>,
}

impl Lent<'_> {
    pub(super) fn get(&self) -> &Prepared {
        self.prepared
            .as_ref()
            .expect("the connection is present until it is returned")
    }

    /// Discards the connection instead of returning it, as its transaction may be open.
    pub(super) fn spoil(&mut self) {
        self.prepared = None;
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            self.pool.free.lock().push(prepared);
        }
    }
}

impl Pool {
    pub(super) async fn open(args: &ShopArgs) -> Result<Pool, Failed> {
        let pool = Pool {
            url: args.postgres.clone(),
            free: Mutex::new(Vec::new()),
            room: Semaphore::new(CONNECTIONS),
        };
        if args.node == 0 {
            let client = pool.connect().await?;
            client.batch_execute(TABLES).await.map_err(wrong)?;
            let fill = "insert into seat (event, seat) select $1, n from generate_series(0, $2::integer - 1) n";
            let seats = args.seats as i32;
            client
                .execute(fill, &[&EVENT, &seats])
                .await
                .map_err(wrong)?;
            client
                .batch_execute("vacuum analyze seat")
                .await
                .map_err(wrong)?;
        }
        Ok(pool)
    }

    pub(super) async fn connect(&self) -> Result<Client, Failed> {
        let config = tokio_postgres::Config::from_str(&self.url).map_err(wrong)?;
        let (client, connection) = config.connect(NoTls).await.map_err(wrong)?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub(super) async fn lend(&self) -> Result<Lent<'_>, Failed> {
        let room = self.room.acquire().await.map_err(wrong)?;
        let known = self.free.lock().pop();
        let prepared = match known.filter(|known| !known.client.is_closed()) {
            Some(known) => known,
            None => prepare(self.connect().await?).await.map_err(wrong)?,
        };
        Ok(Lent {
            prepared: Some(prepared),
            pool: self,
            _room: room,
        })
    }
}

async fn prepare(client: Client) -> Result<Prepared, tokio_postgres::Error> {
    let free =
        "select seat, version from seat where event = $1 and state = 0 order by seat limit $2";
    Ok(Prepared {
        lock: client
            .prepare("select seat, state from seat where event = $1 and seat = any($2) order by seat for update")
            .await?,
        lock_best: client.prepare(&format!("{free} for update")).await?,
        lock_best_skipping: client
            .prepare(&format!("{free} for update skip locked"))
            .await?,
        look: client
            .prepare("select seat, version, state from seat where event = $1 and seat = any($2)")
            .await?,
        look_best: client.prepare(free).await?,
        take: client
            .prepare("update seat set state = 2, order_id = $3 where event = $1 and seat = any($2)")
            .await?,
        take_version: client
            .prepare(
                "update seat set state = 2, order_id = $4, version = version + 1
                 where event = $1 and seat = $2 and version = $3",
            )
            .await?,
        order: client
            .prepare("insert into orders (id, event, buyer, seats) values ($1, $2, $3, $4)")
            .await?,
        client,
    })
}

/// One transaction per request: `begin; select … for update; update; insert; commit`, with or
/// without `skip locked` for the best seats; or optimistic, which checks without a lock, writes if
/// the version is unchanged, and otherwise checks again.
pub(super) struct Transactions {
    pool: Pool,
    strategy: Strategy,
}

impl Transactions {
    pub(super) async fn open(args: &ShopArgs) -> Result<Transactions, Failed> {
        Ok(Transactions {
            pool: Pool::open(args).await?,
            strategy: args.strategy,
        })
    }

    async fn take(
        &self,
        on: &Prepared,
        wanted: &Wanted,
    ) -> Result<Option<Bought>, tokio_postgres::Error> {
        match self.strategy {
            Strategy::Optimistic => look_and_take(on, wanted).await,
            strategy => lock_and_take(on, wanted, strategy == Strategy::SkipLocked).await,
        }
    }
}

#[async_trait]
impl Seller for Transactions {
    async fn buy(&self, wanted: Wanted) -> Result<Bought, Failed> {
        let mut lent = self.pool.lend().await?;
        for _ in 0..TRIES_MAX {
            match self.take(lent.get(), &wanted).await {
                Ok(Some(bought)) => return Ok(bought),
                Ok(None) => {}
                Err(error) => {
                    lent.spoil();
                    return Err(wrong(error));
                }
            }
        }
        Err("lost every race against other buyers".to_owned())
    }
}

/// Runs the transaction of a request with locked rows. Returns `None` if the best seats had been
/// taken by the time they were locked.
pub(super) async fn lock_and_take(
    on: &Prepared,
    wanted: &Wanted,
    skips: bool,
) -> Result<Option<Bought>, tokio_postgres::Error> {
    on.client.batch_execute("begin").await?;
    let seats: Vec<i32> = if wanted.best > 0 {
        let count = i64::from(wanted.best);
        let lock = if skips {
            &on.lock_best_skipping
        } else {
            &on.lock_best
        };
        let rows = on.client.query(lock, &[&EVENT, &count]).await?;
        if rows.len() < wanted.best as usize {
            on.client.batch_execute("rollback").await?;
            // Fewer than requested: the hall is sold out, or the seats found were sold before they
            // were locked.
            let left = on.client.query(&on.look_best, &[&EVENT, &count]).await?;
            let is_over = left.len() < wanted.best as usize;
            return Ok(is_over.then_some(Bought::SoldOut));
        }
        rows.iter().map(|row| row.get(0)).collect()
    } else {
        let rows = on.client.query(&on.lock, &[&EVENT, &wanted.seats]).await?;
        if rows.iter().any(|row| row.get::<_, i16>(1) != 0) {
            on.client.batch_execute("rollback").await?;
            return Ok(Some(Bought::Taken));
        }
        wanted.seats.clone()
    };
    take_and_commit(on, wanted, seats).await.map(Some)
}

/// Writes the purchase of seats that are known to be free, and commits.
pub(super) async fn take_and_commit(
    on: &Prepared,
    wanted: &Wanted,
    seats: Vec<i32>,
) -> Result<Bought, tokio_postgres::Error> {
    let (order, buyer) = (new_order(), i64::from(wanted.buyer));
    on.client
        .execute(&on.take, &[&EVENT, &seats, &order])
        .await?;
    on.client
        .execute(&on.order, &[&order, &EVENT, &buyer, &seats])
        .await?;
    on.client.batch_execute("commit").await?;
    Ok(Bought::Sold { order, seats })
}

/// Reads free seats and their versions without a lock; a random choice of the first ones.
pub(super) async fn see_best(
    on: &Prepared,
    count: usize,
) -> Result<Vec<(i32, i32)>, tokio_postgres::Error> {
    let rows = on.client.query(&on.look_best, &[&EVENT, &SPREAD]).await?;
    if rows.len() < count {
        return Ok(Vec::new());
    }
    let first = rand::random_range(0..=rows.len() - count);
    let some = rows[first..first + count].iter();
    Ok(some.map(|row| (row.get(0), row.get(1))).collect())
}

async fn look_and_take(
    on: &Prepared,
    wanted: &Wanted,
) -> Result<Option<Bought>, tokio_postgres::Error> {
    let seen: Vec<(i32, i32)> = if wanted.best > 0 {
        let seen = see_best(on, wanted.best as usize).await?;
        if seen.is_empty() {
            return Ok(Some(Bought::SoldOut));
        }
        seen
    } else {
        let rows = on.client.query(&on.look, &[&EVENT, &wanted.seats]).await?;
        if rows.iter().any(|row| row.get::<_, i16>(2) != 0) {
            return Ok(Some(Bought::Taken));
        }
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    on.client.batch_execute("begin").await?;
    let (order, buyer) = (new_order(), i64::from(wanted.buyer));
    for (seat, version) in &seen {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&EVENT, seat, version, &order];
        if on.client.execute(&on.take_version, &params).await? == 0 {
            on.client.batch_execute("rollback").await?;
            return Ok(None);
        }
    }
    let seats: Vec<i32> = seen.iter().map(|(seat, _)| *seat).collect();
    on.client
        .execute(&on.order, &[&order, &EVENT, &buyer, &seats])
        .await?;
    on.client.batch_execute("commit").await?;
    Ok(Some(Bought::Sold { order, seats }))
}
