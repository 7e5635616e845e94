//! Mistakes in the settings, gathered so that all are reported at once.

use std::str::FromStr;

/// Mistakes found so far.
#[derive(Debug, Default)]
pub struct Mistakes(pub Vec<String>);

impl Mistakes {
    /// Returns the mistakes as an error, if there are any.
    ///
    /// # Errors
    /// The mistakes.
    pub fn into_result(self) -> Result<(), Vec<String>> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.0)
        }
    }

    /// Notes a mistake.
    pub fn add(&mut self, mistake: impl Into<String>) {
        self.0.push(mistake.into());
    }

    /// Returns the value, or its default after recording a mistake.
    pub fn parse<T: FromStr>(&mut self, name: &str, text: Option<&str>, default: T) -> T {
        let Some(text) = text else { return default };
        text.trim().parse().unwrap_or_else(|_| {
            self.add(format!("{name}: '{text}' is not {}", wanted::<T>()));
            default
        })
    }

    /// Returns the value of `outcome`, or records its mistake.
    pub fn take<T>(&mut self, name: &str, outcome: Result<T, String>) -> Option<T> {
        outcome
            .map_err(|error| self.add(format!("{name}: {error}")))
            .ok()
    }
}

fn wanted<T>() -> &'static str {
    match std::any::type_name::<T>() {
        name if name.ends_with("SocketAddr") => "an address such as 127.0.0.1:8080",
        _ => "a whole number that fits",
    }
}
