//! The running notifier: its consumers, and its operations listener.

use crate::consumer::{Consumer, Memory, Pace};
use crate::health::{ConsumerHealth, Health};
use crate::instruments;
use crate::settings::{FILE, NotifierSettings};
use crate::source::Source;
use crate::source::kafka::KafkaSource;
use crate::source::nats::NatsSource;
use crate::source::rabbitmq::RabbitMqSource;
use crate::store::Store;
use brokers::{Address, Protocol};
use shared::data_dir::DataFolder;
use shared::http::listener::{bind, serve};
use shared::http::operations::{OPERATIONS_CAPS, operations_of};
use shared::log;
use shared::metrics::{Registry, process};
use shared::signals::stop_on_signal;
use shared::time::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest time for what is under way at the stop signal.
const DRAIN: Duration = Duration::from_secs(30);

/// Runs until SIGTERM or Ctrl-C, finishes what is under way and gives the rest back.
///
/// # Errors
/// Why it cannot start.
pub async fn run(settings: &NotifierSettings) -> Result<(), String> {
    let _log = log::start(settings.log_format, &settings.log);
    for warning in &settings.warnings {
        tracing::warn!(warning, "the settings are not fit for a sale");
    }
    let listener = bind(settings.ops_listen).await;
    let listener = listener.map_err(|error| format!("FAIRLINE_OPS_LISTEN: {error}"))?;
    // Locked: two notifiers would act on the same events.
    let folder = DataFolder::open(&settings.data)?;
    let store = Store::open(&folder.join(FILE), Clock::system())?;
    let (stop, health) = (CancellationToken::new(), Arc::new(Health::default()));
    let mut consumers = JoinSet::new();
    for handler in settings.handlers(&store) {
        let name = handler.name();
        instruments::begin(name);
        health.set(name, ConsumerHealth::default());
        let consumer = Consumer {
            source: source(&settings.events, name, &store),
            handler,
            store: store.clone(),
            health: health.clone(),
            pace: Pace::default(),
            stop: stop.clone(),
            memory: Memory::default(),
        };
        consumers.spawn(consumer.run());
    }
    let mut metrics = Registry::default();
    process::register(&mut metrics, &Clock::system());
    instruments::register(&mut metrics);
    let shown = (health.clone(), stop.clone());
    let routes = operations_of(Arc::new(metrics), move || shown.0.readiness(&shown.1));
    let ops_stop = CancellationToken::new();
    let serving = serve(listener, routes, OPERATIONS_CAPS, ops_stop.clone());
    let serving = tokio::spawn(serving);
    stop_on_signal(stop.clone());
    let broker = settings.events.broker_name();
    tracing::info!(broker, "consuming events");
    stop.cancelled().await;
    // An event that does not end in time comes again, and is known by its id.
    let drained = timeout(DRAIN, async {
        while consumers.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!("events were still under way at the end of the drain");
    }
    ops_stop.cancel();
    let _ = serving.await;
    Ok(())
}

/// Returns the source of a consumer.
fn source(address: &Arc<Address>, consumer: &'static str, store: &Store) -> Box<dyn Source> {
    let (address, store) = (address.clone(), store.clone());
    match address.protocol {
        Protocol::Nats => Box::new(NatsSource::new(address, consumer)),
        Protocol::Amqp(_) => Box::new(RabbitMqSource::new(address, consumer)),
        Protocol::Kafka(_) => Box::new(KafkaSource::new(address, consumer, store)),
    }
}
