//! Asking the other service, which runs in a process of its own, by HTTP.

use axum::http::request::Builder;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The other service.
#[derive(Clone)]
pub struct RemoteService {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    limit: Duration,
}

impl RemoteService {
    /// Returns the service at `base`, such as `http://127.0.0.1:8080`; `limit` is the longest time for an answer. With https
    /// its certificate must be of an authority that the system trusts.
    pub fn new(base: &str, limit: Duration) -> RemoteService {
        let mut roots = RootCertStore::empty();
        if base.starts_with("https://") {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider supports them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        RemoteService {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base: base.trim_end_matches('/').to_owned(),
            limit,
        }
    }

    /// Sends a request. Returns `None` if no answer came in time.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        body: Option<String>,
    ) -> Option<(StatusCode, Bytes)> {
        let mut request = self.request(method, path);
        if !bearer.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        self.send(request, body).await
    }

    /// Begins a request, for headers of its own.
    pub fn request(&self, method: Method, path: &str) -> Builder {
        let url = format!("{}{path}", self.base);
        Request::builder().method(method).uri(url)
    }

    /// Sends a request that `request` began. None when no answer came, or not in time.
    pub async fn send(
        &self,
        request: Builder,
        body: Option<String>,
    ) -> Option<(StatusCode, Bytes)> {
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .ok()?;
        let asking = async {
            let response = self.client.request(request).await.ok()?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
            Some((status, body.collect().await.ok()?.to_bytes()))
        };
        timeout(self.limit, asking).await.ok()?
    }
}
