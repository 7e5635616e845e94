//! Credentials of a request: bearer tokens, and cookies, which count only where the `Origin` shows
//! which page made the browser send them.

use super::cookies::{cookie_values, pairs};
use crate::context::AppContext;
use crate::http::problem::Problem;
use crate::http::proxy_check::{check_refused_origin, is_of_asked_host};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

/// A credential and the way it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The pass, token or key itself.
    pub token: String,
    /// Sent by the browser on its own: then the `Origin` must be checked before anything is
    /// changed.
    pub by_cookie: bool,
}

/// Returns what may be the credential of a request: `Authorization: Bearer`, else the cookies `name`,
/// as other software of the site may have set one of the same name. Other schemes belong to the site
/// beside ours, such as `Basic` before a staging host, and are ignored.
pub fn credentials(site: &AppContext, headers: &HeaderMap, name: &str) -> Vec<Credential> {
    if let Some(token) = bearer(headers) {
        return vec![Credential {
            token,
            by_cookie: false,
        }];
    }
    let by_cookie = |token: &str| Credential {
        token: token.to_owned(),
        by_cookie: true,
    };
    let name = cookie_name(site, name);
    cookie_values(headers, &name).map(by_cookie).collect()
}

/// Returns the token after `Authorization: Bearer`.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::AUTHORIZATION).iter();
    values
        .filter_map(|value| value.to_str().ok()?.split_once(' '))
        .find(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_owned())
}

/// Returns the cookies whose name begins with `prefix`: the rest of the name and the value. At most
/// 32.
pub fn cookies(site: &AppContext, headers: &HeaderMap, prefix: &str) -> Vec<(String, String)> {
    let prefix = cookie_name(site, prefix);
    pairs(headers)
        .filter_map(|(name, value)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), value.to_owned()))
        })
        .take(32)
        .collect()
}

/// Returns the name as the browser knows it: `__Host-` in front where the site is https.
pub fn cookie_name(site: &AppContext, name: &str) -> String {
    if site.https {
        format!("__Host-{name}")
    } else {
        name.to_owned()
    }
}

/// Returns a `Set-Cookie` value that scripts cannot read and other sites do not send along.
pub fn set_cookie(site: &AppContext, name: &str, value: &str, seconds: u32) -> HeaderValue {
    let name = cookie_name(site, name);
    let secure = if site.https { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(text).expect("cookies are made of ids and base64, all visible ASCII")
}

/// Checks the `Origin` of a request that changes something, or of a WebSocket handshake. With a
/// cookie it must be on the allow-list; without one a foreign `Origin` is refused all the same,
/// unless the request has a bearer, which no browser sends by itself.
///
/// # Errors
/// 403.
pub fn check_origin(
    site: &AppContext,
    headers: &HeaderMap,
    by_cookie: bool,
) -> Result<(), Problem> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) if !by_cookie => Ok(()),
        (Some(origin), None) if site.origins.iter().any(|known| origin == known.as_str()) => Ok(()),
        (Some(_), _) if !by_cookie && bearer(headers).is_some() => Ok(()),
        _ => {
            check_refused_origin(site, headers);
            Err(foreign_origin())
        }
    }
}

/// Checks the `Origin` of an organiser's change by the console's cookie. Only our own pages count,
/// under whatever allowed name they were opened: browsers send the cookie along with the requests of
/// other allowed origins too, as long as they are of the same site.
///
/// # Errors
/// 403.
pub fn check_console_origin(site: &AppContext, headers: &HeaderMap) -> Result<(), Problem> {
    check_origin(site, headers, true)?;
    let origin = headers.get(header::ORIGIN);
    let is_own = origin.is_some_and(|it| *it == site.public_url || is_of_asked_host(it, headers));
    is_own.then_some(()).ok_or_else(foreign_origin)
}

fn foreign_origin() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "foreign-origin",
        "This request did not come from one of our pages",
    )
}

#[cfg(test)]
mod tests {
    use super::super::cookies::cookie;
    use super::*;

    #[test]
    fn a_cookie_that_cannot_be_read_hides_no_other() {
        let with = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, HeaderValue::from_bytes(value).unwrap());
            headers
        };
        for line in [
            &b"a=\xc3\xa9; ours=1"[..],
            b"a=caf\xe9; ours=1",
            b"ours=1; b=\xff\xfe",
            b"\xe9=1;ours=1;;=;x",
            b"a=\"q; w\"; ours=1; c={\"\xe4\":1}",
            b"\tours=1\t",
            b"ours = 1 ;a=2",
            b"$Version=1; ours=\"1\"; ours=2",
        ] {
            assert_eq!(
                cookie(&with(line), "ours"),
                Some("1".to_owned()),
                "{line:?}"
            );
        }
        let mut headers = with(b"a=\xff");
        headers.append(header::COOKIE, HeaderValue::from_static("ours=2"));
        assert_eq!(cookie(&headers, "ours"), Some("2".to_owned()));
        assert_eq!(cookie(&with(b"ours=\xe9"), "ours"), None);
        let several = with(b"ours=1; theirs=2; ours=\"; ours=3; ours=4; ours=5");
        let values: Vec<&str> = cookie_values(&several, "ours").collect();
        assert_eq!(values, ["1", "\"", "3", "4"]);
    }
}
