//! Every operation of the OpenAPI document that a server gives, with every kind of credential: who
//! may make it is stated there, and holds.

use client::Client;
use hyper::Method;
use serde_json::{Value, json};

/// Operations that are open to all. Others must state who may make them.
const PUBLIC: [&str; 17] = [
    "GET /api/v1/currencies",
    "GET /api/v1/events",
    "GET /api/v1/events/{event}",
    "POST /api/v1/events/{event}/line",
    "GET /api/v1/events/{event}/draw",
    "GET /api/v1/events/{event}/draw/entries",
    "GET /api/v1/events/{event}/seating",
    "GET /api/v1/events/{event}/seats",
    "GET /.well-known/jwks.json",
    "POST /api/v1/orders/find",
    // These two take their credential in the body, or none.
    "POST /api/v1/organiser/session",
    "DELETE /api/v1/organiser/session",
    "POST /api/v1/qr",
    // Signed by their senders.
    "POST /webhooks/razorpay",
    "POST /webhooks/stripe",
    "GET /api/openapi.json",
    "GET /api/asyncapi.json",
];
/// Roles from the lowest. Viewers may not do what doors may.
const ROLES: [&str; 4] = ["door", "viewer", "operator", "admin"];

/// A credential, by the name of what it is.
pub(crate) struct Credential {
    /// `pass`, `admission`, `session`, `link`, `service` or a role; empty for none.
    pub(crate) kind: &'static str,
    pub(crate) bearer: String,
}

/// What may make an operation.
struct Allowed {
    kinds: Vec<String>,
    /// Lowest role, if it is an operation for organisers.
    role: Option<usize>,
}

impl Allowed {
    /// Reads the requirements of an operation; none if all may make it.
    fn read(name: &str, operation: &Value) -> Option<Allowed> {
        let requirements = operation["security"].as_array().cloned();
        let requirements = requirements.unwrap_or_default();
        assert!(
            !requirements.is_empty(),
            "{name} does not state who may make it"
        );
        let is_public = requirements.contains(&json!({}));
        if is_public {
            assert!(
                PUBLIC.contains(&name),
                "{name} is open to all: decide about it"
            );
            return None;
        }
        let mut allowed = Allowed {
            kinds: Vec::new(),
            role: None,
        };
        for (kind, roles) in requirements.iter().filter_map(Value::as_object).flatten() {
            match kind.as_str() {
                "organiser" => {
                    let role = ROLES.iter().position(|role| *roles == json!([role]));
                    allowed.role = role;
                    assert!(role.is_some(), "{name} states no role: {roles}");
                }
                _ => allowed.kinds.push(kind.clone()),
            }
        }
        Some(allowed)
    }

    /// Whether a credential of this kind is enough, or else the status of the refusal.
    fn decide(&self, kind: &str) -> Result<(), u16> {
        let role = ROLES.iter().position(|role| *role == kind);
        match (self.role, role) {
            (Some(0), Some(1)) => Err(403),
            (Some(needed), Some(role)) if role >= needed => Ok(()),
            (Some(_), Some(_)) => Err(403),
            _ if self.kinds.iter().any(|known| known == kind) => Ok(()),
            _ => Err(401),
        }
    }
}

/// Checks all operations of a server. `fill` puts ids into a path. Returns how many there were.
pub(crate) async fn check(
    client: &Client,
    credentials: &[Credential],
    fill: impl Fn(&str) -> String,
) -> usize {
    let document = client.get("/api/openapi.json", "").await.unwrap().body;
    let mut count = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            count += 1;
            let Some(allowed) = Allowed::read(&format!("{method} {path}"), operation) else {
                continue;
            };
            for credential in credentials {
                let asked = Asked {
                    method: method.clone(),
                    path: fill(path),
                    is_for_organisers: allowed.role.is_some(),
                };
                asked
                    .check(client, credential, allowed.decide(credential.kind))
                    .await;
            }
        }
    }
    count
}

/// A request to an operation.
struct Asked {
    method: Method,
    path: String,
    is_for_organisers: bool,
}

impl Asked {
    async fn check(&self, client: &Client, credential: &Credential, decision: Result<(), u16>) {
        let Credential { kind, bearer } = credential;
        let (method, path) = (&self.method, &self.path);
        let ask = async |path: &str, body: Option<Value>| {
            let answer = client.call(method.clone(), path, bearer, body).await;
            answer.unwrap().status.as_u16()
        };
        let wrong = format!("{path}?colour=red");
        match decision {
            // Who may make it is asked before what is in it.
            Err(status) => {
                assert_eq!(ask(path, None).await, status, "{kind:?} at {method} {path}");
                let body = Some(json!({"colour": "red"}));
                if self.is_for_organisers {
                    assert_eq!(
                        ask(&wrong, body).await,
                        status,
                        "{kind:?} at {method} {path}"
                    );
                }
            }
            // What is asked is wrong, so that nothing is done.
            Ok(()) if self.is_for_organisers => {
                assert_eq!(ask(&wrong, None).await, 422, "{kind:?} at {method} {path}");
            }
            Ok(()) if *method == Method::DELETE => {}
            Ok(()) => {
                let answer = client.call(method.clone(), path, bearer, None).await;
                let answer = answer.unwrap();
                let status = answer.status.as_u16();
                // The session has bought, so that its time is over.
                let is_over = answer.body["type"] == "/problems/session-over";
                let is_let_in = is_over || ![401, 403].contains(&status);
                assert!(is_let_in, "{kind:?} at {method} {path}: {status}");
            }
        }
    }
}
