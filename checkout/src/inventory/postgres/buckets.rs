//! Rate limits in Postgres, where all nodes count together. A bucket is a row of the lists by which
//! nodes cap what an address has: its only member is empty, and its time is that at which the bucket
//! is empty.

use super::Postgres;
use async_trait::async_trait;
use shared::http::rate_limit::{SharedBucket, SharedBuckets};
use sqlx::{Row as _, query};
use std::collections::HashMap;

/// Counts uses. $1 has the lists, $2 the seconds that the uses of each take to become free again, $3
/// the seconds that the fullest bucket takes. Rows are locked in the same order by all nodes.
const COUNT: &str = "insert into fairline.list as known (list, member, at)
    select list, ''::bytea, statement_timestamp() + make_interval(secs => least(sum(seconds), $3))
        from unnest($1, $2) as used (list, seconds) group by list order by list
    on conflict (list, member) do update set at = least(
        greatest(known.at, statement_timestamp()) + (excluded.at - statement_timestamp()),
        statement_timestamp() + make_interval(secs => $3))
    returning list, (extract(epoch from at - statement_timestamp()) * 1000000)::bigint";

#[async_trait]
impl SharedBuckets for Postgres {
    async fn take(&self, buckets: &[SharedBucket]) -> Option<Vec<u64>> {
        let seconds = |uses: u64, bucket: &SharedBucket| {
            uses as f64 * bucket.interval_us as f64 / 1_000_000.0
        };
        let full = |bucket: &SharedBucket| bucket.burst + bucket.excess_max;
        let lists: Vec<i64> = buckets.iter().map(list).collect();
        let used: Vec<f64> = buckets.iter().map(|it| seconds(it.count, it)).collect();
        let most = buckets.iter().map(|it| seconds(full(it), it));
        let count = query(COUNT)
            .bind(&lists)
            .bind(&used)
            .bind(most.fold(0.0, f64::max));
        let rows = self.shards[0].reader().fetch(count).await.ok()?;
        let empty_in_us: HashMap<i64, i64> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let waits = buckets.iter().zip(&lists).map(|(bucket, list)| {
            let empty_in = empty_in_us.get(list).copied().unwrap_or(0);
            let empty_in = u64::try_from(empty_in).unwrap_or(0);
            empty_in.saturating_sub(bucket.burst * bucket.interval_us)
        });
        Some(waits.collect())
    }
}

/// Returns the list that stands for a bucket. Those of networks are hashes, far larger.
fn list(bucket: &SharedBucket) -> i64 {
    i64::from(bucket.kind) << 32 | i64::from(bucket.id)
}
