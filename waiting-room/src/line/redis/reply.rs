//! Replies of Redis. Those of the scripts are a status followed by names and values in turn, read
//! by name.

use crate::line::{Slot, Spot, VisitorState};
use redis::Value;
use shared::ids::VisitorId;
use shared::time::Time;

/// First value of a script's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Done.
    Ok,
    /// The store does not know the event.
    Gone,
    /// A different server than before answered. Nothing was done.
    Lost,
    /// Not possible at the moment. Nothing was done.
    Busy,
    /// The event exists already.
    Exists,
    /// More is due than one step may do.
    More,
    /// The draw or the recovery is over, or another node took the draw over.
    Over,
    /// Another node is holding the draw.
    Taken,
    /// No room.
    Full,
}

/// Reply of a script.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: Status,
    /// Names and values in turn.
    values: Vec<Value>,
}

impl Reply {
    /// Reads a reply; none if it is not one of a script.
    pub(super) fn parse(value: Value) -> Option<Reply> {
        let Value::Array(mut values) = value else {
            return None;
        };
        let status = match bytes(values.first()?) {
            b"ok" => Status::Ok,
            b"gone" => Status::Gone,
            b"lost" => Status::Lost,
            b"busy" => Status::Busy,
            b"exists" => Status::Exists,
            b"more" => Status::More,
            b"over" => Status::Over,
            b"taken" => Status::Taken,
            b"full" => Status::Full,
            _ => return None,
        };
        values.remove(0);
        Some(Reply { status, values })
    }

    /// Returns the values by their names.
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields(&self.values)
    }

    /// Takes the value with this name.
    pub(super) fn take(&mut self, name: &str) -> Value {
        let found = self.values.chunks_exact_mut(2).find_map(|pair| match pair {
            [key, value] if bytes(key) == name.as_bytes() => Some(std::mem::take(value)),
            _ => None,
        });
        found.unwrap_or(Value::Nil)
    }
}

/// Names and values in turn. A value that is missing reads as 0 or as empty.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a [Value]);

impl<'a> Fields<'a> {
    /// Reads a list of names and values; none if it is no list.
    pub(super) fn of(value: &'a Value) -> Option<Fields<'a>> {
        list(value).map(Fields)
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        let pairs = self.0.chunks_exact(2);
        let mut found = pairs.filter(|pair| bytes(&pair[0]) == name.as_bytes());
        found.next().map(|pair| &pair[1])
    }

    /// Returns a number.
    pub(super) fn number(&self, name: &str) -> i64 {
        self.get(name).map_or(0, number)
    }

    /// Returns a number that is not negative.
    pub(super) fn count(&self, name: &str) -> u64 {
        u64::try_from(self.number(name)).unwrap_or(0)
    }

    /// Returns a time.
    pub(super) fn time(&self, name: &str) -> Time {
        Time(self.number(name))
    }

    /// Returns bytes.
    pub(super) fn bytes(&self, name: &str) -> &'a [u8] {
        self.get(name).map_or(&[], bytes)
    }

    /// Returns a text.
    pub(super) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.bytes(name)).into_owned()
    }

    /// Returns the values of a list.
    pub(super) fn list(&self, name: &str) -> &'a [Value] {
        self.get(name).and_then(list).unwrap_or_default()
    }
}

/// A visitor's place as a script reports it.
pub(super) struct PlaceReply {
    pub(super) spot: Spot,
    /// Whether the script counted the visitors ahead. If not, this node counts in its own view.
    pub(super) is_exact: bool,
}

impl PlaceReply {
    /// Reads the place of a visitor; none if they have no place.
    pub(super) fn read(visitor: VisitorId, value: &Value) -> Option<PlaceReply> {
        let fields = Fields::of(value)?;
        let state = usize::try_from(fields.number("state")).ok()?;
        let slot = (fields.number("admitted_at") > 0).then(|| Slot {
            admitted_at: fields.time("admitted_at"),
            claim_by: fields.time("claim_by"),
            expires_at: fields.time("expires_at"),
        });
        let spot = Spot {
            visitor,
            number: fields.count("number"),
            is_provisional: fields.number("is_provisional") == 1,
            standing: *VisitorState::ALL.get(state)?,
            ahead: fields.count("ahead"),
            slot,
        };
        Some(PlaceReply {
            spot,
            is_exact: fields.get("ahead").is_some(),
        })
    }

    /// Reads a place together with its visitor; all zeros if the visitor is not known.
    pub(super) fn read_with_visitor(value: &Value) -> Option<PlaceReply> {
        let found = visitor(Fields::of(value)?.get("visitor")?);
        PlaceReply::read(found.unwrap_or(VisitorId(0)), value)
    }
}

/// Reads a text; empty if it is none.
pub(super) fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        _ => &[],
    }
}

/// Reads a list; none if it is none.
pub(super) fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

/// Reads a number; 0 if it is none.
pub(super) fn number(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::BulkString(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        _ => 0,
    }
}

/// Reads the id of a visitor.
pub(super) fn visitor(value: &Value) -> Option<VisitorId> {
    VisitorId::parse(std::str::from_utf8(bytes(value)).ok()?)
}
