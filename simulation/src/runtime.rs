//! A runtime of one thread whose clock is paused.

/// Runs a future to its end. Time passes only when every task waits, and then at once until the
/// next of them is due, so that an hour takes as long as the work in it.
///
/// # Panics
/// If the future panics.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread needs nothing of the system");
    runtime.block_on(future)
}
