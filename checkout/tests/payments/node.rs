//! A node of the checkout, with a waiting room that accepts every report.

use async_trait::async_trait;
use checkout::Shop;
use checkout::inventory::Inventory;
use checkout::jwks::Jwks;
use checkout::settings::SeatsArgs;
use checkout::waiting_room::{
    EventAnswer, EventFacts, Extension, LogAnswer, Reported, WaitingRoom,
};
use serde_json::json;
use shared::cancellation::Cancellation;
use shared::data_dir::DataFolder;
use shared::http::load::LoadArgs;
use shared::ids::{Availability, EventId, VisitorId};
use shared::line_log::LogPlace;
use shared::line_mail::LineWaits;
use shared::mistakes::Mistakes;
use shared::settings::Common;
use shared::time::Clock;
use shared::token::{Signer, SigningAlgorithm, Verifier};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Word of the session of every test.
pub(crate) const WORD: &str = "ses_arena_of-ada";
pub(crate) const ORGANISER_KEY: &str = "stage-organiser-key";

/// Test double of a waiting room that accepts every report.
pub(crate) struct Everyone;

#[async_trait]
impl WaitingRoom for Everyone {
    async fn knows(&self, _: &EventId) -> Option<bool> {
        Some(true)
    }
    async fn describe(&self, _: &EventId) -> EventAnswer {
        let details = json!({"starts_at": "2027-03-20T19:00:00Z", "doors_at": "2027-03-20T18:00:00Z",
            "time_zone": "Europe/Berlin", "venue": {"name": "Große Halle", "address": "Am Platz 1, Berlin"},
            "colours": {"background": "#5a35c8", "text": "#ffffff"},
            "links": {"contact": "mailto:help@arena.example"}});
        EventAnswer::Event(Box::new(EventFacts {
            name: "A night <in> the arena".to_owned(),
            details: serde_json::from_value(details).unwrap(),
        }))
    }
    async fn start(&self, _: &EventId, _: &str) -> Reported {
        Reported::Taken
    }
    async fn extend(&self, _: &EventId, _: &str) -> Extension {
        Extension::NotExtendable
    }
    async fn finish(&self, _: &EventId, _: &str) -> Reported {
        Reported::Taken
    }
    async fn report(&self, _: &EventId, _: Availability) -> Reported {
        Reported::Taken
    }
    async fn cancel(&self, _: &EventId, _: &Cancellation) -> Reported {
        Reported::Taken
    }
    async fn log(&self, _: &EventId, _: &LogPlace) -> LogAnswer {
        LogAnswer::Unknown
    }
    async fn waits(&self, _: &EventId, _: Vec<VisitorId>) -> Option<LineWaits> {
        None
    }
}

/// A data folder, which outlives the nodes that open it.
pub(crate) struct Home {
    pub(crate) folder: DataFolder,
    _kept: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Home {
        let kept = tempfile::tempdir().unwrap();
        Home {
            folder: DataFolder::open(kept.path()).unwrap(),
            _kept: kept,
        }
    }
}

/// A node of the checkout.
pub(crate) struct Node {
    pub(crate) shop: Arc<Shop>,
    pub(crate) stop: CancellationToken,
    pub(crate) home: Arc<Home>,
}

impl Node {
    /// Opens one with these settings.
    pub(crate) async fn open(args: SeatsArgs, clock: Clock) -> Node {
        Node::try_open(args, clock).await.unwrap()
    }

    /// Opens one with these settings.
    ///
    /// # Errors
    /// The sentence for the operator.
    pub(crate) async fn try_open(args: SeatsArgs, clock: Clock) -> Result<Node, String> {
        Node::open_at(Arc::new(Home::new()), args, clock, |inventory| inventory).await
    }

    /// Opens one in a folder, with something around its inventory.
    ///
    /// # Errors
    /// The sentence for the operator.
    pub(crate) async fn open_at(
        home: Arc<Home>,
        args: SeatsArgs,
        clock: Clock,
        around: impl FnOnce(Inventory) -> Inventory,
    ) -> Result<Node, String> {
        let mut mistakes = Mistakes::default();
        let common = Common {
            organiser_key: Some(ORGANISER_KEY.into()),
            requests_per_second: Some("0".into()),
            visitor_requests_per_second: Some("0".into()),
            // Tests run side by side.
            load: LoadArgs {
                delay_ms: Some("0".into()),
                ..LoadArgs::default()
            },
            ..Common::default()
        };
        let settings = common.read("127.0.0.1:1", &mut mistakes);
        let stop = CancellationToken::new();
        let site = settings.open_site(&home.folder, clock, stop.clone(), None);
        let signer = Signer::from_pem(&SigningAlgorithm::EdDsa.generate_pem().unwrap()).unwrap();
        let verifier = Verifier::from_jwks(&signer.jwks(), "http://127.0.0.1:1").unwrap();
        let site = Arc::new(site.unwrap().0);
        let keys = Jwks::given(verifier);
        let opened = args.open(&home.folder, site, keys, Arc::new(Everyone), None);
        let mut shop = opened.await?;
        let opened = Arc::get_mut(&mut shop).unwrap();
        opened.inventory = around(opened.inventory.clone());
        Ok(Node { shop, stop, home })
    }
}
