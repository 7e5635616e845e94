//! Signed mails, verified by Python and OpenSSL.

use crate::at_provider::AtProvider;
use crate::mailing::mail_to;
use crate::stage::ProviderStage;
use checkout::mail::MailArgs;
use checkout::settings::SeatsArgs;
use shared::mistakes::Mistakes;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::{SmtpServer, shared_postgres};

/// Verifies the signature of the mail in a file with the public key in another one, by RFC 6376.
const VERIFY: &str = r#"
import base64, hashlib, re, subprocess, sys
mail, key, work = open(sys.argv[1], 'rb').read(), sys.argv[2], sys.argv[3]
head, body = mail.split(b'\r\n\r\n', 1)
fields = re.split(rb'\r\n(?![ \t])', head)
def relaxed(field):
    name, value = field.split(b':', 1)
    value = re.sub(rb'[ \t]+', b' ', value.replace(b'\r\n', b'')).strip(b' ')
    return name.strip().lower() + b':' + value
signature, = [field for field in fields if field.startswith(b'DKIM-Signature:')]
tags = dict(tag.strip().split(b'=', 1) for tag in relaxed(signature).split(b':', 1)[1].split(b';'))
body = b'\r\n'.join(re.sub(rb'[ \t]+', b' ', line).rstrip(b' ') for line in body.split(b'\r\n'))
body = re.sub(rb'(\r\n)*$', b'', body) + b'\r\n'
assert tags[b'bh'] == base64.b64encode(hashlib.sha256(body).digest()), 'body'
signed, left = b'', list(fields)
for name in tags[b'h'].split(b':'):
    found = [field for field in left if field.lower().startswith(name.lower() + b':')]
    if found:
        left.remove(found[-1])
        signed += relaxed(found[-1]) + b'\r\n'
signed += re.sub(rb'; b=.*', b'; b=', relaxed(signature))
ed25519 = tags[b'a'] == b'ed25519-sha256'
open(work + '/signed', 'wb').write(hashlib.sha256(signed).digest() if ed25519 else signed)
open(work + '/signature', 'wb').write(base64.b64decode(tags[b'b'].replace(b' ', b'')))
how = ['pkeyutl', '-verify', '-pubin', '-rawin', '-inkey', key, '-in', work + '/signed', '-sigfile', work + '/signature']
if not ed25519:
    how = ['dgst', '-sha256', '-verify', key, '-signature', work + '/signature', work + '/signed']
subprocess.run(['openssl', *how], check=True, stdout=subprocess.DEVNULL)
print(' '.join(tags[name].decode() for name in [b'd', b's', b'h']))
"#;

fn openssl(args: &[&str]) {
    let mut openssl = Command::new("openssl");
    let made = openssl.args(args).stderr(Stdio::null()).status();
    assert!(made.unwrap().success(), "{args:?}");
}

/// Makes a key, and returns the paths of its halves.
fn key(folder: &Path, make: &[&str]) -> (PathBuf, PathBuf) {
    let (private, public) = (folder.join("private.pem"), folder.join("public.pem"));
    let [from, to] = [&private, &public].map(|path| path.to_str().unwrap());
    openssl(&[make, &["-out", from]].concat());
    openssl(&["pkey", "-in", from, "-pubout", "-out", to]);
    (private, public)
}

fn signed_by(url: &str, selector: &str, key: &str) -> MailArgs {
    let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    MailArgs {
        dkim_selector: set(selector),
        dkim_key: set(key),
        ..mail_to(url)
    }
}

const RSA: [&str; 5] = [
    "genpkey",
    "-algorithm",
    "RSA",
    "-pkeyopt",
    "rsa_keygen_bits:2048",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_are_signed_for_the_domain_of_the_sender() {
    for make in [&RSA[..], &["genpkey", "-algorithm", "ed25519"]] {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = key(folder.path(), make);
        let server = SmtpServer::start().await;
        let mail = signed_by(
            &server.url(60),
            "autumn",
            &fs::read_to_string(private).unwrap(),
        );
        let provider = AtProvider::stripe().await;
        let stage = ProviderStage::open(provider, None, mail, shared_postgres()).await;
        tokio::spawn(checkout::run(stage.node.shop.clone()));
        stage.buy(&["s-A-1"]).await;
        let content = server.until(1).await.remove(0).content;
        // Spaces and empty lines may change on the way, and words may not.
        let moved = content.replace("\r\nSubject: ", "\r\nSUBJECT:  ") + "\r\n";
        let forged = content.replace("Your tickets", "Your  ticket");
        let added = format!("From: Eve <eve@evil.example>\r\n{content}");
        for (content, is_valid) in [
            (&content, true),
            (&moved, true),
            (&forged, false),
            (&added, false),
        ] {
            let file = folder.path().join("mail");
            fs::write(&file, content).unwrap();
            let verified = Command::new("python3")
                .args(["-c", VERIFY])
                .args([&file, &public, folder.path()])
                .stderr(Stdio::null())
                .output()
                .unwrap();
            assert_eq!(verified.status.success(), is_valid, "{make:?}: {content}");
            let told = String::from_utf8(verified.stdout).unwrap();
            let names = "From:To:Subject:Date:Message-ID:Reply-To:MIME-Version:Content-Type:Auto-Submitted:From";
            if is_valid {
                assert_eq!(told.trim(), format!("arena.example autumn {names}"));
            }
        }
    }
}

/// Returns what is wrong with the key or its selector.
fn mistakes(selector: &str, key: &str) -> Vec<String> {
    let args = SeatsArgs {
        mail: signed_by("smtp://mail.example", selector, key),
        ..SeatsArgs::default()
    };
    let mut mistakes = Mistakes::default();
    args.check(&mut mistakes);
    mistakes.0.retain(|why| why.starts_with("FAIRLINE_DKIM"));
    mistakes.0
}

#[test]
fn a_key_that_cannot_sign_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let small = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:1024",
    ];
    let curve = [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ];
    let unfit = "FAIRLINE_DKIM_KEY: neither an RSA key of 2048 bits or more nor an Ed25519 key";
    let of = |make: &[&str]| fs::read_to_string(key(folder.path(), make).0).unwrap();
    // The last one stays in the file.
    let (small, curve, fit) = (of(&small), of(&curve), of(&RSA));
    for (selector, key, why) in [
        ("autumn", &*small, unfit),
        ("autumn", &*curve, unfit),
        (
            "autumn",
            "key",
            "FAIRLINE_DKIM_KEY: not a private key in PEM",
        ),
        (
            "autumn",
            "",
            "FAIRLINE_DKIM_KEY: needed with FAIRLINE_DKIM_SELECTOR",
        ),
        (
            "",
            &*fit,
            "FAIRLINE_DKIM_SELECTOR: needed with FAIRLINE_DKIM_KEY",
        ),
        (
            "a b",
            &*fit,
            "FAIRLINE_DKIM_SELECTOR: up to 63 letters, digits, '-' and '.'",
        ),
    ] {
        assert_eq!(mistakes(selector, key), [why]);
    }
    let (made, traditional) = (
        folder.path().join("private.pem"),
        folder.path().join("1.pem"),
    );
    let [from, to] = [&made, &traditional].map(|path| path.to_str().unwrap());
    openssl(&["pkey", "-in", from, "-traditional", "-out", to]);
    let traditional = fs::read_to_string(&traditional).unwrap();
    assert!(traditional.contains("BEGIN RSA PRIVATE KEY"));
    for key in [&fit, &traditional] {
        assert!(mistakes("autumn", key).is_empty());
    }
}
