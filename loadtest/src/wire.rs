//! A kept-alive connection for requests that are written beforehand; the minimum that HTTP/1.1
//! needs.

use client::Failed;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Time after which a request counts as unanswered.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection to a server, opened with the first request.
pub(crate) struct Wire {
    address: String,
    stream: Option<TcpStream>,
    read: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(address: &str) -> Wire {
        Wire {
            address: address.to_owned(),
            stream: None,
            read: Vec::with_capacity(64 * 1024),
        }
    }

    /// Sends a whole request and returns the status; the body is counted, not kept.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<u16, Failed> {
        let answer = tokio::time::timeout(ANSWER, self.ask(request)).await;
        let answer = answer.unwrap_or_else(|_| Err("no answer".to_owned()));
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    async fn ask(&mut self, request: &[u8]) -> Result<u16, Failed> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            closed => {
                let stream = TcpStream::connect(&self.address).await;
                let stream = stream.map_err(|error| error.to_string())?;
                let nodelay = stream.set_nodelay(true);
                nodelay.map_err(|error| error.to_string())?;
                closed.insert(stream)
            }
        };
        let sent = stream.write_all(request).await;
        sent.map_err(|error| error.to_string())?;
        self.read.clear();
        let (status, mut left) = loop {
            let count = stream.read_buf(&mut self.read).await;
            if count.map_err(|error| error.to_string())? == 0 {
                return Err("the connection was closed".to_owned());
            }
            if let Some((status, whole)) = parse_head(&self.read) {
                break (status, whole.saturating_sub(self.read.len()));
            }
        };
        while left > 0 {
            self.read.clear();
            let count = stream.read_buf(&mut self.read).await;
            match count.map_err(|error| error.to_string())? {
                0 => return Err("the connection was closed".to_owned()),
                count => left = left.saturating_sub(count),
            }
        }
        Ok(status)
    }
}

/// Returns the status and the length of head and body together, once the head is complete.
pub(crate) fn parse_head(read: &[u8]) -> Option<(u16, usize)> {
    let end = read.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&read[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let length: usize = match length {
        Some(length) => length.trim().parse().ok()?,
        // 204 has no body, and no length.
        None => 0,
    };
    Some((status, end + 4 + length))
}
