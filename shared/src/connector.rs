//! Connections to other services.

use crate::tls_client::{client_config, system_roots};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::RootCertStore;

/// Returns what connects to a service at `base`, by TLS if that is an https address.
pub(crate) fn connector(name: &str, base: &str) -> HttpsConnector<HttpConnector> {
    let mut roots = RootCertStore::empty();
    if base.starts_with("https://") {
        roots = system_roots();
        if roots.is_empty() {
            tracing::warn!(
                name,
                "no authority is trusted: its certificate will be refused"
            );
        }
    }
    HttpsConnectorBuilder::new()
        .with_tls_config(client_config(roots))
        .https_or_http()
        .enable_http1()
        .build()
}
