//! Currencies of ISO 4217 and the number of decimals of their amounts.
//!
//! All amounts are whole numbers of minor units. This is the one place that knows how many of their
//! digits are decimals; the pages ask for it at `/api/v1/currencies`.

use crate::http::document::Document;
use crate::http::problem::Problem;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::{Router, routing};
use iso_currency::{Currency, IntoEnumIterator as _};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use utoipa::openapi::OpenApi;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

/// Returns how many decimals amounts of a currency have: 2 for `EUR`, 0 for `JPY`, 3 for `KWD`.
/// None for a code that ISO 4217 does not list, or lists without a minor unit, such as metals and
/// test codes.
pub fn exponent(code: &str) -> Option<u16> {
    Currency::from_code(code)?.exponent()
}

/// Returns the sign of a currency, such as `€`, if it is unmistakable on a page of another country: two
/// countries may have a dollar.
pub fn symbol(code: &str) -> Option<String> {
    matches!(code, "EUR" | "GBP" | "USD" | "JPY")
        .then(|| Currency::from_code(code))?
        .map(|currency| currency.symbol().symbol)
}

/// Returns the schema of a currency that may be chosen, or null.
pub fn schema() -> Schema {
    let codes = Currency::iter().filter(|currency| currency.exponent().is_some());
    let codes = codes.map(|currency| Some(currency.code().to_owned()));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some("The code of a currency in ISO 4217"))
        .enum_values(Some(codes.chain([None])))
        .into()
}

/// Returns the route of the list, and its description.
pub(crate) fn routes() -> (Router, OpenApi) {
    let route = routing::get(list_currencies);
    let router = Router::new().route("/api/v1/currencies", route);
    (router, <Description as utoipa::OpenApi>::openapi())
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list_currencies))]
struct Description;

/// The number of decimals of each currency's amounts: `{"EUR": 2, "JPY": 0, "KWD": 3, …}`.
#[utoipa::path(get, path = "/api/v1/currencies", tag = "checkout",
    security(()),
    responses((status = 200, description = "Decimals by ISO 4217 code",
        body = BTreeMap<String, u16>), crate::http::openapi::Refusals))]
async fn list_currencies(headers: HeaderMap) -> Result<Response, Problem> {
    static LIST: LazyLock<Document> = LazyLock::new(|| {
        let all = Currency::iter();
        let listed: BTreeMap<&str, u16> = all
            .filter_map(|currency| Some((currency.code(), currency.exponent()?)))
            .collect();
        Document::new(json!(listed).to_string())
    });
    let head = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=86400"),
        (header::VARY, "origin"),
    ];
    LIST.response(&headers, head).await
}

#[cfg(test)]
mod tests {
    use super::exponent;

    #[test]
    fn amounts_have_as_many_decimals_as_iso_4217_says() {
        for (decimals, codes) in [
            (0, "JPY ISK KRW CLP XOF XAF UGX VND PYG RWF"),
            (2, "EUR USD GBP INR HUF CZK MGA TRY"),
            (3, "KWD BHD JOD TND IQD LYD OMR"),
            (4, "CLF UYW"),
        ] {
            for code in codes.split(' ') {
                assert_eq!(exponent(code), Some(decimals), "{code}");
            }
        }
        for code in ["ZZZ", "XXX", "XTS", "XAU", "XDR", "eur", "EURO", ""] {
            assert_eq!(exponent(code), None, "{code}");
        }
    }
}
