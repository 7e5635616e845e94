//! Watches the frames of a client while they are read: their number, whatever they are, and
//! whether their lengths are well-formed. The library above hands on only whole messages, so that
//! empty fragments would never be seen.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Most bytes of a frame's header without its mask.
const HEADER_BYTES_MAX: usize = 10;
const MASK_BYTES: u64 = 4;

/// Reason for which a client's frames are not read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("too many frames")]
    TooMany,
    #[error("the length of a frame takes more bytes than it needs")]
    NotMinimal,
}

/// A stream that ends with an error once the frames that are read from it break a rule.
pub struct WatchedStream<S> {
    stream: S,
    frames: Frames,
    violation: Option<Violation>,
}

impl<S> WatchedStream<S> {
    /// Watches a stream on which a client may send `burst` frames at once and one more each second.
    pub fn new(stream: S, burst: u32) -> WatchedStream<S> {
        WatchedStream {
            stream,
            frames: Frames::new(burst),
            violation: None,
        }
    }

    /// Returns the stream itself.
    pub(super) fn unwatched(&mut self) -> &mut S {
        &mut self.stream
    }
}

/// Position in the client's frames, and how many it may still send.
struct Frames {
    header: [u8; HEADER_BYTES_MAX],
    /// Bytes of the header that are known.
    known: u8,
    /// Bytes of the frame, with its mask, that are still to come.
    left: u64,
    burst: u32,
    /// Frames that count, and when one of them last ceased to.
    counted: u32,
    since: Instant,
}

impl Frames {
    fn new(burst: u32) -> Frames {
        Frames {
            header: [0; HEADER_BYTES_MAX],
            known: 0,
            left: 0,
            burst,
            counted: 0,
            since: Instant::now(),
        }
    }

    /// Follows the frames through bytes that were read.
    ///
    /// # Errors
    /// The violation, and the number of bytes before the frame that commits it.
    fn follow(&mut self, bytes: &[u8], now: Instant) -> Result<(), (Violation, usize)> {
        let mut at = 0;
        let mut begun_at = 0;
        while at < bytes.len() {
            if self.left > 0 {
                let skipped = self.left.min((bytes.len() - at) as u64);
                self.left -= skipped;
                at += skipped as usize;
                begun_at = at;
                continue;
            }
            self.header[usize::from(self.known)] = bytes[at];
            self.known += 1;
            at += 1;
            if let Some(length) = self.length() {
                let payload = length.map_err(|violation| (violation, begun_at))?;
                self.count(now).map_err(|violation| (violation, begun_at))?;
                let is_masked = self.header[1] & 0x80 != 0;
                self.left = payload.saturating_add(if is_masked { MASK_BYTES } else { 0 });
                self.known = 0;
                begun_at = if self.left == 0 { at } else { begun_at };
            }
        }
        Ok(())
    }

    /// Returns the length of the payload once the header is complete.
    fn length(&self) -> Option<Result<u64, Violation>> {
        let (short, extension) = (self.header[1] & 0x7f, &self.header[2..]);
        let (length, least) = match (short, self.known) {
            (126, 4) => {
                let [high, low, ..] = *extension else {
                    return None;
                };
                (u64::from(u16::from_be_bytes([high, low])), 126)
            }
            (127, 10) => {
                let bytes = extension.first_chunk()?;
                (u64::from_be_bytes(*bytes), 1 << 16)
            }
            (0..=125, 2) => (u64::from(short), 0),
            _ => return None,
        };
        Some(if length < least {
            Err(Violation::NotMinimal)
        } else {
            Ok(length)
        })
    }

    fn count(&mut self, now: Instant) -> Result<(), Violation> {
        let passed = now.saturating_duration_since(self.since).as_secs();
        if passed > 0 {
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            self.counted = self.counted.saturating_sub(passed);
            self.since = now;
        }
        self.counted += 1;
        if self.counted > self.burst {
            return Err(Violation::TooMany);
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(violation) = self.violation {
            return Poll::Ready(Err(io::Error::other(violation)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        if read.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if let Err((violation, good)) = self.frames.follow(read, Instant::now()) {
            self.violation = Some(violation);
            if good == 0 {
                return Poll::Ready(Err(io::Error::other(violation)));
            }
            // What came before is still read.
            buffer.set_filled(before + good);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const EMPTY_PONG: [u8; 6] = [0x8a, 0x80, 1, 2, 3, 4];

    #[test]
    fn frames_of_every_kind_count_and_one_is_forgotten_each_second() {
        let mut frames = Frames::new(10);
        let now = frames.since;
        for _ in 0..10 {
            assert_eq!(frames.follow(&EMPTY_PONG, now), Ok(()));
        }
        let continuation = [0x00, 0x80, 1, 2, 3, 4];
        let two = [EMPTY_PONG, continuation].concat();
        let later = now + Duration::from_secs(1);
        assert_eq!(
            frames.follow(&two, later),
            Err((Violation::TooMany, 6)),
            "one was forgotten, and the next is too many"
        );
    }

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let mut text = vec![0x81, 0xfe, 0x01, 0x00, 1, 2, 3, 4];
        text.resize(8 + 256, b'x');
        let mut long = vec![0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];
        long.resize(14 + 65536, b'y');
        let bytes = [&EMPTY_PONG[..], &text, &long, &EMPTY_PONG].concat();
        for size in [1, 2, 3, 7, 256, 100_000] {
            let mut frames = Frames::new(4);
            for piece in bytes.chunks(size) {
                assert_eq!(frames.follow(piece, frames.since), Ok(()));
            }
            assert_eq!((frames.counted, frames.left, frames.known), (4, 0, 0));
        }
    }

    #[test]
    fn a_length_that_takes_more_bytes_than_it_needs_is_refused_and_what_came_before_is_read() {
        for header in [
            &[0x81, 0xfe, 0, 125][..],
            &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0x8a, 0xfe, 0, 0],
        ] {
            let mut frames = Frames::new(10);
            let bytes = [&EMPTY_PONG[..], header].concat();
            let refused = Err((Violation::NotMinimal, EMPTY_PONG.len()));
            assert_eq!(frames.follow(&bytes, frames.since), refused);
        }
    }
}
