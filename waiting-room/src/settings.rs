//! Settings of the waiting room.

use crate::app::{Checkout, Parts};
use crate::gate::settings::GateSettings;
use crate::line::{self, Opened};
use shared::audit::{ENTRIES_MAX, SharedAuditLog as _};
use shared::context::AppContext;
use shared::crypto::Secret;
use shared::data_dir::DataFolder;
use shared::keys::{NamedSecret, check_secret, shared_secrets};
use shared::mistakes::Mistakes;
use shared::time::Clock;
use shared::token::{Signer, SigningAlgorithm};
use shared::verify_audit::SharedLines;
use std::fs;
use std::sync::Arc;

/// Largest setting of how many clients one admission may have.
const GATE_CLIENTS_MAX: usize = 100;

/// Settings of the waiting room as given on the command line or in the environment.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "line settings")]
pub struct LineArgs {
    /// Store of the line: embedded, redis://…, redis+sentinel://…/name or redis+cluster://…, or
    /// with TLS rediss://… and so on, checked against the root certificates of the system or of
    /// ?sslrootcert=FILE [default: embedded]
    #[arg(long, env = "FAIRLINE_LINE", hide_env_values = true, global = true)]
    pub line: Option<String>,
    /// Ed25519 or P-256 private keys, PEM or a path; the first signs, all are published [default:
    /// generated in the data folder]
    #[arg(
        long,
        env = "FAIRLINE_SIGNING_KEY",
        hide_env_values = true,
        global = true
    )]
    pub signing_key: Option<String>,
    /// Algorithm of admission tokens, EdDSA or ES256; of both, comma-separated, the first signs and
    /// both are published [default: EdDSA, or as the signing key is]
    #[arg(long, env = "FAIRLINE_SIGNING_ALGORITHM", global = true)]
    pub signing_algorithm: Option<String>,
    /// Signs passes and console sessions; never sent anywhere [default: generated in the data
    /// folder]
    #[arg(
        long,
        env = "FAIRLINE_PASS_SECRET",
        hide_env_values = true,
        global = true
    )]
    pub pass_secret: Option<String>,
    /// Key that the checkout presents to report its seats [default: generated in the data folder]
    #[arg(
        long,
        env = "FAIRLINE_SERVICE_KEY",
        hide_env_values = true,
        global = true
    )]
    pub service_key: Option<String>,
    /// Whether the gate of an event that does not exist lets everyone pass: pass or refuse
    /// [default: refuse]
    #[arg(long, env = "FAIRLINE_GATE_UNKNOWN_EVENT", global = true)]
    pub gate_unknown_event: Option<String>,
    /// Browsers and addresses that may pass the gate with one admission; 0: no limit [default: 3]
    #[arg(long, env = "FAIRLINE_GATE_CLIENTS", global = true)]
    pub gate_clients: Option<String>,
}

impl LineArgs {
    /// Adds invalid settings to `mistakes` without opening anything.
    pub fn check(&self, mistakes: &mut Mistakes) {
        match (
            self.algorithms(),
            self.signing_key.as_deref().map(read_signer),
        ) {
            (Err(error), _) => mistakes.add(error),
            (_, Some(Err(error))) => mistakes.add(format!("FAIRLINE_SIGNING_KEY: {error}")),
            (Ok(named), Some(Ok(signer))) if self.signing_algorithm.is_some() => {
                let [named, of_key] = [named[0], signer.algorithm()].map(SigningAlgorithm::name);
                if named != of_key {
                    mistakes.add(format!(
                        "FAIRLINE_SIGNING_ALGORITHM: '{named}', but the first key of \
                         FAIRLINE_SIGNING_KEY signs with {of_key}"
                    ));
                }
            }
            _ => {}
        }
        self.gate(mistakes);
        for secret in self.secrets() {
            check_secret(secret, mistakes);
        }
        let url = self.url();
        if let Err(error) = line::check(url) {
            mistakes.add(error);
        }
        for NamedSecret { setting, value } in self.secrets() {
            if line::is_shared(url) && value.is_none() {
                mistakes.add(format!(
                    "{setting}: needed with Redis, and equal on all nodes: at least 32 characters"
                ));
            }
        }
    }

    fn gate(&self, mistakes: &mut Mistakes) -> GateSettings {
        let unknown_event_passes = match self.gate_unknown_event.as_deref() {
            None | Some("refuse") => false,
            Some("pass") => true,
            Some(other) => {
                mistakes.add(format!(
                    "FAIRLINE_GATE_UNKNOWN_EVENT: '{other}' is neither pass nor refuse"
                ));
                false
            }
        };
        let clients = self.gate_clients.as_deref();
        let clients_max = mistakes.parse("FAIRLINE_GATE_CLIENTS", clients, 3);
        if clients_max > GATE_CLIENTS_MAX {
            mistakes.add(format!(
                "FAIRLINE_GATE_CLIENTS: at most {GATE_CLIENTS_MAX}, or 0 for no limit"
            ));
        }
        GateSettings {
            unknown_event_passes,
            clients_max,
        }
    }

    /// Returns the secrets that are set, with their names.
    pub fn secrets(&self) -> [NamedSecret<'_>; 2] {
        shared_secrets(self.pass_secret.as_deref(), self.service_key.as_deref())
    }

    /// Returns the URL of the line's store.
    pub fn url(&self) -> &str {
        self.line.as_deref().unwrap_or("embedded")
    }

    /// Returns which store is not in the data folder.
    pub fn elsewhere(&self) -> Option<&'static str> {
        line::is_shared(self.url()).then_some("The line in Redis")
    }

    /// Returns the audit log that all nodes share, if the line is in a store that keeps one.
    ///
    /// # Errors
    /// A message for the operator.
    pub async fn shared_audit(&self) -> Result<Option<SharedLines>, String> {
        let Some(store) = line::open_store(self.url(), Clock::system())? else {
            return Ok(None);
        };
        let lines = store.newest(ENTRIES_MAX).await;
        let lines = lines.map_err(|error| format!("FAIRLINE_LINE: {error}"))?;
        Ok(Some(SharedLines {
            name: "the audit log in Redis",
            is_whole: lines.len() < ENTRIES_MAX,
            lines,
        }))
    }

    /// Returns the algorithms that are set; the first signs.
    fn algorithms(&self) -> Result<Vec<SigningAlgorithm>, String> {
        let Some(text) = &self.signing_algorithm else {
            return Ok(vec![SigningAlgorithm::EdDsa]);
        };
        let mut listed = Vec::new();
        for name in text.split(',') {
            let named = SigningAlgorithm::named(name.trim());
            let known = named.filter(|algorithm| !listed.contains(algorithm));
            listed.push(known.ok_or_else(|| {
                format!("FAIRLINE_SIGNING_ALGORITHM: '{text}' is not EdDSA, ES256, or one of each")
            })?);
        }
        Ok(listed)
    }

    /// Returns the private keys where none are set, as PEM: derived from the pass secret, so that
    /// nodes that share a line get the same without another setting; else kept in the data folder.
    fn own_keys(&self, folder: &DataFolder) -> Result<String, String> {
        let shared = self.pass_secret.as_ref();
        let shared = shared.filter(|_| line::is_shared(self.url()));
        let key = |algorithm: SigningAlgorithm| match shared {
            Some(secret) => algorithm.derive_pem(secret.as_bytes()),
            None => folder.text(key_file(algorithm), || algorithm.generate_pem()),
        };
        let keys = self.algorithms()?.into_iter().map(key);
        Ok(keys.collect::<Result<Vec<_>, _>>()?.join("\n"))
    }

    /// Opens the line and reads or generates the keys.
    ///
    /// # Errors
    /// A message for the operator.
    pub async fn open(
        &self,
        folder: &DataFolder,
        site: Arc<AppContext>,
        checkout: Option<Arc<dyn Checkout>>,
    ) -> Result<Parts, String> {
        let Opened { line, shared } = line::open(self.url(), folder, site.clock.clone())?;
        if let Some(store) = shared {
            store.check_format().await?;
            site.audit.share(store.clone());
            if let Some(secret) = &self.pass_secret {
                let secret = Secret::derive(secret.as_bytes(), "limits");
                site.limits.places.share(store.clone(), secret);
            }
            site.limits.share_requests(&store, &site.address_secret);
            site.limits.live_places.share(store.clone());
            site.limits.share_failures(&store, &site.address_secret);
            site.organisers.sign_outs().share(store);
        }
        let signer = match &self.signing_key {
            Some(key) => read_signer(key)?,
            None => Signer::from_pem(&self.own_keys(folder)?)?,
        };
        let kept = |value: &Option<String>, name| match value {
            Some(value) => Ok(value.clone()),
            None => folder.secret(name),
        };
        Ok(Parts {
            pass_secret: kept(&self.pass_secret, "pass-secret")?,
            service_key: kept(&self.service_key, "service-key")?,
            site,
            line,
            signer: Arc::new(signer),
            checkout,
            gate: self.gate(&mut Mistakes::default()),
            archives: folder.join("archive"),
        })
    }
}

/// Returns the name of the file that keeps a generated key.
fn key_file(algorithm: SigningAlgorithm) -> &'static str {
    match algorithm {
        SigningAlgorithm::EdDsa => "signing-key.pem",
        SigningAlgorithm::Es256 => "signing-key-es256.pem",
    }
}

fn read_signer(text: &str) -> Result<Signer, String> {
    if text.contains("-----BEGIN") {
        return Signer::from_pem(text);
    }
    // Not repeated: it may be a key without its first line.
    let pem = fs::read_to_string(text)
        .map_err(|error| format!("neither a key in PEM nor a file that can be read: {error}"))?;
    Signer::from_pem(&pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(algorithm: &str, key: Option<SigningAlgorithm>) -> String {
        let args = LineArgs {
            signing_algorithm: Some(algorithm.to_owned()),
            signing_key: key.map(|kind| kind.generate_pem().unwrap()),
            ..LineArgs::default()
        };
        let mut mistakes = Mistakes::default();
        args.check(&mut mistakes);
        mistakes.0.join("\n")
    }

    #[test]
    fn the_algorithm_is_one_that_is_known_and_the_one_of_the_first_key() {
        for fine in ["EdDSA", "ES256", "ES256, EdDSA", "EdDSA,ES256"] {
            assert_eq!(mistakes(fine, None), "");
        }
        for wrong in [
            "",
            "HS256",
            "none",
            "es256",
            "ES256,",
            "ES256,ES256",
            "EdDSA,RS256",
        ] {
            let told = mistakes(wrong, None);
            assert!(
                told.starts_with("FAIRLINE_SIGNING_ALGORITHM: "),
                "{wrong}: {told}"
            );
        }
        for of_key in SigningAlgorithm::ALL {
            for named in SigningAlgorithm::ALL {
                let told = mistakes(named.name(), Some(of_key));
                assert_eq!(told.is_empty(), named == of_key, "{told}");
                assert!(!told.contains("PRIVATE KEY"), "{told}");
            }
        }
    }
}
