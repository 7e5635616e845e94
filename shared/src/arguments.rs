//! The command line and the environment of a program, with secrets that may stand in files.

use crate::mistakes::Mistakes;
use crate::setting_names::of_unknown;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, Parser};
use rustix::fs::Mode;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Largest size of a file with a secret.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// A command line as it was read.
pub struct Parsed<C> {
    /// The arguments of the program, with the secrets that stand in files.
    pub cli: C,
    /// What is wrong with those files.
    pub mistakes: Mistakes,
    /// What else there is to say of the secrets.
    pub notes: Notes,
}

/// Findings from reading the settings.
#[derive(Debug, Default)]
pub struct Notes {
    /// Warnings for the log.
    pub warnings: Vec<String>,
    /// Warnings of variables that are no setting.
    pub unknown: Vec<String>,
    /// Files of secrets, by the settings that they stand for.
    pub files: HashMap<String, PathBuf>,
}

/// A setting whose value is secret: one whose value clap does not show.
struct SecretArgument {
    id: String,
    flag: String,
    variable: String,
    is_global: bool,
}

/// Reads the command line and the environment. For each secret `FAIRLINE_X`, `FAIRLINE_X_FILE` (or
/// the flag `--x-file`) may name a file that holds it. Ends the program where clap does, as for
/// `--help`.
///
/// Files that the program makes from here on are for its user alone.
pub fn parse<C: Parser>() -> Parsed<C> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let mut parsed = parse_from::<C>(std::env::args_os().collect());
    let texts = |(name, value): (OsString, OsString)| {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        (text(name), text(value))
    };
    let own = variables(&with_files::<C>(&secrets(&C::command())));
    parsed.notes.unknown = of_unknown(std::env::vars_os().map(texts), &own);
    parsed
}

/// Returns a setting that has a value. Some tools set variables that have none to an empty text.
pub fn filled(setting: Option<&str>) -> Option<&str> {
    setting.filter(|text| !text.is_empty())
}

/// Returns the names of the variables that a command and its subcommands read.
fn variables(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(Arg::get_env);
    let own = own.filter_map(|name| name.to_str().map(str::to_owned));
    own.chain(command.get_subcommands().flat_map(variables))
        .collect()
}

fn parse_from<C: Parser>(words: Vec<OsString>) -> Parsed<C> {
    let secrets = secrets(&C::command());
    let command = with_files::<C>(&secrets);
    let matches = command.get_matches_from(&words);
    let mut mistakes = Mistakes::default();
    let mut notes = Notes::default();
    let mut all = words;
    for secret in &secrets {
        secret.warn_of_flag(&matches, &mut notes);
        let path = matches.get_one::<OsString>(&secret.file_id());
        let Some(path) = path.filter(|path| !path.is_empty()).map(PathBuf::from) else {
            continue;
        };
        match secret.read(&matches, &path, &mut notes) {
            Ok(value) => {
                let word = format!("--{}={value}", secret.flag);
                all.insert(1, word.into());
                notes.files.insert(secret.variable.clone(), path);
            }
            Err(why) => mistakes.add(format!("{}_FILE: {why}", secret.variable)),
        }
    }
    let matches = with_files::<C>(&secrets).get_matches_from(all);
    let cli = C::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    Parsed {
        cli,
        mistakes,
        notes,
    }
}

fn secrets(command: &Command) -> Vec<SecretArgument> {
    let hidden = command
        .get_arguments()
        .filter(|arg| arg.is_hide_env_values_set());
    let secret = |arg: &Arg| {
        Some(SecretArgument {
            id: arg.get_id().to_string(),
            flag: arg.get_long()?.to_owned(),
            variable: arg.get_env()?.to_str()?.to_owned(),
            is_global: arg.is_global_set(),
        })
    };
    hidden.filter_map(secret).collect()
}

/// Returns the command with a further argument for the file of each secret.
fn with_files<C: CommandFactory>(secrets: &[SecretArgument]) -> Command {
    let files = secrets.iter().map(|secret| {
        Arg::new(secret.file_id())
            .long(format!("{}-file", secret.flag))
            .env(format!("{}_FILE", secret.variable))
            .value_parser(clap::value_parser!(OsString))
            .global(secret.is_global)
            .hide(true)
    });
    C::command().args(files).after_help(
        "A setting whose value is not shown here is a secret. It may stand in a file instead: \
         FAIRLINE_PASS_SECRET_FILE=/run/secrets/pass in place of FAIRLINE_PASS_SECRET, and so on.",
    )
}

impl SecretArgument {
    fn file_id(&self) -> String {
        format!("{}_file", self.id)
    }

    fn warn_of_flag(&self, matches: &ArgMatches, notes: &mut Notes) {
        if matches.value_source(&self.id) == Some(ValueSource::CommandLine) {
            let SecretArgument { variable, flag, .. } = self;
            notes.warnings.push(format!(
                "--{flag}: everyone on this machine sees flags in the list of processes; use {variable} or {variable}_FILE"
            ));
        }
    }

    fn read(&self, matches: &ArgMatches, path: &Path, notes: &mut Notes) -> Result<String, String> {
        let given = matches.get_one::<String>(&self.id);
        if given.is_some_and(|value| !value.is_empty()) {
            return Err(format!("set beside {}: only one of them", self.variable));
        }
        let failed = |error: String| format!("{} {error}", path.display());
        let file = read_file(path).map_err(failed)?;
        if file.is_open_to_all {
            notes.warnings.push(format!(
                "{}_FILE: everyone on this machine can read {}; chmod 600 makes it private",
                self.variable,
                path.display()
            ));
        }
        Ok(file.value)
    }
}

/// A secret as a file holds it.
pub(crate) struct SecretFile {
    pub(crate) value: String,
    is_open_to_all: bool,
}

/// Reads a secret, without the end of its last line. The error is the end of a sentence that begins
/// with the path.
pub(crate) fn read_file(path: &Path) -> Result<SecretFile, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.permissions().mode();
    let mut text = String::new();
    let mut limited = file.take(SECRET_BYTES_MAX + 1);
    limited.read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("is longer than {SECRET_BYTES_MAX} bytes"));
    }
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(SecretFile {
        value: value.to_owned(),
        is_open_to_all: mode & 0o004 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[derive(Parser)]
    struct Program {
        #[command(subcommand)]
        command: Option<Sub>,
        #[arg(
            long,
            env = "FAIRLINE_TEST_SECRET",
            hide_env_values = true,
            global = true
        )]
        secret: Option<String>,
        #[arg(long, env = "FAIRLINE_TEST_OWN", hide_env_values = true)]
        own: Option<String>,
    }

    #[derive(clap::Subcommand)]
    enum Sub {
        Serve,
    }

    fn parsed(words: &[&str]) -> Parsed<Program> {
        let words = [&["program"], words].concat();
        parse_from(words.into_iter().map(OsString::from).collect())
    }

    #[test]
    fn a_secret_may_stand_in_a_file_before_or_behind_a_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (text, value) in [
            ("-a secret\n", "-a secret"),
            ("a\nb\r\n", "a\nb"),
            ("a\n\n", "a\n"),
            (" a", " a"),
        ] {
            fs::write(&path, text).unwrap();
            let file = format!("--secret-file={}", path.display());
            let own = format!("--own-file={}", path.display());
            for words in [&[&own[..], &file, "serve"][..], &[&own, "serve", &file]] {
                let parsed = parsed(words);
                assert_eq!(parsed.mistakes.0, Vec::<String>::new());
                assert_eq!(parsed.cli.secret.as_deref(), Some(value));
                assert_eq!(parsed.cli.own.as_deref(), Some(value));
                assert!(matches!(parsed.cli.command, Some(Sub::Serve)));
                assert_eq!(parsed.notes.files["FAIRLINE_TEST_SECRET"], path);
            }
        }
    }

    #[test]
    fn a_file_beside_the_value_one_that_cannot_be_read_and_an_empty_one_are_mistakes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let file = format!("--secret-file={}", path.display());
        let mistake = |words: &[&str]| {
            let all = parsed(words).mistakes.0;
            assert_eq!(all.len(), 1, "{all:?}");
            assert!(all[0].starts_with("FAIRLINE_TEST_SECRET_FILE: "), "{all:?}");
            assert!(!all[0].contains("sesame"), "{all:?}");
            all.into_iter().next().unwrap()
        };
        assert!(mistake(&[&file]).contains("cannot be read"));
        let none = parsed(&["--secret-file=", "--secret", "open sesame"]);
        assert_eq!(none.mistakes.0, Vec::<String>::new());
        assert_eq!(none.cli.secret.as_deref(), Some("open sesame"));
        fs::write(&path, "\n").unwrap();
        assert!(mistake(&[&file]).contains("is empty"));
        fs::write(&path, "open sesame").unwrap();
        let both = mistake(&[&file, "--secret", "close sesame"]);
        assert!(both.contains("only one of them"), "{both}");
        fs::write(&path, b"\xffsesame").unwrap();
        assert!(mistake(&[&file]).contains("cannot be read"));
        fs::write(&path, "s".repeat(70_000)).unwrap();
        assert!(mistake(&[&file]).contains("is longer than 65536 bytes"));
    }

    #[test]
    fn flags_and_files_that_everyone_can_read_are_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "open sesame").unwrap();
        let file = format!("--secret-file={}", path.display());
        for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(parsed(&[&file]).notes.warnings.len(), warnings, "{mode:o}");
        }
        let warnings = parsed(&["--secret", "open sesame"]).notes.warnings;
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("list of processes") && !warnings[0].contains("sesame"));
    }
}
