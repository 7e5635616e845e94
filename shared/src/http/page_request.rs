//! A request for a page: the prefix under which it came, and the language that it asks for.

use super::cookies::cookie;
use super::path_prefix::PathPrefix;
use crate::event_details::EventDetails;
use crate::texts::Language;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, Uri, header};
use std::convert::Infallible;
use url::form_urlencoded::{Serializer, parse};

/// Parameter of an address, and name of the cookie, with a language that was chosen.
const PARAMETER: &str = "lang";
const COOKIE: &str = "fairline_lang";

/// A request for a page.
///
/// The language of a page is the one in its address (`?lang=de`), which is remembered in a cookie
/// for the visit; else that of the cookie; else that of the event; on pages of no event the one
/// that the browser prefers; else English. Pages of events do not depend on `Accept-Language`, as
/// caches keep one copy of them, and as the event's own texts are in its language.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// Prefix of our paths.
    pub prefix: PathPrefix,
    by_address: Option<Language>,
    by_cookie: Option<Language>,
    accepted: Option<Language>,
    /// Query, if another request may ask for the same page.
    query: Option<String>,
}

impl PageRequest {
    /// Reads a request.
    pub fn read(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> PageRequest {
        let prefix = extensions.get::<PathPrefix>().cloned();
        let query = uri.query().unwrap_or_default();
        let mut languages = parse(query.as_bytes()).filter(|(name, _)| name == PARAMETER);
        let by_address = languages.find_map(|(_, code)| Language::parse(&code));
        let by_cookie = cookie(headers, COOKIE).and_then(|code| Language::parse(&code));
        let accepted = headers.get(header::ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|header| Language::accepted(header.to_str().ok()?));
        PageRequest {
            prefix: prefix.unwrap_or_default(),
            by_address,
            by_cookie,
            accepted,
            query: method.is_safe().then(|| query.to_owned()),
        }
    }

    /// Returns the language that the fan chose, by the address or the cookie.
    pub fn chosen(&self) -> Option<Language> {
        self.by_address.or(self.by_cookie)
    }

    /// Returns whether shared caches may keep the page: the fan chose no language.
    pub fn is_for_everyone(&self) -> bool {
        self.chosen().is_none()
    }

    /// Returns the language of a page of no event, which shared caches must not keep.
    pub fn language(&self) -> Language {
        self.chosen().or(self.accepted).unwrap_or_default()
    }

    /// Returns the language of a page of an event.
    pub fn language_of(&self, details: Option<&EventDetails>) -> Language {
        let own = || details.and_then(EventDetails::language);
        self.chosen().or_else(own).unwrap_or_default()
    }

    /// Returns the language of a page of several events: theirs, if they all have one.
    pub fn language_of_all<'a>(
        &self,
        mut events: impl Iterator<Item = Option<&'a EventDetails>>,
    ) -> Language {
        let own = |details: Option<&EventDetails>| {
            details.and_then(EventDetails::language).unwrap_or_default()
        };
        let first = events.next().map(own);
        let common = first.filter(|first| events.all(|details| own(details) == *first));
        self.chosen().or(common).unwrap_or_default()
    }

    /// Returns the address of this page in a language, from the question mark on; none if the
    /// request was no question.
    pub(super) fn address_in(&self, language: Language) -> Option<String> {
        let kept = parse(self.query.as_ref()?.as_bytes()).filter(|(name, _)| name != PARAMETER);
        let mut query = Serializer::new(String::new());
        query
            .extend_pairs(kept)
            .append_pair(PARAMETER, language.code());
        Some(format!("?{}", query.finish()))
    }

    /// Returns the language that links of the page carry on: the one in its address, if the browser has
    /// not shown that it keeps the cookie.
    pub(super) fn carried(&self) -> Option<Language> {
        self.by_address
            .filter(|language| self.by_cookie != Some(*language))
    }

    /// Returns the address of another page of ours, in the language that links carry on.
    pub fn onward(&self, path: &str) -> String {
        self.carried()
            .map_or_else(|| path.to_owned(), |language| with_language(path, language))
    }

    /// Returns the cookie that remembers a language which the address names, until the browser is
    /// closed. It identifies no one.
    pub(super) fn cookie(&self) -> Option<HeaderValue> {
        let (code, path) = (self.by_address?.code(), self.prefix.path("/"));
        let text = format!("{COOKIE}={code}; Path={path}; SameSite=Lax");
        HeaderValue::try_from(text).ok()
    }
}

/// Adds a language to an address.
fn with_language(address: &str, language: Language) -> String {
    let mark = if address.contains('?') { '&' } else { '?' };
    format!("{address}{mark}{PARAMETER}={}", language.code())
}

impl<S: Sync> FromRequestParts<S> for PageRequest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<PageRequest, Infallible> {
        let Parts {
            method,
            uri,
            headers,
            extensions,
            ..
        } = parts;
        Ok(PageRequest::read(method, uri, headers, extensions))
    }
}
