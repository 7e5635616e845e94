//! Details of an event on its pages, drafts, and the pages for search engines and calendars.

use crate::stage::{KEY, Stage, assert_problem};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

const START: &str = "2027-03-20T19:00:00Z";

fn details() -> Value {
    json!({"subtitle": "Live", "venue": {"name": "Great Hall", "address": "1 Hall Road, Berlin"},
        "doors_at": "2027-03-20T18:00:00Z", "starts_at": START, "time_zone": "Europe/Berlin",
        "description": "Two hours.\nOne <break>.", "image_url": "https://pictures.example/a.jpg",
        "colours": {"background": "#123456", "text": "#ffffff"},
        "links": {"contact": "mailto:help@tickets.example"}})
}

/// Asks as a browser does; returns status, headers and text.
async fn page(
    stage: &Stage,
    path: &str,
    more: &[(&str, &str)],
) -> (StatusCode, axum::http::HeaderMap, String) {
    let heads = [&[("accept", "text/html,*/*;q=0.8")], more].concat();
    let answer = stage.client.raw(Method::GET, path, &heads, vec![]).await;
    let answer = answer.unwrap();
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    (answer.status(), answer.headers().clone(), text)
}

/// Signs in to the console; returns the cookie.
async fn console(stage: &Stage, key: &str) -> String {
    let heads = [
        ("content-type", "application/json"),
        ("origin", stage.url.as_str()),
    ];
    let body = json!({"key": key}).to_string().into_bytes();
    let path = "/api/v1/organiser/session";
    let answer = stage.client.raw(Method::POST, path, &heads, body).await;
    let answer = answer.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn details_are_in_the_api_and_a_wrong_one_names_its_field() {
    let stage = Stage::open().await;
    stage.event("arena", json!({"details": details()})).await;
    let shown = stage.get("/api/v1/events/arena", "").await.body;
    assert_eq!(shown["details"], details());
    let listed = stage.get("/api/v1/events", "").await.body;
    let mut short = details();
    short.as_object_mut().unwrap().remove("description");
    assert_eq!(listed[0]["details"], short);
    let change = async |details: Value| {
        let body = Some(json!({"details": details}));
        stage.organise(Method::PATCH, "/events/arena", body).await
    };
    for (wrong, field) in [
        (json!({"time_zone": "Berlin"}), "details.time_zone"),
        (
            json!({"venue": {"name": "Hall", "street": "x"}}),
            "details.venue.street",
        ),
        (json!({"starts_at": "tomorrow"}), "details.starts_at"),
        (json!({"colour": "red"}), "details.colour"),
        (
            json!({"colours": {"background": "#ffffff", "text": "#fffffe"}}),
            "details.colours.text",
        ),
    ] {
        let refused = change(wrong).await;
        assert_problem(&refused, 422, "invalid");
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
    let path = "/api/v1/organiser/events/arena";
    let body = Some(json!({"details": null}));
    let by_operator = stage
        .client
        .call(Method::PATCH, path, "operator-key-01234", body);
    assert_problem(&by_operator.await.unwrap(), 403, "role-too-low");
    assert_eq!(change(json!(null)).await.body["details"], Value::Null);
    assert_eq!(
        stage.get("/api/v1/events/arena", "").await.body["details"],
        Value::Null
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_page_shows_the_event_to_people_and_machines() {
    let stage = Stage::open().await;
    let settings = json!({"name": "Night & Day", "details": details()});
    stage.event("arena", settings).await;
    let (status, headers, text) = page(&stage, "/e/arena", &[]).await;
    assert_eq!(status, StatusCode::OK);
    for part in [
        "<h1>Night &amp; Day</h1>",
        "Saturday, 20 March 2027, 20:00 Berlin time (UTC+1)",
        "Doors open: 19:00",
        "Great Hall, 1 Hall Road, Berlin",
        "Two hours.\nOne &lt;break&gt;.",
        "<img class=\"picture\" src=\"https://pictures.example/a.jpg\" alt=\"\">",
        "<a href=\"mailto:help@tickets.example\">Contact</a>",
        "<meta name=\"description\" content=\"Saturday, 20 March 2027",
        "<meta property=\"og:image\" content=\"https://pictures.example/a.jpg\">",
        "--brand:#123456",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (_, data) = text.split_once("application/ld+json\">").unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["@type"], "Event");
    assert_eq!(data["startDate"], "2027-03-20T20:00:00+01:00");
    assert_eq!(data["location"]["name"], "Great Hall");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("img-src 'self' data: https://pictures.example;"),
        "{policy}"
    );
    // No other page lets pictures of others in.
    for path in ["/organiser", "/e/arena/seats", "/orders/ord_x"] {
        let (_, headers, _) = page(&stage, path, &[]).await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(!policy.contains("pictures.example"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_landing_page_and_the_sitemap_have_what_is_to_come_first() {
    let stage = Stage::open().await;
    let at =
        |start: &str| json!({"starts_at": start, "time_zone": "UTC", "venue": {"name": "Hall"}});
    for (id, details) in [
        ("a-undated", json!({})),
        ("b-later", at("2027-05-01T19:00:00Z")),
        ("c-past", at("2026-05-01T19:00:00Z")),
        ("d-sooner", at("2027-02-01T19:00:00Z")),
    ] {
        stage.event(id, json!({"details": details})).await;
    }
    let (status, _, text) = page(&stage, "/", &[]).await;
    assert_eq!(status, StatusCode::OK);
    let of = |id: &str| text.find(&format!("<a href=\"/e/{id}\"")).unwrap();
    assert!(of("d-sooner") < of("b-later") && of("b-later") < of("a-undated"));
    let past = text.find("Past events").unwrap();
    assert!(of("a-undated") < past && past < of("c-past"));
    let (_, data) = text.split_once("application/ld+json\">").unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["itemListElement"].as_array().unwrap().len(), 2);
    let (_, headers, text) = page(&stage, "/sitemap.xml", &[]).await;
    assert_eq!(headers["content-type"], "application/xml");
    assert!(
        text.contains(&format!("<loc>{}/e/d-sooner</loc>", stage.url)),
        "{text}"
    );
    assert!(!text.contains("c-past"), "{text}");
    let (_, _, text) = page(&stage, "/robots.txt", &[]).await;
    assert!(text.contains("Disallow: /organiser\n"), "{text}");
    assert!(
        text.contains(&format!("Sitemap: {}/sitemap.xml\n", stage.url)),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_does_not_exist_is_a_page_for_people_and_a_problem_for_programs() {
    let stage = Stage::open().await;
    for path in [
        "/nothing",
        "/e/nothing",
        "/e/No_Slug/seats",
        "/e/nothing/draw",
        "/e/nothing/calendar.ics",
    ] {
        let (status, headers, text) = page(&stage, path, &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            headers["content-type"], "text/html; charset=utf-8",
            "{path}"
        );
        assert!(text.contains("All events"), "{path}: {text}");
    }
    for path in ["/nothing", "/api/v1/nothing"] {
        assert_problem(&stage.get(path, "").await, 404, "not-found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calendar_has_the_dates_to_come() {
    let stage = Stage::open().await;
    let times = json!({"sale_opens_at": "2027-02-01T10:00:00Z", "details": details()});
    stage.event("arena", times).await;
    let (status, headers, text) = page(&stage, "/e/arena/calendar.ics", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/calendar; charset=utf-8");
    assert_eq!(text.matches("BEGIN:VEVENT").count(), 2);
    assert!(text.contains("DTSTART:20270201T100000Z") && text.contains("DTSTART:20270320T190000Z"));
    let (_, _, queue) = page(&stage, "/e/arena", &[]).await;
    assert!(
        queue.contains("<p ><a href=\"/e/arena/calendar.ics\""),
        "{queue}"
    );
    stage.event("undated", json!({})).await;
    let (status, _, _) = page(&stage, "/e/undated/calendar.ics", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (_, _, queue) = page(&stage, "/e/undated", &[]).await;
    assert!(
        queue.contains("<p hidden><a href=\"/e/undated/calendar.ics\""),
        "{queue}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_for_organisers_until_it_is_published_and_stays_public_once_a_fan_joined() {
    let stage = Stage::with(|common| common.trusted_hops = Some("1".into())).await;
    let settings = json!({"published": false, "details": details()});
    stage.event("secret", settings).await;
    stage.event("public", json!({})).await;
    let event = "/api/v1/events/secret";
    let line = "/api/v1/events/secret/line";
    let hidden = async || {
        assert_problem(&stage.get(event, "").await, 404, "no-such-event");
        assert_problem(
            &stage.get(event, "viewer-key-wrong-01").await,
            404,
            "no-such-event",
        );
        let joined = stage.client.post(line, "", json!({})).await.unwrap();
        assert_problem(&joined, 404, "no-such-event");
        let listed = stage.get("/api/v1/events", "").await.body;
        assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
        for path in ["/e/secret", "/e/secret/calendar.ics"] {
            assert_eq!(
                page(&stage, path, &[]).await.0,
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
        for path in ["/", "/sitemap.xml"] {
            let (_, _, text) = page(&stage, path, &[]).await;
            assert!(
                !text.contains("secret") && text.contains("/e/public"),
                "{path}"
            );
        }
    };
    hidden().await;
    // Organisers see it, and nothing of it may be kept by a cache.
    assert_eq!(stage.get(event, KEY).await.body["name"], "The secret");
    for key in ["viewer-key-0123456", KEY] {
        let cookie = console(&stage, key).await;
        let (status, headers, text) = page(&stage, "/e/secret", &[("cookie", &cookie)]).await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            text.contains("A draft")
                && text.contains("See the seats")
                && text.contains("Great Hall"),
            "{text}"
        );
        assert!(text.contains("noindex"), "{text}");
        assert!(!headers.contains_key("surrogate-control"), "{headers:?}");
        for path in [event, "/e/secret/calendar.ics"] {
            let (status, headers, _) = page(&stage, path, &[("cookie", &cookie)]).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(!headers.contains_key("surrogate-control"), "{headers:?}");
        }
    }
    let publish = async |is: bool| {
        let body = Some(json!({"published": is}));
        stage.organise(Method::PATCH, "/events/secret", body).await
    };
    assert_eq!(publish(true).await.status, StatusCode::OK);
    assert_eq!(page(&stage, "/e/secret", &[]).await.0, StatusCode::OK);
    assert_eq!(publish(false).await.status, StatusCode::OK);
    hidden().await;
    assert_eq!(publish(true).await.status, StatusCode::OK);
    stage.client.join("secret").await.unwrap();
    let refused = publish(false).await;
    assert_problem(&refused, 422, "invalid");
    assert_eq!(refused.body["errors"][0]["field"], "published");
}
