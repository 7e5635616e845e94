//! The check of an audit log: whether its lines are those that were written, in their order, and
//! all there.

use super::chain::{Hash, Head, Link, entry_of};
use crate::crypto::{hex, sha256, unhex};
use crate::time::Time;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Largest number of faults that are named.
const FAULTS_MAX: usize = 20;
/// Action of the entry that seals the lines which an earlier version wrote without a chain.
pub(super) const ADOPT: &str = "audit.adopt";

/// Result of a check.
#[derive(Debug, Default)]
pub struct Checked {
    /// Number of chained lines.
    pub lines: u64,
    /// Number of lines of earlier versions, which the chain covers as a whole.
    pub adopted: u64,
    /// Number of lines that broke off while they were written, and count for nothing.
    pub torn: u64,
    /// Hash of the last line, in hex; empty without lines.
    pub head: String,
    /// What is wrong, in sentences.
    pub faults: Vec<String>,
    /// Time of the last line.
    pub last_at: Option<Time>,
}

impl Checked {
    fn fault(&mut self, text: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text);
        }
    }
}

/// Checks the log at `path`. If a `head` is given, which an earlier check told, the log must have a
/// line with this hash.
///
/// # Errors
/// A sentence for the operator when it cannot be read.
pub fn check_file(path: &Path, head: Option<&str>) -> Result<Checked, String> {
    let Read {
        mut checked, lines, ..
    } = read(path)?;
    if let Some(head) = head {
        let end = format!("\"{}\"}}", head.to_ascii_lowercase());
        // In the chain: a line before it, which has no hash, may end with any words.
        let is_head = |line: &String| line.ends_with(&end) && Link::parse(line).is_some();
        if !lines.iter().any(is_head) {
            checked.fault(format!("no entry has the hash {head}"));
        }
    }
    Ok(checked)
}

/// A log as it was read.
pub(super) struct Read {
    pub(super) checked: Checked,
    /// The end of the chain, if there are chained lines.
    pub(super) head: Option<Head>,
    /// The whole lines, oldest first.
    pub(super) lines: Vec<String>,
    /// The file does not end with the end of a line.
    pub(super) is_torn: bool,
}

/// Reads and checks the log at `path`. A file that does not exist is an empty log.
///
/// # Errors
/// A sentence for the operator when it cannot be read.
pub(super) fn read(path: &Path) -> Result<Read, String> {
    // First the head: a process may write on.
    let told = read_head(path)?;
    let bytes = read_or_empty(path)?;
    let mut walk = Walk::new(told, &bytes);
    let mut lines = Vec::new();
    let mut at = 0;
    for (number, piece) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if !piece.is_empty() {
            let line = str::from_utf8(piece).unwrap_or_default();
            if walk.line(number, line, at) {
                lines.push(line.to_owned());
            }
        }
        at += piece.len() + 1;
    }
    let is_torn = bytes.last().is_some_and(|byte| *byte != b'\n');
    let (checked, head) = walk.end();
    Ok(Read {
        checked,
        head,
        lines,
        is_torn,
    })
}

fn read_or_empty(path: &Path) -> Result<Vec<u8>, String> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

/// Number and hash of the last line, as `audit.head` keeps them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    seq: u64,
    hash: Hash,
}

/// Returns the text of `audit.head`.
pub(super) fn head_text(head: &Head) -> String {
    format!("{} {}\n", head.seq, hex(&head.hash))
}

fn read_head(path: &Path) -> Result<Option<Told>, String> {
    let text = read_or_empty(&path.with_extension("head"))?;
    let text = String::from_utf8_lossy(&text);
    let told = text.trim_end().split_once(' ').and_then(|(seq, hash)| {
        Some(Told {
            seq: seq.parse().ok()?,
            hash: unhex(hash)?,
        })
    });
    Ok(told)
}

/// The state of a check from line to line.
struct Walk<'a> {
    checked: Checked,
    bytes: &'a [u8],
    told: Option<Told>,
    has_met_told: bool,
    last: Option<Link>,
}

impl<'a> Walk<'a> {
    fn new(told: Option<Told>, bytes: &'a [u8]) -> Walk<'a> {
        Walk {
            checked: Checked::default(),
            bytes,
            told,
            has_met_told: false,
            last: None,
        }
    }

    /// Takes a line that begins at byte `at`; returns whether it is one of the log.
    fn line(&mut self, number: u64, line: &str, at: usize) -> bool {
        let Some(link) = Link::parse(line) else {
            return self.unchained(number, line);
        };
        let entry = entry_of(line);
        self.checked.last_at = entry.as_ref().map(|entry| entry.at);
        // A line is written again if it is not known whether it reached the disk.
        if self.last.as_ref() == Some(&link) {
            return false;
        }
        match &self.last {
            Some(last) => {
                if !link.follows(&last.hash) || link.seq != last.seq + 1 || link.log != last.log {
                    self.checked.fault(format!(
                        "line {number} was changed, or lines before it were changed, removed or put in"
                    ));
                }
            }
            None => {
                let to = entry.filter(|entry| entry.action == ADOPT);
                let sealed = to.and_then(|entry| Some(entry.to["sha256"].as_str()?.to_owned()));
                self.first(number, &link, sealed, at);
            }
        }
        let told = Told {
            seq: link.seq,
            hash: link.hash,
        };
        self.has_met_told |= self.told == Some(told);
        self.checked.lines += 1;
        self.last = Some(link);
        true
    }

    /// Checks the first line of the chain, and what stands before it.
    fn first(&mut self, number: u64, link: &Link, sealed: Option<String>, at: usize) {
        if !link.follows(&[0; 32]) || link.seq != 1 {
            self.checked.fault(format!(
                "line {number} was changed, or lines before it were removed"
            ));
        }
        let before = sealed.unwrap_or_else(|| hex(&sha256(b"")));
        if hex(&sha256(&self.bytes[..at])) != before {
            self.checked.fault(format!(
                "the lines before line {number}, which had no chain yet, were changed"
            ));
        }
    }

    fn unchained(&mut self, number: u64, line: &str) -> bool {
        let is_entry = entry_of(line).is_some();
        if self.last.is_none() {
            self.checked.adopted += u64::from(is_entry);
        } else if is_entry {
            self.checked
                .fault(format!("line {number} has no hash: it was put in"));
        } else {
            self.checked.torn += 1;
        }
        is_entry
    }

    fn end(mut self) -> (Checked, Option<Head>) {
        let head = self.last.as_ref().map(Link::head);
        let last_seq = head.as_ref().map_or(0, |head| head.seq);
        match self.told {
            Some(_) if self.has_met_told => {}
            Some(told) if told.seq > last_seq => {
                let count = told.seq - last_seq;
                self.checked
                    .fault(format!("the last {count} lines were removed"));
            }
            Some(told) => self.checked.fault(format!(
                "entry {} is another than audit.head tells",
                told.seq
            )),
            // The first line may be on the disk without its head.
            None if last_seq > 1 => self
                .checked
                .fault("audit.head is missing: lines at the end may be, too".to_owned()),
            None => {}
        }
        if let Some(head) = &head {
            self.checked.head = hex(&head.hash);
        }
        (self.checked, head)
    }
}

/// Checks lines of a store that several nodes write to, in any order. `is_whole`: the store keeps
/// all lines, and not only the newest.
pub fn check_shared(lines: &[String], is_whole: bool) -> Checked {
    let mut checked = Checked::default();
    let mut links: Vec<Link> = Vec::new();
    for line in lines {
        match Link::parse(line) {
            Some(link) => links.push(link),
            None => checked.adopted += 1,
        }
    }
    links.sort_by(|a, b| (&a.log, a.seq, a.hash).cmp(&(&b.log, b.seq, b.hash)));
    // A line may have been sent twice, its first answer lost.
    links.dedup();
    checked.lines = links.len() as u64;
    for of_log in links.chunk_by(|a, b| a.log == b.log) {
        let first = &of_log[0];
        if is_whole && !(first.seq == 1 && first.follows(&[0; 32])) {
            checked.fault(format!(
                "{}: entries before {} are missing, or it was changed",
                first.log, first.seq
            ));
        }
        for pair in of_log.windows(2) {
            if pair[1].seq != pair[0].seq + 1 {
                checked.fault(format!(
                    "{}: entries between {} and {} are missing or there twice",
                    pair[0].log, pair[0].seq, pair[1].seq
                ));
            } else if !pair[1].follows(&pair[0].hash) {
                checked.fault(format!(
                    "{}: entry {} or the one before it was changed",
                    pair[1].log, pair[1].seq
                ));
            }
        }
    }
    checked
}
