//! Secrets in every program: they stand in no help, no error and no log, may come from files, and
//! lie in private folders. What is unfit for a sale is warned of.

use shared::setting_names::{PLAIN, SECRET};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::free_port;

const PROGRAMS: [&str; 3] = ["fairline", "waiting-room", "checkout"];
const WITH_NOTIFIER: [&str; 4] = ["fairline", "waiting-room", "checkout", "notifier"];
const HERE: (&str, &str) = ("FAIRLINE_WAITING_ROOM", "http://127.0.0.1:1");

fn program(name: &str, data: &Path) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_fairline")).with_file_name(name);
    let mut command = Command::new(binary);
    command
        .env("FAIRLINE_DATA", data)
        .env("FAIRLINE_LISTEN", format!("127.0.0.1:{}", free_port()))
        .env("FAIRLINE_OPS_LISTEN", "127.0.0.1:0")
        .env(HERE.0, HERE.1)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits for the program to end; returns all that it wrote, and the status.
fn ended(mut child: Child) -> (String, Option<i32>) {
    let from = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(from.elapsed() < Duration::from_secs(20), "it goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    (String::from_utf8(both).unwrap(), output.status.code())
}

/// Starts a program until it serves, ends it, and returns all that it wrote.
fn started(mut command: Command) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = fs::File::create(&path).unwrap();
    let mut child = command
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let from = Instant::now();
    let mut said = String::new();
    while !said.contains("serving") {
        assert!(from.elapsed() < Duration::from_secs(20), "{said}");
        std::thread::sleep(Duration::from_millis(10));
        said = fs::read_to_string(&path).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "{said}");
    }
    let ended = Command::new("kill").arg(child.id().to_string()).status();
    assert!(ended.unwrap().success());
    let status = child.wait().unwrap();
    let said = fs::read_to_string(&path).unwrap();
    assert!(status.success(), "{status}: {said}");
    said
}

#[test]
fn no_program_shows_a_secret_in_its_help_or_in_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let marker = "open-sesame";
    let mut read = BTreeSet::new();
    for name in WITH_NOTIFIER {
        let with_secrets = |values: &dyn Fn(&str) -> String| {
            let mut command = program(name, &folder.path().join("data"));
            for secret in SECRET.map(|name| format!("FAIRLINE_{name}")) {
                command.env(&secret, values(&secret));
            }
            command
        };
        // As values of the right shape, and as ones that are wrong for every setting.
        let right = |secret: &str| match secret {
            "FAIRLINE_LINE" => format!("redis://user:{marker}@127.0.0.1:1"),
            "FAIRLINE_INVENTORY" => format!("postgres://user:{marker}@127.0.0.1:1/x"),
            "FAIRLINE_SMTP" => format!("smtp://user:{marker}@127.0.0.1:1"),
            "FAIRLINE_PURGE_URL"
            | "FAIRLINE_OTLP_ENDPOINT"
            | "FAIRLINE_WAITING_ROOM"
            | "FAIRLINE_CHECKOUT" => format!("https://user:{marker}@other.example/"),
            _ => format!("{marker}-{secret}"),
        };
        let wrong = |_: &str| format!("{marker}:{marker}@ {marker}");
        let short = |_: &str| marker.to_owned();
        for arguments in [
            &["--help"][..],
            &["-h"],
            match name {
                "notifier" => &["replay", "--help"],
                _ => &["backup", "--help"],
            },
            &["--bogus"],
        ] {
            let (said, _) = ended(with_secrets(&right).args(arguments).spawn().unwrap());
            assert!(!said.contains(marker), "{name} {arguments:?}: {said}");
            assert!(said.contains("--"), "{said}");
        }
        for values in [&right as &dyn Fn(&str) -> String, &wrong, &short] {
            let (said, status) = ended(with_secrets(values).spawn().unwrap());
            assert_eq!(status, Some(2), "{name}: {said}");
            assert!(!said.contains(marker), "{name}: {said}");
        }
        let lines = String::from_utf8(
            program(name, folder.path())
                .arg("--help")
                .output()
                .unwrap()
                .stdout,
        );
        // Every setting is in one of the lists, so that a new one is decided about: those that are
        // not secret are shown with their values.
        for line in lines
            .unwrap()
            .lines()
            .filter(|line| line.contains("[env: "))
        {
            let setting = line.split("[env: ").nth(1).unwrap();
            let setting = setting.split(']').next().unwrap();
            let (setting, is_hidden) = match setting.split_once('=') {
                Some((setting, _)) => (setting, false),
                None => (setting, true),
            };
            let setting = setting.strip_prefix("FAIRLINE_").unwrap();
            let known: &[&str] = if is_hidden { &SECRET } else { &PLAIN };
            assert!(known.contains(&setting), "{name}: {line}");
            read.insert(setting.to_owned());
        }
    }
    assert_eq!(read.len(), PLAIN.len() + SECRET.len(), "{read:?}");
}

#[test]
fn every_program_takes_its_secrets_from_files() {
    for name in PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str, mode| {
            let path = folder.path().join(file);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        };
        let pass = write("pass", "pass-0f9e8d7c6b5a4938271605f4e3d2c1b0\n", 0o600);
        let service = write("service", "service-1a2b3c4d5e6f70819203a4b5c6d7\r\n", 0o600);
        let keys = write("keys", "desk:operator:the-key-of-the-desk", 0o644);
        let mut command = program(name, &folder.path().join("data"));
        command
            .env("FAIRLINE_PASS_SECRET_FILE", &pass)
            .env("FAIRLINE_PASS_SECRET", "")
            .env("FAIRLINE_SERVICE_KEY_FILE", &service)
            .env("FAIRLINE_ORGANISER_KEYS_FILE", &keys);
        let said = started(command);
        assert!(said.contains("FAIRLINE_ORGANISER_KEYS_FILE: everyone on this machine can read"));
        assert!(!said.contains("FAIRLINE_PASS_SECRET_FILE"), "{said}");
        let mut both = program(name, &folder.path().join("data"));
        both.env("FAIRLINE_PASS_SECRET_FILE", &pass)
            .env("FAIRLINE_SERVICE_KEY_FILE", folder.path().join("nowhere"))
            .env(
                "FAIRLINE_PASS_SECRET",
                "other-0f9e8d7c6b5a4938271605f4e3d2c1b0",
            );
        let (said, status) = ended(both.spawn().unwrap());
        assert_eq!(status, Some(2));
        assert!(
            said.contains("FAIRLINE_PASS_SECRET_FILE: set beside FAIRLINE_PASS_SECRET"),
            "{said}"
        );
        assert!(
            said.contains("FAIRLINE_SERVICE_KEY_FILE: ") && said.contains("cannot be read"),
            "{said}"
        );
        assert!(!said.contains("0f9e8d7c6b5a"), "{said}");
    }
}

fn modes(folder: &Path, found: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        found.push((entry.path().display().to_string(), mode));
        if entry.path().is_dir() {
            modes(&entry.path(), found);
        }
    }
}

#[test]
fn a_data_folder_that_was_open_to_others_is_private_with_all_that_comes_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    let said = started(program("fairline", &data));
    assert!(
        said.contains("was open to other users of this machine"),
        "{said}"
    );
    let mut found = Vec::new();
    modes(&data, &mut found);
    assert!(found.len() > 5, "{found:?}");
    let open: Vec<_> = found.iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(
        fs::metadata(&data).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let again = started(program("fairline", &data));
    assert!(!again.contains("was open to other users"), "{again}");
}

#[test]
fn what_is_unfit_for_a_sale_is_warned_of_at_the_start_and_a_first_look_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = started(program("fairline", &data));
    assert!(!first.contains("WARN"), "{first}");
    let mut command = program("fairline", &data);
    command
        .env("FAIRLINE_PUBLIC_URL", "https://tickets.example")
        .env("FAIRLINE_OPS_LISTEN", "0.0.0.0:0")
        .env("FAIRLINE_LISTN", "open sesame")
        .arg("--organiser-key=a-key-that-is-in-the-list");
    let said = started(command);
    for warning in [
        "FAIRLINE_PAYMENTS: payments are simulated",
        "FAIRLINE_OPS_LISTEN: 0.0.0.0:0 is on all addresses",
        "--organiser-key: everyone on this machine sees flags",
        "FAIRLINE_LISTN is not known and has no effect; did you mean FAIRLINE_LISTEN?",
    ] {
        assert!(said.contains(warning), "{warning}: {said}");
    }
    assert!(!said.contains("open sesame"), "{said}");
    assert!(!said.contains("a-key-that-is-in-the-list"), "{said}");
    let mut command = program("fairline", &data);
    command.env("FAIRLINE_PUBLIC_URL", "http://tickets.example");
    let said = started(command);
    assert!(
        said.contains("FAIRLINE_PUBLIC_URL: http://tickets.example is not https"),
        "{said}"
    );
}
