//! Statistics of tables that grew.
//!
//! A connection keeps its plans. One that was made while a table was empty may look up an order by
//! reading all orders of its event, and a sale fills the tables within the minute that autovacuum
//! takes to notice.

use super::Postgres;
use super::database::QueryError;
use super::shard::Shard;
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Row as _, query};

/// Tables that have ten times as many rows as when they were analyzed last, and enough for a plan to
/// matter.
const GROWN: &str = "select format('%I.%I', s.schemaname, s.relname)
    from pg_stat_user_tables s join pg_class c on c.oid = s.relid
    where s.schemaname = 'fairline' and s.n_live_tup >= 200 and s.n_live_tup >= 10 * greatest(c.reltuples, 0)
    limit 10";

impl Postgres {
    /// Has tables analyzed that grew, so that all connections plan anew. Costs speed, nothing else,
    /// where it fails.
    pub(super) async fn analyze_grown(&self) {
        let analyzing = self.shards.iter().map(|shard| analyze(shard));
        for failed in join_all(analyzing)
            .await
            .into_iter()
            .filter_map(Result::err)
        {
            failed.log();
        }
    }
}

async fn analyze(shard: &Shard) -> Result<(), QueryError> {
    for table in shard.slow.fetch(query(GROWN)).await? {
        let table: String = table.get(0);
        // Another node may be at it.
        let analyze = format!("analyze (skip_locked) {table}");
        shard.slow.fetch(query(AssertSqlSafe(analyze))).await?;
    }
    Ok(())
}
