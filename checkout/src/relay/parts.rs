//! Messages that are published together, and in halves where a broker refuses all of them for one.

use super::broker::{Outcome, all_failed};
use super::message::Message;
use async_trait::async_trait;
use brokers::{Deadline, FailureKind};

/// Publishes a part of the messages of a wave.
#[async_trait]
pub(super) trait PublishPart: Send {
    /// Returns the outcomes of the messages with these indexes, in the same order. Where one of
    /// several is at fault and the broker does not say which, all that it did not take are
    /// `Rejected`.
    async fn publish_part(&mut self, messages: &[Message], part: &[usize]) -> Vec<Outcome>;
}

/// Publishes messages part by part, given by their indexes. Those of a part that is rejected are
/// published again in halves, so that in the end only the one at fault is. Returns an outcome for
/// each index. What has none by the deadline has failed.
pub(super) async fn publish_in_parts(
    publisher: &mut impl PublishPart,
    messages: &[Message],
    mut parts: Vec<Vec<usize>>,
    deadline: &Deadline,
) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::new();
    while let Some(part) = parts.pop() {
        let published = match deadline.is_over() {
            true => Err(deadline.late()),
            false => deadline.wait(publisher.publish_part(messages, &part)).await,
        };
        let published = published.unwrap_or_else(|late| all_failed(part.len(), &late));
        let is_alone = part.len() == 1;
        let mut rejected = Vec::new();
        for (index, outcome) in part.into_iter().zip(published) {
            match outcome {
                Err(failure) if failure.kind == FailureKind::Rejected && !is_alone => {
                    rejected.push(index);
                }
                outcome => outcomes.push((index, outcome)),
            }
        }
        let half = rejected.split_off(rejected.len() / 2);
        parts.extend([half, rejected].into_iter().filter(|part| !part.is_empty()));
    }
    outcomes
}

/// Returns the outcomes of so many messages in their order.
pub(super) fn in_order(
    count: usize,
    published: impl IntoIterator<Item = (usize, Outcome)>,
) -> Vec<Outcome> {
    let mut outcomes = vec![Ok(()); count];
    for (index, outcome) in published {
        outcomes[index] = outcome;
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::super::example::row;
    use super::*;
    use brokers::Failure;
    use std::future::pending;
    use std::time::Duration;

    /// A broker that refuses whole what has a message that is too large, and takes so many parts
    /// before it does not answer any more.
    struct Broker {
        too_large: &'static [usize],
        parts_max: usize,
        parts: Vec<Vec<usize>>,
    }

    #[async_trait]
    impl PublishPart for Broker {
        async fn publish_part(&mut self, _: &[Message], part: &[usize]) -> Vec<Outcome> {
            if self.parts.len() == self.parts_max {
                pending::<()>().await;
            }
            self.parts.push(part.to_vec());
            match part.iter().any(|index| self.too_large.contains(index)) {
                true => all_failed(part.len(), &Failure::new(FailureKind::Rejected, "large")),
                false => vec![Ok(()); part.len()],
            }
        }
    }

    async fn publish(broker: &mut Broker, limit: Duration) -> Vec<Outcome> {
        let messages: Vec<Message> = (0..8).map(|at| Message::of(&row(at, "a"), "")).collect();
        let parts = vec![(0..8).collect()];
        let deadline = Deadline::within(limit, "Broker");
        let outcomes = publish_in_parts(broker, &messages, parts, &deadline).await;
        let mut indexes: Vec<usize> = outcomes.iter().map(|(index, _)| *index).collect();
        indexes.sort_unstable();
        assert_eq!(indexes, (0..8).collect::<Vec<_>>());
        in_order(messages.len(), outcomes)
    }

    #[tokio::test]
    async fn only_the_messages_at_fault_are_rejected_of_those_that_were_refused_whole() {
        let mut broker = Broker {
            too_large: &[2, 7],
            parts_max: usize::MAX,
            parts: Vec::new(),
        };
        let outcomes = publish(&mut broker, Duration::from_secs(60)).await;
        for (index, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome.is_err(), [2, 7].contains(&index), "{index}");
        }
        let mut alone = broker.parts.iter().filter(|part| part.len() == 1);
        assert!(alone.all(|part| [2, 3, 6, 7].contains(&part[0])));
    }

    #[tokio::test]
    async fn what_was_acknowledged_in_time_counts_where_the_rest_is_late() {
        let mut broker = Broker {
            too_large: &[2],
            parts_max: 3,
            parts: Vec::new(),
        };
        let outcomes = publish(&mut broker, Duration::from_millis(20)).await;
        assert_eq!(broker.parts[2], [0, 1]);
        assert!(outcomes[..2].iter().all(Outcome::is_ok));
        let is_late = |outcome: &Outcome| outcome.as_ref().is_err_and(Failure::is_of_connection);
        assert!(outcomes[2..].iter().all(is_late));
    }
}
