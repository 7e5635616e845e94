//! TLS of connections to other servers: which authorities are trusted, and how they are read.

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// Chooses the implementation of TLS for libraries that ask the process for one, so that it does not
/// depend on the features of other crates. Repeating it does no harm.
pub fn choose_provider() {
    // It fails if it was chosen before, which is the same one.
    let _ = default_provider().install_default();
}

/// Returns the configuration of a client that checks certificates against these authorities.
pub fn client_config(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports them")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Returns the authorities that the system trusts; none where there are none.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Reads a file of PEM certificates, as the parameter `sslrootcert` of a URL names it.
///
/// # Errors
/// A sentence for the operator.
pub fn read_pem_file(path: &str) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("sslrootcert {path}: {error}"))?;
    match certificates(&pem) {
        Some(certificates) if !certificates.is_empty() => Ok(pem),
        _ => Err(format!(
            "sslrootcert {path}: not a file of PEM certificates"
        )),
    }
}

/// Returns the authorities of a file that `read_pem_file` has read.
pub fn roots_of_pem(pem: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(pem).unwrap_or_default());
    roots
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Result<_, _> = CertificateDer::pem_slice_iter(pem).collect();
    certificates.ok()
}
