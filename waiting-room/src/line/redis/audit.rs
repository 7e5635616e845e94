//! The audit log in Redis, written and read by all nodes.

use super::Redis;
use super::cache::{bytes, list};
use async_trait::async_trait;
use redis::{Cmd, Value};
use shared::audit::{ENTRIES_MAX, SharedAuditLog};

impl Redis {
    async fn ask(&self, name: &str, arguments: [&str; 2]) -> Result<Value, String> {
        let mut command = Cmd::new();
        command.arg(name).arg(format!("{}:audit", self.prefix));
        command.arg(arguments[0]);
        if !arguments[1].is_empty() {
            command.arg(arguments[1]);
        }
        let answer = self.link.send(&command).await;
        answer.map_err(|_| "Redis does not answer".to_owned())
    }
}

#[async_trait]
impl SharedAuditLog for Redis {
    async fn keep(&self, line: String) -> Result<(), String> {
        self.ask("LPUSH", [&line, ""]).await?;
        let last = (ENTRIES_MAX - 1).to_string();
        self.ask("LTRIM", ["0", &last]).await.map(drop)
    }

    async fn newest(&self, count: usize) -> Result<Vec<String>, String> {
        let last = count.saturating_sub(1).to_string();
        let answer = self.ask("LRANGE", ["0", &last]).await?;
        let lines = list(&answer).unwrap_or_default();
        let text = |line: &Value| String::from_utf8_lossy(bytes(line)).into_owned();
        Ok(lines.iter().map(text).collect())
    }
}
