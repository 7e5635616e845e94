//! A certificate authority for tests: certificates for servers with TLS, valid, expired, or of a
//! stranger's authority.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A certificate authority. Its files lie in a temporary folder and end with it. Two authorities do
/// not trust each other's certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: tempfile::TempDir,
    issued: AtomicU32,
}

/// The files of one server certificate, in PEM.
pub struct ServerCertificate {
    /// Path of the certificate.
    pub certificate: PathBuf,
    /// Path of its private key, which only its owner may read.
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

impl Authority {
    /// Creates an authority and writes its root certificate.
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // A name of its own, since clients look authorities up by it.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("Fairline tests {}", MADE.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key can be generated");
        let root = params.self_signed(&key).expect("a root can be signed");
        let authority = Authority {
            issuer: Issuer::new(params, key),
            folder: tempfile::tempdir().expect("a temporary folder can be created"),
            issued: AtomicU32::new(0),
        };
        fs::write(authority.root(), root.pem()).expect("the folder is writable");
        authority
    }

    /// Returns the path of the root certificate, in PEM.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Issues a certificate for a server with these names: host names and IP addresses.
    pub fn issue(&self, names: &[&str]) -> ServerCertificate {
        self.issue_until(names, 2999)
    }

    /// Issues a certificate that has expired.
    pub fn issue_expired(&self, names: &[&str]) -> ServerCertificate {
        self.issue_until(names, 2001)
    }

    /// Returns the settings by which a Redis server or a Sentinel speaks TLS, also to its replicas
    /// and peers.
    pub(crate) fn redis_settings(&self, certificate: &ServerCertificate) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let settings = [
            ("--tls-cert-file", path(&certificate.certificate)),
            ("--tls-key-file", path(&certificate.key)),
            ("--tls-ca-cert-file", path(&self.root())),
            ("--tls-auth-clients", "no".to_owned()),
            ("--tls-replication", "yes".to_owned()),
            ("--tls-cluster", "yes".to_owned()),
        ];
        settings
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }

    /// Issues a certificate that ends at the beginning of this year.
    pub fn issue_until(&self, names: &[&str], year: i32) -> ServerCertificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are valid");
        params
            .distinguished_name
            .push(DnType::CommonName, "Fairline test server");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Servers of a cluster are clients of each other.
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key can be generated");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("a certificate can be signed");
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let files = ServerCertificate {
            certificate: self.folder.path().join(format!("{number}.pem")),
            key: self.folder.path().join(format!("{number}.key")),
        };
        fs::write(&files.certificate, certificate.pem()).expect("the folder is writable");
        fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&files.key)
            .and_then(|mut file| file.write_all(key.serialize_pem().as_bytes()))
            .expect("the folder is writable");
        files
    }
}
