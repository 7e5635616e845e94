//! Stages that send mail, and browsers without a script.

use crate::at_provider::AtProvider;
use crate::stage::ProviderStage;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use checkout::mail::MailArgs;
use testkit::shared_postgres;
use tower::ServiceExt as _;

/// Returns the settings of mail that goes to this server.
pub(crate) fn mail_to(url: &str) -> MailArgs {
    MailArgs {
        smtp: Some(url.to_owned()),
        smtp_password: None,
        mail_from: Some("Arena Tickets <tickets@arena.example>".to_owned()),
        ..MailArgs::default()
    }
}

impl ProviderStage {
    /// Returns one stage for each engine, with Stripe, that sends mail to these addresses.
    pub(crate) async fn mailing(urls: [String; 2]) -> Vec<ProviderStage> {
        let databases = shared_postgres();
        let url = databases.postgres.url(&databases.postgres.database());
        let mut stages = Vec::new();
        for (inventory, smtp) in [None, Some(url)].into_iter().zip(urls) {
            let (provider, mail) = (AtProvider::stripe().await, mail_to(&smtp));
            let stage = ProviderStage::open(provider, inventory, mail, databases.clone());
            stages.push(stage.await);
        }
        stages
    }

    /// Fetches a page as a browser without a script.
    pub(crate) async fn page(&self, path: &str) -> String {
        let body = self.get_bytes(path, "").await.1;
        String::from_utf8(body).unwrap()
    }

    /// Submits a form as a browser without a script.
    pub(crate) async fn submit(&self, path: &str, form: &str) -> (StatusCode, String) {
        let request = Request::post(path)
            .header("host", "127.0.0.1")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()));
        let answer = self.app.clone().oneshot(request.unwrap()).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1_000_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}
