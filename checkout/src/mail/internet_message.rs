//! Reads internet messages (RFC 5322, MIME) as far as delivery reports need it: fields of a header, and
//! the parts of one level. What cannot be read is left out. Takes time in proportion to the message.

use shared::crypto::decode_base64;

/// Largest number of fields that are read of a header.
const FIELDS_MAX: usize = 500;
/// Largest number of parts that are read.
const PARTS_MAX: usize = 20;

/// Fields of a header: names in small letters, and values on one line.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads the fields at the beginning of a text, and returns them with what follows the empty line.
    pub(super) fn read(text: &[u8]) -> (Fields, &[u8]) {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (line, after) = next_line(rest);
            rest = after;
            if line.trim_ascii().is_empty() {
                break;
            }
            let line = String::from_utf8_lossy(line);
            let is_folded = line.starts_with([' ', '\t']);
            if let Some((_, value)) = fields.last_mut().filter(|_| is_folded) {
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            if fields.len() >= FIELDS_MAX {
                break;
            }
            fields.extend(field(&line));
        }
        (Fields(fields), rest)
    }

    /// Returns the value of the first field with this name, in small letters.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the type of the content.
    pub(super) fn content_type(&self) -> ContentKind {
        ContentKind::read(self.get("content-type").unwrap_or("text/plain"))
    }
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// Type of a content, with its parameters.
pub(super) struct ContentKind {
    /// The type in small letters, such as `text/plain`.
    pub(super) name: String,
    parameters: Vec<(String, String)>,
}

impl ContentKind {
    fn read(text: &str) -> ContentKind {
        let mut pieces = split_outside_quotes(text).into_iter();
        let name = pieces.next().unwrap_or_default();
        let parameters = pieces.filter_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            let value = value.trim().trim_matches('"').to_owned();
            Some((name.trim().to_ascii_lowercase(), value))
        });
        ContentKind {
            name: name.trim().to_ascii_lowercase(),
            parameters: parameters.collect(),
        }
    }

    /// Returns a parameter by its name in small letters.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Splits at semicolons outside of quoted text.
fn split_outside_quotes(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut is_quoted = false;
    for c in text.chars() {
        is_quoted ^= c == '"';
        match pieces.last_mut() {
            Some(piece) if c != ';' || is_quoted => piece.push(c),
            _ => pieces.push(String::new()),
        }
    }
    pieces
}

/// A part of a message.
pub(super) struct MessagePart {
    /// Type of its content, in small letters.
    pub(super) kind: String,
    /// Its content, decoded.
    pub(super) content: Vec<u8>,
}

/// Returns the parts of a body between lines of this boundary. The parts of parts are not looked at.
pub(super) fn parts(body: &[u8], boundary: &str) -> Vec<MessagePart> {
    let delimiter = format!("--{boundary}").into_bytes();
    let last = format!("--{boundary}--").into_bytes();
    let mut parts = Vec::new();
    let (mut rest, mut part_from) = (body, None::<&[u8]>);
    while !rest.is_empty() && parts.len() < PARTS_MAX {
        let (line, after) = next_line(rest);
        let line = line.trim_ascii_end();
        if line == delimiter || line == last {
            if let Some(from) = part_from {
                parts.push(part(&from[..from.len() - rest.len()]));
            }
            part_from = (line == delimiter).then_some(after);
        }
        rest = after;
    }
    // One that was cut off.
    if let Some(from) = part_from.filter(|_| parts.len() < PARTS_MAX) {
        parts.push(part(from));
    }
    parts
}

fn part(text: &[u8]) -> MessagePart {
    let (fields, content) = Fields::read(text);
    let encoding = fields.get("content-transfer-encoding").unwrap_or_default();
    let content = match encoding.to_ascii_lowercase().as_str() {
        "base64" => {
            let is_sign = |byte: &u8| !byte.is_ascii_whitespace();
            let signs: Vec<u8> = content.iter().copied().filter(is_sign).collect();
            let signs = String::from_utf8_lossy(&signs);
            decode_base64(&signs).unwrap_or_default()
        }
        "quoted-printable" => unquoted(content),
        _ => content.to_vec(),
    };
    let kind = fields.content_type().name;
    MessagePart { kind, content }
}

/// Decodes quoted-printable (RFC 2045); anything else stays as it is.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'=', [b'\r', b'\n', after @ ..] | [b'\n', after @ ..]) => after,
            (b'=', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                plain.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                after
            }
            _ => {
                plain.push(*byte);
                after
            }
        };
    }
    plain
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Returns the first line without its end, and what follows it.
fn next_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == b'\n');
    let (line, rest) = match end {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &text[text.len()..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}
