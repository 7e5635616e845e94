//! Fields of a line in Redis that come from an event's settings: the settings as JSON, and what the
//! scripts need of them.

use crate::line::EventSettings;
use shared::time::Time;

/// Settings of later versions that are off or as they always were: those before neither wrote nor
/// know them.
const OFF: [&str; 7] = [
    r#","details":null"#,
    r#","published":true"#,
    r#","retention_days":7"#,
    r#","extension_seconds":300"#,
    r#","passthrough":false"#,
    r#","passthrough_before_opening":false"#,
    r#","passthrough_after_closing":false"#,
];

/// Returns the settings as the store keeps them: the same text for the same settings in all
/// versions, which is compared.
pub(super) fn json(settings: &EventSettings) -> String {
    let text = serde_json::to_string(settings).expect("settings are plain data");
    // Inside a text of the organiser the quotes would be escaped.
    OFF.iter().fold(text, |text, off| text.replace(off, ""))
}

/// Returns the settings that scripts need, as names and values in turn. A new one must also be
/// restored after a loss, as `recovery::arguments` does with all of these.
pub(super) fn policy(settings: &EventSettings) -> Vec<String> {
    let admission = &settings.admission;
    let ms = |seconds: u32| i64::from(seconds) * 1000;
    let instant = |time: Option<Time>| time.map_or(0, |time| time.0.max(1));
    [
        ("rate", i64::from(admission.rate_per_minute)),
        ("batch_ms", ms(admission.batch_seconds)),
        ("max_active", i64::from(admission.max_active)),
        ("claim_ms", ms(admission.claim_seconds)),
        ("session_ms", ms(admission.session_seconds)),
        ("away_ms", ms(admission.away_seconds)),
        ("line_at", instant(settings.prequeue_opens_at)),
        ("sale_at", instant(settings.sale_opens_at)),
        ("closes_at", instant(settings.closes_at)),
        ("paused", i64::from(settings.paused)),
        ("needs_beacon", i64::from(settings.beacon.is_some())),
    ]
    .into_iter()
    .flat_map(|(name, value)| field(name, value))
    .collect()
}

/// Returns a field as a name and a value.
pub(super) fn field(name: &str, value: i64) -> [String; 2] {
    [name.to_owned(), value.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::EventId;

    #[test]
    fn settings_that_are_off_are_written_as_versions_before_write_them() {
        let settings = EventSettings::new(EventId::parse("arena").unwrap(), "Arena");
        let text = json(&settings);
        let before = r#"{"id":"arena","name":"Arena","order":"fifo","beacon":null,"prequeue_opens_at":null,"sale_opens_at":null,"closes_at":null,"admission":{"rate_per_minute":600,"batch_seconds":5,"max_active":500,"claim_seconds":120,"session_seconds":600,"away_seconds":600},"checkout_url":null,"paused":false,"message":null}"#;
        assert_eq!(text, before);
        assert_eq!(
            serde_json::from_str::<EventSettings>(&text).unwrap(),
            settings
        );
    }
}
