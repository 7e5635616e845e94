//! Common uses of Redis by shops: a lock for every seat, a counter in front, a queue processed by
//! one consumer.

use super::locks::{Lent, Pool, SPREAD, TRIES_MAX, lock_and_take, see_best, take_and_commit};
use super::strategy::{Bought, EVENT, Seller, ShopArgs, Wanted, new_order, wrong};
use async_trait::async_trait;
use client::Failed;
use redis::aio::ConnectionManager;
use redis::{AsyncCommands as _, Script};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const LOCK_MS: u64 = 10_000;
/// Largest number of purchases in one write of the counter.
const BEHIND_MAX: usize = 256;
/// Time for which the answers of the queue are kept, in seconds.
const KEPT_SECONDS: u64 = 600;

async fn connect(url: &str) -> Result<ConnectionManager, Failed> {
    let client = redis::Client::open(url).map_err(wrong)?;
    ConnectionManager::new(client).await.map_err(wrong)
}

/// `SET seat NX PX` around a transaction that checks and writes.
pub(super) struct Lock {
    pool: Pool,
    redis: ConnectionManager,
    unlock: Script,
}

impl Lock {
    pub(super) async fn open(args: &ShopArgs) -> Result<Lock, Failed> {
        Ok(Lock {
            pool: Pool::open(args).await?,
            redis: connect(&args.redis).await?,
            unlock: Script::new(
                "for _, key in ipairs(KEYS) do if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end end",
            ),
        })
    }

    /// Locks all of the seats or none.
    async fn lock(&self, seats: &[i32], token: &str) -> Result<bool, Failed> {
        let mut redis = self.redis.clone();
        for (at, seat) in seats.iter().enumerate() {
            let set: Option<String> = redis::cmd("SET")
                .arg((format!("seat:{seat}"), token, "NX", "PX", LOCK_MS))
                .query_async(&mut redis)
                .await
                .map_err(wrong)?;
            if set.is_none() {
                self.unlock(&seats[..at], token).await;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn unlock(&self, seats: &[i32], token: &str) {
        if seats.is_empty() {
            return;
        }
        let mut invocation = self.unlock.prepare_invoke();
        for seat in seats {
            invocation.key(format!("seat:{seat}"));
        }
        let mut redis = self.redis.clone();
        // A lock that is not released expires by itself.
        let _: Result<(), _> = invocation.arg(token).invoke_async(&mut redis).await;
    }

    async fn take(&self, wanted: &Wanted, token: &str) -> Result<Option<Bought>, Failed> {
        let mut lent = self.pool.lend().await?;
        let seats = if wanted.best > 0 {
            let seen = see_best(lent.get(), wanted.best as usize)
                .await
                .map_err(wrong)?;
            if seen.is_empty() {
                return Ok(Some(Bought::SoldOut));
            }
            seen.into_iter().map(|(seat, _)| seat).collect()
        } else {
            wanted.seats.clone()
        };
        if !self.lock(&seats, token).await? {
            // Another buyer holds the lock at the moment.
            return Ok((wanted.best == 0).then_some(Bought::Taken));
        }
        let taken = take_seen(&mut lent, wanted, &seats).await;
        self.unlock(&seats, token).await;
        taken
    }
}

/// Checks and writes, protected by the Redis lock alone.
async fn take_seen(
    lent: &mut Lent<'_>,
    wanted: &Wanted,
    seats: &[i32],
) -> Result<Option<Bought>, Failed> {
    let on = lent.get();
    let seats = seats.to_vec();
    let taking = async {
        on.client.batch_execute("begin").await?;
        let rows = on.client.query(&on.look, &[&EVENT, &seats]).await?;
        if rows.iter().any(|row| row.get::<_, i16>(2) != 0) {
            on.client.batch_execute("rollback").await?;
            return Ok((wanted.best == 0).then_some(Bought::Taken));
        }
        take_and_commit(on, wanted, seats).await.map(Some)
    };
    let taken = taking.await;
    if taken.is_err() {
        lent.spoil();
    }
    taken.map_err(wrong)
}

#[async_trait]
impl Seller for Lock {
    async fn buy(&self, wanted: Wanted) -> Result<Bought, Failed> {
        let token = new_order();
        for _ in 0..TRIES_MAX {
            if let Some(bought) = self.take(&wanted, &token).await? {
                return Ok(bought);
            }
        }
        Err("lost every race against other buyers".to_owned())
    }
}

/// A script checks the seats in Redis and takes them; Postgres is written behind.
pub(super) struct Counter {
    redis: ConnectionManager,
    take: Script,
    behind: mpsc::Sender<(String, i64, Vec<i32>)>,
    pool: Arc<Pool>,
    seats: usize,
}

const TAKE: &str = "if redis.call('EXISTS', KEYS[1]) == 0 then return {-2} end
local seats = {}
if tonumber(ARGV[1]) > 0 then
  seats = redis.call('SRANDMEMBER', KEYS[1], ARGV[1])
  if #seats < tonumber(ARGV[1]) then return {-1} end
else
  for n = 2, #ARGV do
    if redis.call('SISMEMBER', KEYS[1], ARGV[n]) == 0 then return {-3} end
    seats[#seats + 1] = ARGV[n]
  end
end
redis.call('SREM', KEYS[1], unpack(seats))
redis.call('DECRBY', KEYS[2], #seats)
if redis.call('SCARD', KEYS[1]) == 0 then redis.call('SADD', KEYS[1], 'end') end
return seats";

impl Counter {
    pub(super) async fn open(args: &ShopArgs) -> Result<Counter, Failed> {
        let pool = Arc::new(Pool::open(args).await?);
        let (behind, queue) = mpsc::channel(100_000);
        tokio::spawn(write_behind(pool.clone(), queue));
        let counter = Counter {
            redis: connect(&args.redis).await?,
            take: Script::new(TAKE),
            behind,
            pool,
            seats: args.seats,
        };
        counter.fill().await?;
        Ok(counter)
    }

    /// Fills Redis from Postgres, at the start and after Redis lost its data.
    async fn fill(&self) -> Result<(), Failed> {
        let client = self.pool.connect().await?;
        let select = "select seat::text from seat where event = $1 and state = 0";
        let rows = client.query(select, &[&EVENT]).await.map_err(wrong)?;
        let mut free: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        free.push("end".to_owned());
        let mut redis = self.redis.clone();
        for some in free.chunks(1000) {
            let _: () = redis.sadd("free", some).await.map_err(wrong)?;
        }
        let _: () = redis.srem("free", "end").await.map_err(wrong)?;
        let _: () = redis
            .set("available", free.len() - 1)
            .await
            .map_err(wrong)?;
        Ok(())
    }
}

/// Writes Redis's decisions to Postgres. A batch that fails is retried once and then only logged,
/// as is usual in such code.
async fn write_behind(pool: Arc<Pool>, mut queue: mpsc::Receiver<(String, i64, Vec<i32>)>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BEHIND_MAX).await > 0 {
        for _ in 0..2 {
            if write_batch(&pool, &batch).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        batch.clear();
    }
}

async fn write_batch(pool: &Pool, batch: &[(String, i64, Vec<i32>)]) -> Result<(), Failed> {
    let mut lent = pool.lend().await?;
    let on = lent.get();
    let writing = async {
        on.client.batch_execute("begin").await?;
        for (order, buyer, seats) in batch {
            on.client.execute(&on.take, &[&EVENT, seats, order]).await?;
            on.client
                .execute(&on.order, &[order, &EVENT, buyer, seats])
                .await?;
        }
        on.client.batch_execute("commit").await
    };
    let written = writing.await;
    if written.is_err() {
        lent.spoil();
    }
    written.map_err(wrong)
}

#[async_trait]
impl Seller for Counter {
    async fn buy(&self, wanted: Wanted) -> Result<Bought, Failed> {
        let mut invocation = self.take.prepare_invoke();
        invocation.key("free").key("available").arg(wanted.best);
        for seat in &wanted.seats {
            invocation.arg(*seat);
        }
        let mut redis = self.redis.clone();
        let taken: Vec<String> = invocation.invoke_async(&mut redis).await.map_err(wrong)?;
        match taken.first().map(String::as_str) {
            Some("-2") => {
                self.fill().await?;
                return Err("Redis has lost its data".to_owned());
            }
            Some("-1") | None => return Ok(Bought::SoldOut),
            Some("-3") => return Ok(Bought::Taken),
            Some(_) => {}
        }
        let seats: Vec<i32> = taken.iter().filter_map(|seat| seat.parse().ok()).collect();
        if seats.len() < taken.len() || self.seats == 0 {
            return Ok(Bought::SoldOut);
        }
        let order = new_order();
        let row = (order.clone(), i64::from(wanted.buyer), seats.clone());
        self.behind.send(row).await.map_err(wrong)?;
        Ok(Bought::Sold { order, seats })
    }
}

/// A stream of requests, one consumer, answers that are polled.
pub(super) struct Queue {
    redis: ConnectionManager,
}

impl Queue {
    pub(super) async fn open(args: &ShopArgs) -> Result<Queue, Failed> {
        let pool = Pool::open(args).await?;
        let redis = connect(&args.redis).await?;
        tokio::spawn(consume(pool, connect(&args.redis).await?));
        Ok(Queue { redis })
    }
}

async fn consume(pool: Pool, mut redis: ConnectionManager) {
    let mut last = "0".to_owned();
    loop {
        let read: redis::RedisResult<redis::streams::StreamReadReply> = redis::cmd("XREAD")
            .arg(("COUNT", SPREAD, "BLOCK", 50, "STREAMS", "wanted", &last))
            .query_async(&mut redis)
            .await;
        let Ok(read) = read else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        for message in read.keys.into_iter().flat_map(|key| key.ids) {
            let text: String = message.get("wanted").unwrap_or_default();
            let order: String = message.get("order").unwrap_or_default();
            last = message.id;
            let Ok(wanted) = serde_json::from_str::<Wanted>(&text) else {
                continue;
            };
            let said = match work(&pool, &wanted).await {
                Ok(Bought::Sold { order, seats }) => {
                    serde_json::json!({"order": order, "seats": seats})
                }
                Ok(Bought::Taken) => serde_json::json!({"why": "taken"}),
                Ok(_) => serde_json::json!({"why": "sold-out"}),
                Err(_) => serde_json::json!({"why": "failed"}),
            };
            let key = format!("answer:{order}");
            let _: Result<(), _> = redis.set_ex(key, said.to_string(), KEPT_SECONDS).await;
        }
    }
}

async fn work(pool: &Pool, wanted: &Wanted) -> Result<Bought, Failed> {
    let mut lent = pool.lend().await?;
    // There is only one consumer, so no race can be lost.
    let bought = lock_and_take(lent.get(), wanted, true).await;
    if bought.is_err() {
        lent.spoil();
    }
    Ok(bought.map_err(wrong)?.unwrap_or(Bought::SoldOut))
}

#[async_trait]
impl Seller for Queue {
    async fn buy(&self, wanted: Wanted) -> Result<Bought, Failed> {
        let order = new_order();
        let text = serde_json::to_string(&wanted).map_err(wrong)?;
        let mut redis = self.redis.clone();
        let _: String = redis
            .xadd(
                "wanted",
                "*",
                &[("order", order.as_str()), ("wanted", &text)],
            )
            .await
            .map_err(wrong)?;
        Ok(Bought::Later(order))
    }

    async fn ask(&self, order: &str) -> Result<Bought, Failed> {
        let mut redis = self.redis.clone();
        let said: Option<String> = redis.get(format!("answer:{order}")).await.map_err(wrong)?;
        let Some(said) = said else {
            return Ok(Bought::Later(order.to_owned()));
        };
        let said: serde_json::Value = serde_json::from_str(&said).map_err(wrong)?;
        match said["why"].as_str() {
            Some("taken") => Ok(Bought::Taken),
            Some("sold-out") => Ok(Bought::SoldOut),
            Some(why) => Err(why.to_owned()),
            None => Ok(Bought::Sold {
                order: said["order"].as_str().unwrap_or("").to_owned(),
                seats: serde_json::from_value(said["seats"].clone()).map_err(wrong)?,
            }),
        }
    }
}
