//! Names of the settings of all programs, by which one that is mistyped in the environment is found.

/// Beginning of the names of all variables.
const PREFIX: &str = "FAIRLINE_";
/// Settings of the programs, without the prefix: one environment may serve all of them. A test
/// compares them with the programs.
pub const PLAIN: [&str; 49] = [
    "ALLOWED_ORIGINS",
    "CONNECTIONS",
    "CONNECTIONS_PER_ADDRESS",
    "DATA",
    "DELAY_MS",
    "DKIM_SELECTOR",
    "EVENTS_RETENTION_HOURS",
    "GATE_CLIENTS",
    "GATE_UNKNOWN_EVENT",
    "IN_FLIGHT",
    "IN_FLIGHT_BROWSE",
    "IN_FLIGHT_ENTER",
    "JOINS_PER_MINUTE",
    "KEEP_BUYERS_DAYS",
    "KEEP_VISITS_DAYS",
    "LISTEN",
    "LOG",
    "LOG_FORMAT",
    "LOYALTY_POINTS",
    "LOYALTY_URL",
    "MAIL_FROM",
    "MAIL_RETURN_PATH",
    "OPS_LISTEN",
    "PATH_PREFIX",
    "PAYMENTS",
    "PDF_FONTS",
    "PLACES_PER_ADDRESS",
    "PROXY_PROTOCOL",
    "PUBLIC_URL",
    "PUSH_CONTACT",
    "PUSH_SERVICES",
    "RAZORPAY_URL",
    "REJOINS_PER_HOUR",
    "REQUESTS_PER_SECOND",
    "SEARCH_INDEX",
    "SEARCH_URL",
    "SEAT_HOLDERS_PER_ADDRESS",
    "SIGNING_ALGORITHM",
    "SMS",
    "SMS_PER_DAY",
    "SMS_PREFIXES",
    "STRIPE_SCRIPT_URL",
    "STRIPE_URL",
    "TLS_CERT",
    "TLS_KEY",
    "TRACE_RATIO",
    "TRUSTED_HOPS",
    "VISITOR_REQUESTS_PER_SECOND",
    "WEBHOOK_NETWORKS",
];
/// Settings that are secret, and may stand in files: `…_FILE`.
pub const SECRET: [&str; 29] = [
    "CHECKOUT",
    "CHECKOUT_KEY",
    "DKIM_KEY",
    "EVENTS",
    "INVENTORY",
    "LINE",
    "LOYALTY_TOKEN",
    "ORGANISER_KEY",
    "ORGANISER_KEYS",
    "OTLP_ENDPOINT",
    "OTLP_HEADERS",
    "PASS_SECRET",
    "PERSONAL_KEYS",
    "PURGE_HEADER",
    "PURGE_URL",
    "PUSH_KEY",
    "RAZORPAY_KEY_ID",
    "RAZORPAY_KEY_SECRET",
    "RAZORPAY_WEBHOOK_SECRETS",
    "SEARCH_AUTHORIZATION",
    "SERVICE_KEY",
    "SIGNING_KEY",
    "SMS_TOKEN",
    "SMTP",
    "SMTP_PASSWORD",
    "STRIPE_KEY",
    "STRIPE_PUBLISHABLE_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "WAITING_ROOM",
];
/// Names by which other programs call such a setting, and ours.
const ELSEWHERE: [(&str, &str); 12] = [
    ("ADDRESS", "LISTEN"),
    ("ADMIN_KEY", "ORGANISER_KEY"),
    ("BASE_URL", "PUBLIC_URL"),
    ("DATABASE_URL", "INVENTORY"),
    ("DATA_DIR", "DATA"),
    ("HOST", "LISTEN"),
    ("KAFKA_URL", "EVENTS"),
    ("LOG_LEVEL", "LOG"),
    ("NATS_URL", "EVENTS"),
    ("PORT", "LISTEN"),
    ("POSTGRES_URL", "INVENTORY"),
    ("REDIS_URL", "LINE"),
];
/// Number of letters of a name for each one that may be wrong.
const LETTERS_PER_SLIP: usize = 3;

/// Returns a warning for each variable that begins like a setting and is none. `own` are the
/// variables that the program itself reads. Values are not told, as they may be secret.
pub(crate) fn of_unknown(
    variables: impl Iterator<Item = (String, String)>,
    own: &[String],
) -> Vec<String> {
    let is_known = |name: &str| {
        let secret = name.strip_suffix("_FILE").unwrap_or(name);
        PLAIN.contains(&name) || SECRET.contains(&name) || SECRET.contains(&secret)
    };
    let mut warnings: Vec<String> = variables
        .filter(|(variable, _)| !own.contains(variable))
        .filter_map(|(variable, value)| {
            let upper = variable.to_ascii_uppercase();
            let name = upper.strip_prefix(PREFIX)?;
            let is_ours = variable == upper && is_known(name);
            (!is_ours && !is_of_a_service(name, &value)).then(|| warning(&variable, name))
        })
        .collect();
    warnings.sort();
    warnings
}

fn warning(variable: &str, name: &str) -> String {
    match nearest(name) {
        Some(known) => {
            format!("{variable} is not known and has no effect; did you mean {PREFIX}{known}?")
        }
        None => format!("{variable} is not known and has no effect; --help lists all settings"),
    }
}

/// Returns the setting that a name is most like, if it is like one.
fn nearest(name: &str) -> Option<String> {
    let plain = name.strip_suffix("_FILE");
    if let Some(plain) = plain.filter(|plain| PLAIN.contains(plain)) {
        return Some(plain.to_owned());
    }
    let files = SECRET.iter().map(|known| format!("{known}_FILE"));
    let ours = PLAIN.iter().chain(&SECRET).map(|known| (*known).to_owned());
    let ours = ours.chain(files).map(|known| (known.clone(), known));
    let elsewhere = ELSEWHERE.iter();
    let elsewhere = elsewhere.map(|(theirs, ours)| ((*theirs).to_owned(), (*ours).to_owned()));
    let all = ours.chain(elsewhere);
    let distances = all.map(|(known, ours)| (distance(name, &known), ours));
    let (slips, known) = distances.min_by_key(|(slips, _)| *slips)?;
    (slips * LETTERS_PER_SLIP <= name.len()).then_some(known)
}

/// Returns whether a variable is one of those that Kubernetes sets for each service whose name
/// begins with `fairline`.
fn is_of_a_service(name: &str, value: &str) -> bool {
    let is_port = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    name.ends_with("SERVICE_HOST")
        || name.contains("SERVICE_PORT")
        || name.split("PORT_").skip(1).any(is_port)
        || name.ends_with("PORT") && value.contains("://")
}

/// Returns the number of slips from one name to another: a letter too many, too few or wrong, or two
/// that changed places (the optimal string alignment distance).
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let changed = rows[i][j] + usize::from(a != b);
            let mut least = changed.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(variable: &str, value: &str) -> Vec<String> {
        let variables = [(variable.to_owned(), value.to_owned())];
        of_unknown(variables.into_iter(), &["FAIRLINE_OWN".to_owned()])
    }

    #[test]
    fn a_mistyped_setting_is_warned_of_with_the_one_that_was_meant() {
        for (variable, meant) in [
            ("FAIRLINE_LISTN", "FAIRLINE_LISTEN"),
            ("FAIRLINE_INVENTROY", "FAIRLINE_INVENTORY"),
            ("FAIRLINE_ORGANIZER_KEY", "FAIRLINE_ORGANISER_KEY"),
            ("FAIRLINE_PUBLIC_URI", "FAIRLINE_PUBLIC_URL"),
            ("FAIRLINE_PUBLIC_URL_FILE", "FAIRLINE_PUBLIC_URL"),
            ("FAIRLINE_PASS_SECRET_FIEL", "FAIRLINE_PASS_SECRET_FILE"),
            ("FAIRLINE_REDIS_ULR", "FAIRLINE_LINE"),
            ("FAIRLINE_PORT", "FAIRLINE_LISTEN"),
            ("fairline_listen", "FAIRLINE_LISTEN"),
        ] {
            let warnings = warned(variable, "sesame");
            let wanted =
                format!("{variable} is not known and has no effect; did you mean {meant}?");
            assert_eq!(warnings, [wanted]);
        }
        let warnings = warned("FAIRLINE_COLOUR", "sesame");
        assert_eq!(
            warnings,
            ["FAIRLINE_COLOUR is not known and has no effect; --help lists all settings"]
        );
    }

    #[test]
    fn settings_of_either_service_and_variables_of_kubernetes_are_not_warned_of() {
        for (variable, value) in [
            ("FAIRLINE_LISTEN", "127.0.0.1:8080"),
            ("FAIRLINE_CHECKOUT", "http://checkout:8081"),
            ("FAIRLINE_STRIPE_KEY_FILE", "/run/secrets/stripe"),
            ("FAIRLINE_OWN", "x"),
            ("HOME", "/root"),
            ("FAIRLINE_SERVICE_HOST", "10.0.0.7"),
            ("FAIRLINE_CHECKOUT_SERVICE_PORT_HTTP", "8081"),
            ("FAIRLINE_CHECKOUT_PORT", "tcp://10.0.0.7:8081"),
            ("FAIRLINE_CHECKOUT_PORT_8081_TCP_ADDR", "10.0.0.7"),
        ] {
            assert_eq!(warned(variable, value), Vec::<String>::new(), "{variable}");
        }
    }
}
