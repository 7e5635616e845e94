//! Listens for notifications of what other nodes committed.

use super::database::{ANSWER, CONNECT};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Error, Executor as _};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const CHANNEL: &str = "fairline";
/// Time without a notification after which the connection is tested, as a peer that vanished sends
/// nothing.
const SILENCE: Duration = Duration::from_secs(10);
/// Pause after a failure.
const REST: Duration = Duration::from_millis(200);

/// A notification, or the lack of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notification {
    /// This event has changed.
    Event(String),
    /// Notifications may have been missed: any event may have changed.
    Missed,
}

/// Passes notifications on until it is stopped, over a connection that is made anew after it broke.
/// Notifications that find the channel full are dropped: every event is polled once a second.
pub(super) async fn listen(
    options: PgConnectOptions,
    notifications: mpsc::Sender<Notification>,
    stop: CancellationToken,
) {
    let listening = async {
        loop {
            // Returns after a failure. The poll of all events reports a database that is away.
            let _ = listen_once(&options, &notifications).await;
            sleep(REST).await;
        }
    };
    stop.run_until_cancelled(listening).await;
}

async fn listen_once(
    options: &PgConnectOptions,
    notifications: &mpsc::Sender<Notification>,
) -> Result<(), Error> {
    // A pool of its own for each attempt: one that hangs keeps its connection.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT);
    let pool = pool.connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    let listening = timeout(ANSWER, listener.listen(CHANNEL)).await;
    listening.map_err(|_| Error::PoolTimedOut)??;
    let _ = notifications.try_send(Notification::Missed);
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(received) => {
                let notification = match received? {
                    Some(notification) => Notification::Event(notification.payload().to_owned()),
                    None => Notification::Missed,
                };
                let _ = notifications.try_send(notification);
            }
            Err(_) => {
                let tested = timeout(ANSWER, listener.execute("select 1")).await;
                tested.map_err(|_| Error::PoolTimedOut)??;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr as _;
    use testkit::shared_postgres;

    #[tokio::test]
    async fn a_listener_whose_connection_broke_says_so_and_listens_again_until_it_is_stopped() {
        let servers = shared_postgres();
        let database = servers.postgres.database();
        let run = |sql: &str| servers.postgres.run(&database, sql).unwrap();
        let options = PgConnectOptions::from_str(&servers.postgres.url(&database)).unwrap();
        let (sender, mut notifications) = mpsc::channel(10);
        let stop = CancellationToken::new();
        let listening = tokio::spawn(listen(options, sender, stop.clone()));
        let mut next = async || timeout(2 * ANSWER, notifications.recv()).await.unwrap();
        for event in ["before", "after"] {
            // Notifications sent while nothing listened are lost, so all events have to be polled.
            assert_eq!(next().await, Some(Notification::Missed));
            run(&format!("select pg_notify('{CHANNEL}', '{event}')"));
            let received = Notification::Event(event.to_owned());
            assert_eq!(next().await, Some(received));
            if event == "before" {
                let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                    where datname = current_database() and pid <> pg_backend_pid()";
                assert_eq!(run(end), "1");
            }
        }
        stop.cancel();
        listening.await.unwrap();
        assert_eq!(next().await, None);
    }
}
