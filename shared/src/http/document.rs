//! Public documents that are the same for everyone who asks: their bytes are kept, and so is their
//! compressed form once it was asked for. Compressing them for each request would let strangers use
//! up a processor.

use super::detached::to_the_end;
use super::problem::Problem;
use axum::body::{Body, Bytes};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse as _, IntoResponseParts, Response};
pub use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::sync::Arc;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// A value that is made once, on a blocking thread, for the first request that needs it. The work
/// goes on when that request is given up: clients that hang up cannot have it begun again and
/// again.
pub struct MadeOnce<T>(Arc<OnceCell<T>>);

impl<T> Clone for MadeOnce<T> {
    fn clone(&self) -> MadeOnce<T> {
        MadeOnce(self.0.clone())
    }
}

impl<T> Default for MadeOnce<T> {
    fn default() -> MadeOnce<T> {
        MadeOnce(Arc::default())
    }
}

impl<T: Clone + Send + Sync + 'static> MadeOnce<T> {
    /// Returns the value, which `make` makes if no other request has.
    ///
    /// # Errors
    /// 500 if making it panicked.
    pub async fn get(&self, make: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        if let Some(made) = self.0.get() {
            return Ok(made.clone());
        }
        let cell = self.0.clone();
        to_the_end(async move {
            let making = async || spawn_blocking(make).await;
            let made = cell.get_or_try_init(making).await;
            let failed = |_| Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR);
            made.cloned().map_err(failed)
        })
        .await
    }
}

/// A public document.
#[derive(Clone)]
pub struct Document {
    plain: Bytes,
    compressed: MadeOnce<Bytes>,
    level: Compression,
}

impl Document {
    /// Keeps the bytes of a document that rarely changes.
    pub fn new(plain: impl Into<Bytes>) -> Document {
        Document {
            plain: plain.into(),
            compressed: MadeOnce::default(),
            level: Compression::default(),
        }
    }

    /// Keeps the bytes of a document that may change several times a second: it is compressed less,
    /// in a third of the time.
    pub fn short_lived(plain: impl Into<Bytes>) -> Document {
        Document {
            level: Compression::fast(),
            ..Document::new(plain)
        }
    }

    /// Returns the document, compressed if the client takes that.
    ///
    /// # Errors
    /// 500 if compressing it panicked.
    pub async fn response(
        &self,
        request: &HeaderMap,
        head: impl IntoResponseParts,
    ) -> Result<Response, Problem> {
        if !accepts_gzip(request) {
            return Ok(plain((head, self.plain.clone()).into_response()));
        }
        let (bytes, level) = (self.plain.clone(), self.level);
        let compressed = self.compressed.get(move || gzip([bytes], level)).await?;
        Ok(compressed_response(head, compressed))
    }
}

/// Returns a response whose body is compressed already.
pub fn compressed_response(head: impl IntoResponseParts, gzipped: Bytes) -> Response {
    let mut response = (head, Body::from(gzipped)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    plain(response)
}

/// Marks a response as having the form that was chosen here, compressed or not, so that it is not
/// compressed on its way out; caches are told that there are two forms.
pub fn plain(mut response: Response) -> Response {
    let vary = HeaderValue::from_static("accept-encoding");
    response.headers_mut().append(header::VARY, vary);
    response.extensions_mut().insert(FormChosen);
    response
}

/// Extension of responses that are not compressed on their way out.
#[derive(Clone, Copy)]
struct FormChosen;

/// Returns whether a response may be compressed on its way out, as answers made for one request
/// are.
pub(super) fn may_compress(
    _: StatusCode,
    _: Version,
    _: &HeaderMap,
    extensions: &Extensions,
) -> bool {
    extensions.get::<FormChosen>().is_none()
}

/// Compresses the chunks into one stream.
pub fn gzip<B: AsRef<[u8]>>(chunks: impl IntoIterator<Item = B>, level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    for chunk in chunks {
        let written = encoder.write_all(chunk.as_ref());
        written.expect("writing to memory does not fail");
    }
    let gzipped = encoder.finish();
    gzipped.expect("writing to memory does not fail").into()
}

/// Returns whether the client accepts gzip (RFC 9110, 12.5.3).
pub fn accepts_gzip(request: &HeaderMap) -> bool {
    let mut by_star = false;
    for line in request.get_all(header::ACCEPT_ENCODING) {
        for accepted in line.as_bytes().split(|byte| *byte == b',') {
            let mut parts = accepted.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let coding = parts.next().unwrap_or_default();
            let is_accepted = !parts.any(is_zero_weight);
            if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
                return is_accepted;
            }
            by_star |= coding == b"*" && is_accepted;
        }
    }
    by_star
}

/// Returns whether a parameter is `q=0`, `q=0.0` and so on.
fn is_zero_weight(parameter: &[u8]) -> bool {
    let [b'q' | b'Q', b'=', digits @ ..] = parameter else {
        return false;
    };
    digits.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Returns the entity tag in the form for this client: a compressed document has the same content
/// in other bytes, which only a weak tag may say.
pub fn entity_tag(request: &HeaderMap, tag: &str) -> String {
    let mark = if accepts_gzip(request) { "W/" } else { "" };
    format!("{mark}\"{tag}\"")
}

/// Returns whether the client has the document with this tag (`If-None-Match`).
pub fn is_known(request: &HeaderMap, tag: &str) -> bool {
    let lines = request.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    tags.any(|known| {
        let known = known.trim_ascii();
        if known == b"*" {
            return true;
        }
        let known = known.strip_prefix(b"W/").unwrap_or(known);
        let bare = known
            .strip_prefix(b"\"")
            .and_then(|it| it.strip_suffix(b"\""));
        bare == Some(tag.as_bytes())
    })
}

/// Returns 304.
pub fn not_modified(head: impl IntoResponseParts) -> Response {
    plain((StatusCode::NOT_MODIFIED, head, ()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let values = values
            .iter()
            .map(|value| (name.clone(), value.parse().unwrap()));
        values.collect()
    }

    #[test]
    fn gzip_is_sent_to_those_who_accept_it() {
        let accepts = |values: &[&str]| accepts_gzip(&with(header::ACCEPT_ENCODING, values));
        for accepted in [
            &["gzip"][..],
            &["gzip, deflate, br, zstd"],
            &["br;q=1.0,\tGZIP ; q=0.5"],
            &["br", "x-gzip"],
            &["*"],
            &["identity;q=0, *;q=0.1"],
            &["gzip;q=1.000"],
        ] {
            assert!(accepts(accepted), "{accepted:?}");
        }
        for refused in [
            &[][..],
            &[""],
            &["br"],
            &["identity"],
            &["gzip;q=0"],
            &["*, gzip;q=0.000"],
            &["*;q=0"],
            &["gzipped", "xgzip"],
        ] {
            assert!(!accepts(refused), "{refused:?}");
        }
    }

    #[test]
    fn a_tag_is_known_in_its_strong_and_its_weak_form() {
        let knows = |values: &[&str]| is_known(&with(header::IF_NONE_MATCH, values), "7-bits");
        for known in [
            &["\"7-bits\""][..],
            &["W/\"7-bits\""],
            &["\"7\", W/\"7-bits\""],
            &["\"7\"", "\"7-bits\""],
            &["*"],
        ] {
            assert!(knows(known), "{known:?}");
        }
        for other in [
            &[][..],
            &["\"7\""],
            &["7-bits"],
            &["w/\"7-bits\""],
            &["\"x7-bits\""],
        ] {
            assert!(!knows(other), "{other:?}");
        }
    }

    #[tokio::test]
    async fn what_is_made_once_is_made_once_even_if_the_first_who_asked_hangs_up() {
        let once = MadeOnce::default();
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        let (start, started) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let once = once.clone();
            let make = move || {
                let _ = start.send(());
                let _ = begun.recv();
                1
            };
            async move { once.get(make).await }
        });
        started.await.unwrap();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        begin.send(()).unwrap();
        assert_eq!(once.get(|| 2).await.unwrap(), 1);
    }
}
