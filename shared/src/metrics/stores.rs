//! Whether the stores answer.

use super::registry::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::LazyLock;

/// 1 while the line's store answers, else 0.
pub static LINE: LazyLock<Gauge> = LazyLock::new(|| of("line"));
/// 1 while the inventory's store answers, else 0.
pub static INVENTORY: LazyLock<Gauge> = LazyLock::new(|| of("inventory"));

static STORES: LazyLock<Family<StoreLabels, Gauge>> = LazyLock::new(Family::default);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    store: &'static str,
}

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_store_up",
        "Whether the store answered when it was last asked: 1 or 0",
        STORES.clone(),
    );
}

fn of(store: &'static str) -> Gauge {
    STORES.get_or_create_owned(&StoreLabels { store })
}
