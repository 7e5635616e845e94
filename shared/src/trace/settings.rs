//! Settings of traces.

use crate::mistakes::Mistakes;
use crate::web_url::is_web_url;
use axum::http::{HeaderName, HeaderValue};
use std::collections::HashMap;

/// Share of requests that are traced, unless it is set.
const RATIO: f64 = 0.01;

/// The settings as they were written.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "trace settings")]
pub struct TraceArgs {
    /// Base URL of the OTLP receiver that takes traces by HTTP, such as http://127.0.0.1:4318; or
    /// set OTEL_EXPORTER_OTLP_ENDPOINT [default: none, no traces]
    #[arg(
        long,
        env = "FAIRLINE_OTLP_ENDPOINT",
        hide_env_values = true,
        global = true
    )]
    pub otlp_endpoint: Option<String>,
    /// The same by its standard name
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide = true, global = true)]
    pub otel_exporter_otlp_endpoint: Option<String>,
    /// Headers that authorise at the receiver: name=value, comma-separated
    #[arg(
        long,
        env = "FAIRLINE_OTLP_HEADERS",
        hide_env_values = true,
        global = true
    )]
    pub otlp_headers: Option<String>,
    /// Share of requests that are traced, from 0 to 1, where a client does not decide it [default:
    /// 0.01]
    #[arg(long, env = "FAIRLINE_TRACE_RATIO", global = true)]
    pub trace_ratio: Option<String>,
}

/// The parsed settings.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// `None`: no traces.
    pub(super) receiver: Option<Receiver>,
    /// Share of requests that are traced.
    pub(super) ratio: f64,
}

/// The receiver of traces.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "otlp"),
    expect(dead_code, reason = "it is read by what sends spans")
)]
pub(super) struct Receiver {
    /// Base URL, without a slash at the end.
    pub(super) url: String,
    /// May be secrets.
    pub(super) headers: HashMap<String, String>,
}

impl TraceArgs {
    /// Parses the settings and adds what is wrong to `mistakes`.
    pub fn read(&self, mistakes: &mut Mistakes) -> TraceSettings {
        let headers = self.headers(mistakes);
        let url = self.url(mistakes);
        if url.is_none() && !headers.is_empty() {
            mistakes.add("FAIRLINE_OTLP_ENDPOINT: needed with FAIRLINE_OTLP_HEADERS");
        }
        TraceSettings {
            receiver: url.map(|url| Receiver { url, headers }),
            ratio: self.ratio(mistakes),
        }
    }

    /// Returns the base URL of the receiver. An empty one is none, also where the standard variable
    /// is set for all programs of a machine.
    fn url(&self, mistakes: &mut Mistakes) -> Option<String> {
        let standard = &self.otel_exporter_otlp_endpoint;
        let (name, url) = match (&self.otlp_endpoint, standard) {
            (Some(url), _) => ("FAIRLINE_OTLP_ENDPOINT", url),
            (None, Some(url)) => ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
            (None, None) => return None,
        };
        if url.is_empty() {
            return None;
        }
        if !is_web_url(url) {
            mistakes.add(format!(
                "{name}: an http:// or https:// address without a password is needed"
            ));
        }
        Some(url.trim_end_matches('/').to_owned())
    }

    fn headers(&self, mistakes: &mut Mistakes) -> HashMap<String, String> {
        let text = self.otlp_headers.as_deref().unwrap_or("");
        let members = text.split(',').filter(|member| !member.trim().is_empty());
        let read = members.map(|member| {
            let (name, value) = member.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            let is_valid =
                HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok();
            is_valid.then(|| (name.to_owned(), value.to_owned()))
        });
        let read: Option<HashMap<String, String>> = read.collect();
        if read.is_none() {
            // It is a secret and not shown.
            mistakes.add("FAIRLINE_OTLP_HEADERS: headers are needed, such as 'x-api-key=…'");
        }
        read.unwrap_or_default()
    }

    fn ratio(&self, mistakes: &mut Mistakes) -> f64 {
        let Some(text) = self.trace_ratio.as_deref() else {
            return RATIO;
        };
        let ratio = text.trim().parse().ok();
        let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.unwrap_or_else(|| {
            mistakes.add(format!(
                "FAIRLINE_TRACE_RATIO: '{text}' is not a number from 0 to 1"
            ));
            RATIO
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(args: &TraceArgs) -> Vec<String> {
        let mut mistakes = Mistakes::default();
        args.read(&mut mistakes);
        mistakes.0
    }

    #[test]
    fn wrong_settings_are_mistakes_by_name_that_show_no_header() {
        let wrong = TraceArgs {
            otlp_endpoint: Some("collector:4318".into()),
            otel_exporter_otlp_endpoint: Some("http://unused:4318".into()),
            otlp_headers: Some("x-api-key: a-secret".into()),
            trace_ratio: Some("1.5".into()),
        };
        let found = mistakes(&wrong);
        assert_eq!(found.len(), 3, "{found:?}");
        for name in ["OTLP_ENDPOINT:", "OTLP_HEADERS:", "TRACE_RATIO:"] {
            let is_named = |mistake: &String| mistake.starts_with(&format!("FAIRLINE_{name}"));
            assert!(found.iter().any(is_named), "{name} in {found:?}");
        }
        assert!(!found.concat().contains("a-secret"));
        for ratio in ["-0.1", "NaN", "", "half"] {
            let ratio = TraceArgs {
                trace_ratio: Some(ratio.into()),
                ..TraceArgs::default()
            };
            assert_eq!(mistakes(&ratio).len(), 1);
        }
    }

    #[test]
    fn the_standard_variable_names_the_receiver_unless_ours_does_or_is_empty() {
        let standard = Some("http://standard:4318/".to_owned());
        for (ours, expected) in [
            (None, Some("http://standard:4318")),
            (Some("https://ours/otlp"), Some("https://ours/otlp")),
            (Some(""), None),
        ] {
            let args = TraceArgs {
                otlp_endpoint: ours.map(str::to_owned),
                otel_exporter_otlp_endpoint: standard.clone(),
                ..TraceArgs::default()
            };
            let read = args.read(&mut Mistakes::default());
            let url = read.receiver.map(|receiver| receiver.url);
            assert_eq!(url.as_deref(), expected);
        }
    }

    #[test]
    fn headers_for_no_receiver_are_a_mistake() {
        let args = TraceArgs {
            otlp_headers: Some("x-api-key=1".into()),
            ..TraceArgs::default()
        };
        assert_eq!(mistakes(&args).len(), 1);
    }
}
