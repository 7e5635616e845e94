//! Rate limits in Redis, where all nodes count together.

use super::reply::{Reply, number};
use super::script;
use super::store::Store;
use async_trait::async_trait;
use redis::Value;
use shared::http::rate_limit::{SharedBucket, SharedBuckets};

#[async_trait]
impl SharedBuckets for Store {
    async fn take(&self, buckets: &[SharedBucket]) -> Option<Vec<u64>> {
        // A limit is not worth waiting for.
        if self.connection.is_away() {
            return None;
        }
        let mut arguments = vec![self.now()];
        for bucket in buckets {
            arguments.extend([
                format!("{}:{}", bucket.kind, bucket.id),
                bucket.count.to_string(),
                (bucket.interval_us as f64 / 1000.0).to_string(),
                bucket.burst.to_string(),
                bucket.excess_max.to_string(),
            ]);
        }
        let prefix = self.keys.limits();
        let arguments = arguments.iter().map(String::as_bytes);
        let reply = script::LIMIT.run(&self.connection, &prefix, arguments);
        let mut reply = reply.await.ok().and_then(Reply::parse)?;
        let Value::Array(waits) = reply.take("units") else {
            return None;
        };
        let waits = waits.iter().map(number);
        Some(waits.map(|ms| ms.unsigned_abs() * 1000).collect())
    }
}
