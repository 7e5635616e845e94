//! Change-log entries: written with each batch, read by other nodes.

use super::batch::DecidedChanges;
use crate::inventory::model::SeatState;
use crate::inventory::records::{NEVER, SessionRow};
use shared::ids::VisitorId;
use shared::time::Time;

/// Change-log entry of a batch: the seats it changed and the sessions it opened, as stored.
pub(super) struct ChangeLogEntry {
    pub(super) seq: i64,
    pub(super) refused: Vec<i32>,
    pub(super) changes: Vec<u8>,
    pub(super) opened: Vec<u8>,
}

/// Length of the header in bytes: the instant to which lapse times are relative.
const HEAD: usize = 8;
/// Length of a seat in bytes: request, index, state and lapse time.
const SEAT: usize = 13;

/// Encodes the changes of seats: an instant in milliseconds, then for each seat its request, index,
/// state and lapse time relative to the instant; 0 if it has no owner, the highest number if it
/// never lapses.
pub(super) fn encode_seats(contents: &[DecidedChanges]) -> Vec<u8> {
    let changes = || contents.iter().map(|content| &content.changes.seats);
    let count: usize = changes().map(Vec::len).sum();
    if count == 0 {
        return Vec::new();
    }
    let lapses = changes().flatten().map(|change| change.lapses_at);
    let from = lapses.filter(|at| *at > 0).min().unwrap_or(0);
    let mut bytes = Vec::with_capacity(HEAD + SEAT * count);
    bytes.extend(from.to_be_bytes());
    for (request, changes) in changes().enumerate() {
        for change in changes {
            let lapses = match change.lapses_at {
                0 => 0,
                NEVER => u32::MAX,
                at => 1 + (at - from).clamp(0, i64::from(u32::MAX) - 2) as u32,
            };
            bytes.extend((request as u32).to_be_bytes());
            bytes.extend(change.seat.to_be_bytes());
            bytes.push(change.to.state as u8);
            bytes.extend(lapses.to_be_bytes());
        }
    }
    bytes
}

/// Encodes the sessions opened by a batch: for each its request, key, visitor, number in line, end,
/// and the admission's id after its length. Fields needed only by the store are left out.
pub(super) fn encode_opened(contents: &[DecidedChanges]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (request, content) in contents.iter().enumerate() {
        for new in &content.changes.new_sessions {
            let Ok(length) = u16::try_from(new.jti.len()) else {
                continue;
            };
            bytes.extend((request as u32).to_be_bytes());
            bytes.extend(new.key);
            bytes.extend(new.visitor.0.to_be_bytes());
            bytes.extend(new.number.to_be_bytes());
            bytes.extend(new.expires_at.0.to_be_bytes());
            bytes.extend(length.to_be_bytes());
            bytes.extend(new.jti.as_bytes());
        }
    }
    bytes
}

/// Decoder for the output of `encode_opened`; stops at the first malformed session.
struct Opened<'a>(&'a [u8]);

impl Opened<'_> {
    fn part<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*part)
    }
}

impl Iterator for Opened<'_> {
    type Item = (i32, SessionRow);

    fn next(&mut self) -> Option<(i32, SessionRow)> {
        let request = i32::from_be_bytes(self.part()?);
        let key = self.part()?;
        let visitor = VisitorId(u128::from_be_bytes(self.part()?));
        let number = u64::from_be_bytes(self.part()?);
        let expires_at = Time(i64::from_be_bytes(self.part()?));
        let length = u16::from_be_bytes(self.part()?);
        let (jti, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        let row = SessionRow {
            key,
            visitor,
            number,
            jti: String::from_utf8_lossy(jti).into_owned(),
            token: String::new(),
            expires_at,
            is_over: false,
            report: 0,
        };
        Some((request, row))
    }
}

impl ChangeLogEntry {
    /// Returns the opened sessions, except those of refused requests.
    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionRow> {
        let refused = |request: i32| self.refused.contains(&request);
        let opened = Opened(&self.opened);
        opened.filter_map(move |(request, row)| (!refused(request)).then_some(row))
    }

    /// Returns the changed seats, each with its index, state and lapse time, except those of
    /// refused requests.
    pub(super) fn seats(&self) -> impl Iterator<Item = (u32, SeatState, i64)> {
        let (head, seats) = self.changes.split_at(HEAD.min(self.changes.len()));
        let from = head.try_into().map_or(0, i64::from_be_bytes);
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_be_bytes);
        let (seats, _) = seats.as_chunks::<SEAT>();
        let read = move |seat: &[u8; SEAT]| {
            let request = number(&seat[..4]) as i32;
            let lapses_at = match number(&seat[9..]) {
                0 => 0,
                u32::MAX => NEVER,
                after => from + i64::from(after) - 1,
            };
            let state = SeatState::of(seat[8].into());
            (!self.refused.contains(&request)).then(|| (number(&seat[4..8]), state, lapses_at))
        };
        seats.iter().filter_map(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::model::SeatState::{Available, Held};
    use crate::inventory::records::{ChangeSet, Owner, SeatChange};

    fn request(seats: &[(u32, SeatState, i64)], sessions: &[&str]) -> DecidedChanges {
        let change = |(seat, state, lapses_at): &(u32, SeatState, i64)| SeatChange {
            seat: *seat,
            from: Owner::none(Available),
            to: Owner::none(*state),
            order: None,
            lapses_at: *lapses_at,
        };
        let session = |jti: &&str| SessionRow {
            key: [7; 32],
            visitor: VisitorId(9),
            number: 11,
            jti: (*jti).to_owned(),
            token: "secret".to_owned(),
            expires_at: Time(1_800_000_000_000),
            is_over: false,
            report: 1,
        };
        let changes = ChangeSet {
            seats: seats.iter().map(change).collect(),
            new_sessions: sessions.iter().map(session).collect(),
            ..ChangeSet::default()
        };
        DecidedChanges {
            records: Box::default(),
            changes: Box::new(changes),
        }
    }

    #[test]
    fn others_read_what_was_written_but_for_what_was_refused() {
        let (soon, late) = (1_800_000_000_000, 1_800_086_400_000);
        let contents = [
            request(&[(0, Held, soon), (199_999, Held, late)], &["first"]),
            request(&[(5, Held, soon)], &["refused"]),
            request(&[(6, Available, 0), (7, Held, NEVER)], &[""]),
        ];
        let written = ChangeLogEntry {
            seq: 1,
            refused: vec![1],
            changes: encode_seats(&contents),
            opened: encode_opened(&contents),
        };
        let seats: Vec<_> = written.seats().collect();
        let all = [
            (0, Held, soon),
            (199_999, Held, late),
            (6, Available, 0),
            (7, Held, NEVER),
        ];
        assert_eq!(seats, all);
        let sessions: Vec<_> = written.sessions().collect();
        let shown = |row: &SessionRow| (row.key, row.visitor.0, row.number, row.jti.clone());
        let first = ([7; 32], 9, 11, "first".to_owned());
        assert_eq!(shown(&sessions[0]), first);
        assert_eq!((sessions.len(), sessions[1].jti.as_str()), (2, ""));
        assert_eq!(
            sessions[0].token, "",
            "what opens a session is not passed on"
        );
        let torn = ChangeLogEntry {
            changes: written.changes[..written.changes.len() - 1].to_vec(),
            opened: written.opened[..20].to_vec(),
            ..written
        };
        assert_eq!(torn.seats().count(), 3);
        assert_eq!(torn.sessions().count(), 0);
    }
}
