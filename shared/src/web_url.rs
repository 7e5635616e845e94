//! Web addresses, read as browsers read them (WHATWG URL Standard) and compared by origin.

use url::Url;

/// Reads an origin such as `https://tickets.example` or `http://127.0.0.1:8080`, with or without a
/// slash at the end. Returns it as browsers send it: lower case, an international name in its ASCII
/// form, without the scheme's own port.
pub fn parse_origin(text: &str) -> Option<String> {
    let url = is_plain(text).then(|| Url::parse(text).ok())??;
    let has_origin_alone = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    // The parser accepts `https:host` and `https:///host` too; whoever writes that means something
    // else.
    let is_written_out = has_web_scheme(text) && !text.contains(":///");
    (has_origin_alone && is_written_out && is_web(&url)).then(|| url.origin().ascii_serialization())
}

/// Returns the origin that a link in a page of `site` leads to. None unless the link is an http or
/// https address or a path, without a user name, control characters, spaces or backslashes, which
/// browsers drop or rewrite.
pub fn link_origin(site: &str, link: &str) -> Option<String> {
    if !is_plain(link) || !(link.starts_with('/') || has_web_scheme(link)) {
        return None;
    }
    let url = Url::parse(site).ok()?.join(link).ok()?;
    is_web(&url).then(|| url.origin().ascii_serialization())
}

/// Whether a text is an http or https address without a user name or password.
pub fn is_web_url(text: &str) -> bool {
    is_plain(text) && has_web_scheme(text) && Url::parse(text).is_ok_and(|url| is_web(&url))
}

/// Whether a text is an https address without a user name or password.
pub fn is_https_url(text: &str) -> bool {
    let scheme = text.get(.."https://".len());
    is_web_url(text) && scheme.is_some_and(|it| it.eq_ignore_ascii_case("https://"))
}

/// Whether a text is a link to write to a mail address.
pub fn is_mail_link(text: &str) -> bool {
    let url = is_plain(text).then(|| Url::parse(text).ok()).flatten();
    url.is_some_and(|url| {
        let parts = url.path().split_once('@');
        let is_address = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        url.scheme() == "mailto" && is_address
    })
}

fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte > b' ' && byte != 0x7f && byte != b'\\')
}

fn has_web_scheme(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "https://tickets.example";

    #[test]
    fn a_link_is_of_the_origin_that_a_browser_would_open() {
        let own = Some(SITE.to_owned());
        for link in [
            "/",
            "/a?b=c&d=%2F%2Fevil.example#x",
            "/.//evil.example",
            "/@evil.example",
            "/%09/evil.example",
            "https://tickets.example",
            "HTTPS://Tickets.Example:443/x",
            "https://tickets.example?x",
        ] {
            assert_eq!(link_origin(SITE, link), own, "{link}");
        }
        for (link, origin) in [
            ("//evil.example/", "https://evil.example"),
            (
                "https://tickets.example.evil.example",
                "https://tickets.example.evil.example",
            ),
            (
                "https://tickets.example:444/",
                "https://tickets.example:444",
            ),
            ("http://tickets.example/", "http://tickets.example"),
            ("https://münchen.example/", "https://xn--mnchen-3ya.example"),
        ] {
            assert_eq!(link_origin(SITE, link).as_deref(), Some(origin), "{link}");
        }
    }

    #[test]
    fn a_link_that_browsers_rewrite_is_no_link() {
        for byte in (0..=0x20).chain([0x7f]) {
            for at in [
                "/?/evil.example",
                "?//evil.example",
                "//evil?.example",
                "https://tickets.example/?",
            ] {
                let link = at.replace('?', &char::from(byte).to_string());
                assert_eq!(link_origin(SITE, &link), None, "{link:?}");
            }
        }
        for link in [
            "",
            "evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https:evil.example",
            "///evil.example",
            "https:/\\evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://tickets.example@evil.example/",
            "https://user:word@tickets.example/",
            "https://",
            "ftp://tickets.example/",
        ] {
            assert_eq!(link_origin(SITE, link), None, "{link}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for (text, origin) in [
            ("https://tickets.example/", "https://tickets.example"),
            ("HTTPS://Tickets.Example:443", "https://tickets.example"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://münchen.example", "https://xn--mnchen-3ya.example"),
        ] {
            assert_eq!(parse_origin(text).as_deref(), Some(origin), "{text}");
        }
        for text in [
            "",
            "tickets.example",
            "https://",
            "https:///x",
            "https:tickets.example",
            "ftp://x",
            "https://x/y",
            "https://x?y",
            "https://x#y",
            "https://u@x",
            "https://x y",
            "https://x\t",
            "https://[::1",
            "https://x:99999",
        ] {
            assert_eq!(parse_origin(text), None, "{text}");
        }
    }
}
