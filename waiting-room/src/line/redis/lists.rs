//! Lists in Redis by which all nodes cap what an address has.

use super::reply::{Reply, bytes, number};
use super::script;
use super::store::Store;
use async_trait::async_trait;
use redis::Value;
use shared::http::rate_limit::{ListChange, ListMember, MEMBERS_MAX, SharedLists};

#[async_trait]
impl SharedLists for Store {
    async fn change(&self, change: &ListChange) -> Option<Vec<ListMember>> {
        // A cap is not worth waiting for.
        if self.connection.is_away() {
            return None;
        }
        let numbers = [
            self.now(),
            change.kept_ms.to_string(),
            change.newer_than_ms.to_string(),
            MEMBERS_MAX.to_string(),
            change.added.len().to_string(),
        ];
        let members = change.added.iter().chain(&change.removed);
        let numbers = numbers.iter().map(String::as_bytes);
        let arguments = numbers.chain(members.map(Vec::as_slice));
        let list = self.keys.list(change.list);
        let reply = script::LIST.run(&self.connection, &list, arguments);
        let mut reply = reply.await.ok().and_then(Reply::parse)?;
        let Value::Array(units) = reply.take("units") else {
            return None;
        };
        let members = units.chunks_exact(2).map(|unit| ListMember {
            member: bytes(&unit[0]).to_vec(),
            age_ms: number(&unit[1]),
        });
        Some(members.collect())
    }
}
