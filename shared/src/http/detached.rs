//! Work that goes on when the request that began it is given up.

use super::load;
use super::problem::Problem;
use crate::trace;
use axum::http::StatusCode;

/// Returns work that another task may do for the current request: its log lines and its spans are
/// those of the request, which does not count as in flight while the work waits for an external
/// service.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    trace::carried(load::carried(work))
}

/// Runs work that must not stop half way in a task of its own, to its end, even if the client hangs
/// up or the time to answer is over.
///
/// # Errors
/// Those of the work; 500 if it panicked.
pub async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::spawn(carried(work)).await;
    done.unwrap_or_else(|_| Err(Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR)))
}
