//! Settings of the waiting room.

use crate::app::{Checkout, Parts};
use crate::gate::settings::GateSettings;
use crate::line::{self, Opened};
use shared::context::AppContext;
use shared::data_dir::DataFolder;
use shared::keys::{NamedSecret, check_secret, shared_secrets};
use shared::mistakes::Mistakes;
use shared::token::Signer;
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
    /// Ed25519 private keys, PEM or a path; the first signs, all are published [default: generated
    /// in the data folder]
    #[arg(
        long,
        env = "FAIRLINE_SIGNING_KEY",
        hide_env_values = true,
        global = true
    )]
    pub signing_key: Option<String>,
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
        if let Some(Err(error)) = self.signing_key.as_deref().map(read_signer) {
            mistakes.add(format!("FAIRLINE_SIGNING_KEY: {error}"));
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
            site.organisers.sign_outs().share(store);
        }
        let signer = match (&self.signing_key, &self.pass_secret) {
            (Some(key), _) => read_signer(key)?,
            // Nodes that share a line get the same signing key without another setting.
            (None, Some(secret)) if line::is_shared(self.url()) => {
                Signer::from_pem(&Signer::derive_pem(secret.as_bytes())?)?
            }
            (None, _) => Signer::from_pem(&folder.text("signing-key.pem", Signer::generate_pem)?)?,
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
            signer,
            checkout,
            gate: self.gate(&mut Mistakes::default()),
        })
    }
}

fn read_signer(text: &str) -> Result<Signer, String> {
    if text.contains("-----BEGIN") {
        return Signer::from_pem(text);
    }
    let pem = fs::read_to_string(text).map_err(|error| format!("{text}: {error}"))?;
    Signer::from_pem(&pem)
}
