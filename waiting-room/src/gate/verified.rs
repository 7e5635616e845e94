//! Tokens with a right signature, so that one token is verified once and not with each request.

use parking_lot::RwLock;
use shared::token::{Claims, Refused};
use std::collections::HashMap;
use std::sync::Arc;

/// Largest number of tokens that are kept. Then all are forgotten, and verified anew.
const TOKENS_MAX: usize = 20_000;

/// Claims by token. A signature that was right stays right, as keys change only at a start; the
/// event and the time are checked with each request.
#[derive(Default)]
pub(crate) struct VerifiedTokens(RwLock<HashMap<String, Arc<Claims>>>);

impl VerifiedTokens {
    /// Returns the claims of a token, which `verify` reads if it is not known.
    pub(super) fn read(
        &self,
        token: &str,
        verify: impl FnOnce() -> Result<Claims, Refused>,
    ) -> Result<Arc<Claims>, Refused> {
        if let Some(claims) = self.0.read().get(token) {
            return Ok(claims.clone());
        }
        let claims = Arc::new(verify()?);
        let mut tokens = self.0.write();
        if tokens.len() >= TOKENS_MAX {
            tokens.clear();
        }
        tokens.insert(token.to_owned(), claims.clone());
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::VisitorId;

    fn claims(number: u64) -> Claims {
        Claims {
            iss: "https://fairline.example".to_owned(),
            aud: "night".to_owned(),
            sub: VisitorId(1),
            jti: "one".to_owned(),
            iat: 0,
            nbf: 0,
            exp: 1,
            number,
            extension_seconds: 0,
        }
    }

    #[test]
    fn a_token_is_verified_once_and_a_forged_one_each_time() {
        let tokens = VerifiedTokens::default();
        let read = |token, verified| tokens.read(token, || verified);
        assert_eq!(read("a", Err(Refused::Forged)), Err(Refused::Forged));
        assert_eq!(*read("a", Ok(claims(7))).unwrap(), claims(7));
        let again = tokens.read("a", || panic!("verified again"));
        assert_eq!(*again.unwrap(), claims(7));
        assert_eq!(read("ax", Err(Refused::Forged)), Err(Refused::Forged));
    }

    #[test]
    fn no_more_tokens_are_kept_than_the_limit() {
        let tokens = VerifiedTokens::default();
        for at in 0..2 * TOKENS_MAX as u64 + 1 {
            tokens.read(&at.to_string(), || Ok(claims(at))).unwrap();
            assert!(tokens.0.read().len() <= TOKENS_MAX);
        }
        assert_eq!(tokens.0.read().len(), 1);
    }
}
