//! Statistics of tables that grew.
//!
//! A connection keeps its plans. One that was made while a table was empty may look up an order by
//! reading all orders of its event, and a sale fills the tables within the minute that autovacuum
//! takes to notice.

use super::database::QueryError;
use super::shard::Shard;
use sqlx::{AssertSqlSafe, Row as _, query};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Time between two looks at the tables.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same after one that failed. Plans that stay as they are cost speed, nothing else.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Tables that have ten times as many rows as when they were analyzed last, and enough for a plan to
/// matter. A server that follows another one, and users who do not own the tables, analyze none.
const GROWN: &str = "select format('%I.%I', s.schemaname, s.relname)
    from pg_stat_user_tables s join pg_class c on c.oid = s.relid
    where s.schemaname = 'fairline' and s.n_live_tup >= 200 and s.n_live_tup >= 10 * greatest(c.reltuples, 0)
        and coalesce(s.last_analyze < clock_timestamp() - interval '10 seconds', true)
        and pg_has_role(c.relowner, 'usage') and not pg_is_in_recovery()
    limit 10";

/// Has tables of a database analyzed that grew, so that all connections plan anew, until it is
/// stopped. Nothing waits for it.
pub(super) async fn keep(shard: Arc<Shard>, stop: CancellationToken) {
    let looking = async {
        loop {
            let pause = match analyze_grown(&shard).await {
                Ok(()) => LOOK_EVERY,
                Err(error) => {
                    error.log();
                    AFTER_FAILURE
                }
            };
            sleep(pause).await;
        }
    };
    stop.run_until_cancelled(looking).await;
}

async fn analyze_grown(shard: &Shard) -> Result<(), QueryError> {
    for table in shard.slow.fetch(query(GROWN)).await? {
        let table: String = table.get(0);
        // Another node may be at it.
        let analyze = format!("analyze (skip_locked) {table}");
        shard.slow.fetch(query(AssertSqlSafe(analyze))).await?;
    }
    Ok(())
}
