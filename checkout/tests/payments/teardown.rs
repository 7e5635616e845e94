//! The end of each test with a provider: once everything has come to rest, the books balance.

use crate::stage::ProviderStage;
use std::thread::panicking;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// State in which a test must leave the books of its stage, once everything has come to rest.
pub(crate) enum BooksAtEnd {
    /// Those of the checkout and of the provider balance.
    Balance,
    /// They differ, as the test means them to.
    Differ,
}

impl Drop for ProviderStage {
    /// Checks the books, whatever the test was about.
    fn drop(&mut self) {
        let Some(end) = self.end.take().filter(|_| !panicking()) else {
            return;
        };
        let compared = block_in_place(|| {
            Handle::current().block_on(async {
                self.come_to_rest().await;
                self.compare_books().await
            })
        });
        match (end, compared) {
            (BooksAtEnd::Balance, Err(difference)) => panic!("at the end: {difference}"),
            (BooksAtEnd::Differ, Ok(())) => panic!("at the end the books balance"),
            _ => {}
        }
    }
}

impl ProviderStage {
    /// Ends a test that leaves a difference for the organiser to settle.
    pub(crate) fn leave_difference(mut self) {
        self.end = Some(BooksAtEnd::Differ);
    }

    /// Lets everything happen that is on its way, at a provider that is well again.
    async fn come_to_rest(&self) {
        self.provider.heal();
        self.deliver().await;
        self.settle_all().await;
        self.deliver().await;
    }
}
