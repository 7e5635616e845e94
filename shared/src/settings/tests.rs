use super::*;

#[test]
fn on_ones_own_machine_both_spellings_are_ours_and_elsewhere_only_one_is() {
    let origins = |url: &str| {
        let common = Common {
            public_url: Some(url.into()),
            ..Common::default()
        };
        common
            .read("127.0.0.1:8080", &mut Mistakes::default())
            .origins
    };
    let home = origins("http://127.0.0.1:8080");
    assert!(
        home.contains(&"http://localhost:8080".to_owned()),
        "{home:?}"
    );
    // A host that only begins like them is another one.
    for (url, own) in [
        ("https://tickets.example:443", "https://tickets.example"),
        ("https://localhost.example", "https://localhost.example"),
        ("https://127.0.0.1.example", "https://127.0.0.1.example"),
    ] {
        let away = origins(url);
        assert!(away.iter().all(|origin| origin == own), "{away:?}");
    }
}

#[test]
fn every_mistake_is_reported_at_once_by_its_name() {
    let common = Common {
        listen: Some("nonsense".into()),
        trusted_hops: Some("many".into()),
        public_url: Some("ftp://x".into()),
        organiser_key: Some("short".into()),
        organiser_keys: Some("a:boss:0123456789abcdef".into()),
        log_format: Some("xml".into()),
        load: LoadArgs {
            in_flight: Some("100".into()),
            in_flight_enter: Some("some".into()),
            in_flight_browse: Some("101".into()),
            delay_ms: Some("-1".into()),
        },
        ..Common::default()
    };
    let mut mistakes = Mistakes::default();
    common.read("127.0.0.1:8080", &mut mistakes);
    let all = mistakes.0.join("\n");
    for name in [
        "LISTEN",
        "TRUSTED_HOPS",
        "PUBLIC_URL",
        "ORGANISER_KEY:",
        "ORGANISER_KEYS",
        "LOG_FORMAT",
        "IN_FLIGHT_ENTER",
        "IN_FLIGHT_BROWSE",
        "DELAY_MS",
    ] {
        assert!(all.contains(name), "{name} is missing in:\n{all}");
    }
    assert!(
        !all.contains("0123456789abcdef"),
        "a key must not be printed"
    );
}
