//! The pages and scripts under `static/`, compiled in, served with an ETag and compressed
//! once.

use crate::context::AppContext;
use crate::crypto::{encode, sha256};
use crate::edge::{Lifetime, STATIC};
use crate::http::document::{Document, entity_tag, is_known, not_modified};
use crate::http::page_request::PageRequest;
use crate::http::problem::Problem;
use crate::texts::{DATE, LATER, Language, UNDRAWN};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

#[derive(RustEmbed)]
#[folder = "../static"]
struct Files;

/// Files as they are served, by path.
static SERVED: LazyLock<HashMap<Cow<'static, str>, ServedFile>> = LazyLock::new(|| {
    let files = Files::iter().filter_map(ServedFile::load);
    files
        .chain(Language::all().map(ServedFile::texts))
        .collect()
});

struct ServedFile {
    kind: String,
    tag: String,
    document: Document,
}

impl ServedFile {
    fn load(path: Cow<'static, str>) -> Option<(Cow<'static, str>, ServedFile)> {
        let file = Files::get(&path)?;
        let kind = file.metadata.mimetype();
        let charset = if kind.starts_with("text/") {
            "; charset=utf-8"
        } else {
            ""
        };
        let bytes = match std::str::from_utf8(&file.data) {
            Ok(text) if path.ends_with(".js") || path.ends_with(".css") => {
                slimmed(text).into_bytes()
            }
            _ => file.data.into_owned(),
        };
        let served = ServedFile {
            kind: format!("{kind}{charset}"),
            tag: encode(&file.metadata.sha256_hash()[..12]),
            document: Document::new(bytes),
        };
        Some((path, served))
    }

    /// Returns the texts that scripts fetch, as `texts-en.json`.
    fn texts(language: Language) -> (Cow<'static, str>, ServedFile) {
        let json = language.json_of(&[DATE, LATER, UNDRAWN]);
        let served = ServedFile {
            kind: "application/json".to_owned(),
            tag: encode(&sha256(json.as_bytes())[..12]),
            document: Document::new(json),
        };
        (format!("texts-{}.json", language.code()).into(), served)
    }
}

/// Serves `/static/{path}`.
pub async fn file(
    State(site): State<Arc<AppContext>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if path.ends_with(".html") {
        return Err(Problem::of_status(StatusCode::NOT_FOUND));
    }
    let mut response = serve(&path, &headers).await?;
    let headers = response.headers_mut();
    site.edge.keep_as(headers, Lifetime::Static, STATIC);
    Ok(response)
}

/// Serves a file under `static/`.
///
/// # Errors
/// 404 if there is no such file.
pub async fn serve(path: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let file = SERVED.get(path);
    let file = file.ok_or_else(|| Problem::of_status(StatusCode::NOT_FOUND))?;
    let head = [
        (header::CONTENT_TYPE, file.kind.clone()),
        (header::CACHE_CONTROL, "public, max-age=60".to_owned()),
        (header::ETAG, entity_tag(headers, &file.tag)),
    ];
    if is_known(headers, &file.tag) {
        return Ok(not_modified(head));
    }
    file.document.response(headers, head).await
}

/// Beginnings of paths that lead to no page in several languages.
const NO_PAGES: [&str; 2] = ["static/", "api/"];

/// Takes comments that begin a line, empty lines, indents and the types within lines out of a script or
/// a style sheet: fans on slow networks need not load them. Code after a comment stays. Our scripts hold
/// no text over several lines in which an indent or an empty line would matter.
fn slimmed(text: &str) -> String {
    let mut is_inside = false;
    let lines = text.split_inclusive('\n').map(|line| {
        let start = line.trim_start_matches(' ');
        if !is_inside && start.starts_with("//") {
            return "\n";
        }
        is_inside |= start.starts_with("/*");
        if !is_inside {
            return start;
        }
        start.split_once("*/").map_or("\n", |(_, code)| {
            is_inside = false;
            code.trim_start_matches(' ')
        })
    });
    let lines = lines.map(without_types);
    lines.filter(|line| !line.trim_end().is_empty()).collect()
}

/// Takes the types that only the type checker reads out of a line: comments such as
/// `/** @type {any} */`.
fn without_types(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, comment)) = rest.split_once("/** @") {
        let Some((_, after)) = comment.split_once("*/") else {
            break;
        };
        code.push_str(before);
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    code + rest
}

/// Returns a whole page in a language, with `{{name}}` replaced by escaped values or by texts of the
/// catalogue, and our links under the prefix. Not cached unless its handler says so: it may show a
/// fan's own place.
pub fn page(
    request: &PageRequest,
    language: Language,
    path: &str,
    values: &[(&str, &str)],
) -> Response {
    page_with(request, language, path, values, &[])
}

/// Returns a page as [`page`] does, with `<!--name-->` replaced by HTML whose values are escaped and
/// whose links are under the prefix.
pub fn page_with(
    request: &PageRequest,
    language: Language,
    path: &str,
    values: &[(&str, &str)],
    markup: &[(&str, &str)],
) -> Response {
    let Some(template) = TEMPLATES.get(&(path.to_owned(), language.code())) else {
        return Problem::of_status(StatusCode::NOT_FOUND).into_response();
    };
    // Before the values, which are links already.
    let mut text = template.replace("=\"/", &format!("=\"{}/", request.prefix.as_str()));
    for (name, value) in values {
        text = text.replace(&format!("{{{{{name}}}}}"), &escape(value));
    }
    text = text.replace("<!--languages-->", &language_links(request, language));
    for (name, html) in markup {
        text = text.replace(&format!("<!--{name}-->"), html);
    }
    if request.carried().is_some() {
        text = carried_on(&text, request);
    }
    let head = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = (head, text).into_response();
    if let Some(cookie) = request.cookie() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Puts the language that links carry on into those of a page, and into its forms.
fn carried_on(page: &str, request: &PageRequest) -> String {
    let own = format!("{}/", request.prefix.as_str());
    let leads_to_page = |address: &str| {
        let path = address.strip_prefix(own.as_str());
        path.is_some_and(|path| !NO_PAGES.iter().any(|start| path.starts_with(start)))
    };
    let mut text = String::with_capacity(page.len());
    let mut is_address = false;
    for part in page.split_inclusive("=\"") {
        let end = if is_address { part.find('"') } else { None };
        let (address, rest) = part.split_at(end.unwrap_or(0));
        match leads_to_page(address) {
            // Addresses are escaped, and so is the mark between two parameters.
            true => text.push_str(&request.onward(address).replace("&lang=", "&amp;lang=")),
            false => text.push_str(address),
        }
        text.push_str(rest);
        is_address = part.ends_with(" href=\"") || part.ends_with(" action=\"");
    }
    text
}

/// Returns links to a page in all languages but its own.
fn language_links(request: &PageRequest, own: Language) -> String {
    let others = Language::all().filter(|language| *language != own);
    let links = others.filter_map(|language| {
        let address = escape(&request.address_in(language)?);
        let (code, name) = (language.code(), language.phrase("language.name", &[]));
        Some(format!("<a href=\"{address}\" lang=\"{code}\">{name}</a>"))
    });
    links.collect::<Vec<_>>().join(" ")
}

/// Pages by path and language, with the texts of the catalogue.
static TEMPLATES: LazyLock<HashMap<(String, &'static str), String>> = LazyLock::new(|| {
    let pages = Files::iter().filter(|path| path.ends_with(".html"));
    let pages = pages.filter_map(|path| Some((path.clone(), Files::get(&path)?)));
    let in_each = pages.flat_map(|(path, file)| {
        let text = String::from_utf8_lossy(&file.data).into_owned();
        Language::all().map(move |language| {
            let key = (path.clone().into_owned(), language.code());
            (key, translated(&text, language))
        })
    });
    in_each.collect()
});

/// Puts texts into a page: those that it names by their keys, and for its scripts those of the groups
/// that it names in `<!--texts group group-->`.
fn translated(page: &str, language: Language) -> String {
    let mut text = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        text.push_str(before);
        match language.find(name) {
            Some(phrase) => text.push_str(&escape(phrase)),
            None if name == "language" => text.push_str(language.code()),
            None => text.push_str(&format!("{{{{{name}}}}}")),
        }
        rest = after;
    }
    text.push_str(rest);
    let Some((before, after)) = text.split_once("<!--texts ") else {
        return text;
    };
    let (groups, after) = after.split_once("-->").unwrap_or((after, ""));
    let json = language.json_of(&groups.split(' ').collect::<Vec<_>>());
    format!("{before}<script type=\"application/json\" id=\"texts\">{json}</script>\n{after}")
}

/// Escapes a value for HTML, in text and in attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('{', "&#123;")
}

#[cfg(test)]
mod tests {
    use super::{Files, carried_on, slimmed};
    use crate::http::page_request::PageRequest;
    use axum::http::{Extensions, HeaderMap, HeaderValue, Method, header};
    use std::collections::BTreeSet;

    fn read(path: &str) -> String {
        let file = Files::get(path).unwrap_or_else(|| panic!("there is no {path}"));
        String::from_utf8(file.data.into_owned()).unwrap()
    }

    /// The words between `start` and the next quotation mark.
    fn quoted<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
        let rest = text.split(start).skip(1);
        rest.map(|rest| rest.split('"').next().unwrap()).collect()
    }

    /// Adds the scripts that a script imports at once, and those that they import.
    fn add_imports(script: &str, found: &mut BTreeSet<String>) {
        for name in quoted(&read(script), " from \"./") {
            if found.insert(name.to_owned()) {
                add_imports(name, found);
            }
        }
    }

    #[test]
    fn each_page_names_all_of_its_scripts_so_that_they_are_fetched_at_once() {
        for page in Files::iter().filter(|path| path.ends_with(".html")) {
            let html = read(&page);
            let mut imported = BTreeSet::new();
            for script in quoted(&html, "<script type=\"module\" src=\"/static/") {
                add_imports(script, &mut imported);
            }
            let named = quoted(&html, "<link rel=\"modulepreload\" href=\"/static/");
            let named: BTreeSet<String> = named.into_iter().map(str::to_owned).collect();
            assert_eq!(named, imported, "{page}");
        }
    }

    #[test]
    fn links_and_forms_carry_a_language_on_until_the_cookie_is_seen() {
        let page = "<link href=\"/static/a.css\"><a href=\"/orders\">b</a><a class=\"c\" href=\"/e/d?x=1&amp;y=2\">\
            <form method=\"post\" action=\"/e/d/join\"><a href=\"?lang=en\"><a href=\"https://e.example/f\">\
            <a href=\"/api/docs\"><a href=\"/organiser\"><p data-href=\"/g\" title=\"/h\">";
        let request = |cookie: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(cookie) = cookie {
                headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
            }
            let uri = "/?lang=de".parse().unwrap();
            PageRequest::read(&Method::GET, &uri, &headers, &Extensions::new())
        };
        let carried = "<link href=\"/static/a.css\"><a href=\"/orders?lang=de\">b</a>\
            <a class=\"c\" href=\"/e/d?x=1&amp;y=2&amp;lang=de\"><form method=\"post\" action=\"/e/d/join?lang=de\">\
            <a href=\"?lang=en\"><a href=\"https://e.example/f\"><a href=\"/api/docs\">\
            <a href=\"/organiser?lang=de\"><p data-href=\"/g\" title=\"/h\">";
        for cookie in [None, Some("fairline_lang=en")] {
            assert!(request(cookie).carried().is_some());
            assert_eq!(carried_on(page, &request(cookie)), carried);
        }
        assert!(request(Some("fairline_lang=de")).carried().is_none());
    }

    #[test]
    fn scripts_lose_the_lines_of_comments_and_the_indents_and_nothing_else() {
        let script = "// @ts-check\nlet a = \"//b\"; // c\n  // d\n\n  f(a,  b);";
        let served = "let a = \"//b\"; // c\nf(a,  b);";
        assert_eq!(slimmed(script), served);
    }

    #[test]
    fn blocks_of_comments_go_and_the_code_after_them_stays() {
        let script = "/**\n * Adds. // a\n * @param {string} b\n */\nconst c = \"/* d\";\n  \
            /** @type {any} */ let e = f(/** @type {any} */ (c));\n/* g */\n// h /*\nlet i;\n";
        let served = "const c = \"/* d\";\nlet e = f((c));\nlet i;\n";
        assert_eq!(slimmed(script), served);
    }
}
