//! The audit log in Redis, written and read by all nodes.

use super::reply::{bytes, list};
use super::store::Store;
use async_trait::async_trait;
use redis::Value;
use shared::audit::{ENTRIES_MAX, SharedAuditLog};

impl Store {
    async fn send_or_explain(&self, words: &[&str]) -> Result<Value, String> {
        let answer = self.send(words).await;
        answer.map_err(|_| "Redis does not answer".to_owned())
    }
}

#[async_trait]
impl SharedAuditLog for Store {
    async fn keep(&self, line: String) -> Result<(), String> {
        let log = self.keys.audit();
        self.send_or_explain(&["LPUSH", &log, &line]).await?;
        let last = (ENTRIES_MAX - 1).to_string();
        let trimmed = self.send_or_explain(&["LTRIM", &log, "0", &last]).await;
        trimmed.map(drop)
    }

    async fn newest(&self, count: usize) -> Result<Vec<String>, String> {
        let last = count.saturating_sub(1).to_string();
        let log = self.keys.audit();
        let answer = self.send_or_explain(&["LRANGE", &log, "0", &last]).await?;
        let lines = list(&answer).unwrap_or_default();
        let text = |line: &Value| String::from_utf8_lossy(bytes(line)).into_owned();
        Ok(lines.iter().map(text).collect())
    }
}
