//! Passwords: hashed with Argon2id, and checked in a time that tells nothing.
//!
//! The work is done on threads that may block, a few at a time, so that a flood of sign-ins takes neither the memory nor
//! the cores of a node. A user who is not there, or has no password, is checked against a hash that nothing fits.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

/// Passwords worked on at the same time. Each takes [`PasswordCost::memory_kib`].
const AT_ONCE: usize = 2;
/// Who waits longer for one of these places is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What it costs to try one password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for PasswordCost {
    /// As OWASP's Password Storage Cheat Sheet asks for at least.
    fn default() -> Self {
        Self {
            memory_kib: 19 << 10,
            passes: 2,
        }
    }
}

/// Why a password is neither right nor wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("too many passwords are being checked; try again")]
    Busy,
    #[error("hashing a password: {0}")]
    Hash(argon2::password_hash::Error),
    #[error("hashing a password: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Makes and checks hashes.
#[derive(Debug)]
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    /// Fits no password.
    decoy: String,
    places: Arc<Semaphore>,
}

impl Passwords {
    pub(crate) fn new(cost: PasswordCost) -> Self {
        let PasswordCost { memory_kib, passes } = cost;
        let params = Params::new(memory_kib, passes, 1, None);
        let params = params.expect("the cost is one that Argon2 allows");
        Self {
            argon2: Argon2::from(params),
            decoy: format!(
                "$argon2id$v=19$m={memory_kib},t={passes},p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
            ),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The hash of a password as a PHC string.
    pub(crate) async fn hash(
        &self,
        password: String,
        salt: [u8; 16],
    ) -> Result<String, PasswordError> {
        let argon2 = self.argon2.clone();
        let hashed = self.work(move || argon2.hash_password_with_salt(password.as_bytes(), &salt));
        let hash: PasswordHash = hashed.await?.map_err(PasswordError::Hash)?;
        Ok(hash.to_string())
    }

    /// Whether a password is the one that was hashed. Takes as long if there is no hash.
    pub(crate) async fn fits(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        let argon2 = self.argon2.clone();
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let checked = self.work(move || {
            argon2
                .verify_password(password.as_bytes(), hash.as_str())
                .is_ok()
        });
        Ok(checked.await? && known)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(PATIENCE, place).await;
        let place = place.map_err(|_| PasswordError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work is done, whether or not somebody still waits for it.
            let _place = place;
            work()
        });
        Ok(done.await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordCost = PasswordCost {
        memory_kib: 8,
        passes: 1,
    };

    #[tokio::test]
    async fn a_password_fits_its_own_hash_and_no_other() {
        let passwords = Passwords::new(CHEAP);
        let hash = passwords.hash("right".into(), [1; 16]).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert!(hash.len() <= model::limits::PASSWORD_HASH_BYTES_MAX);
        let fits = async |password: &str, hash: &str| {
            let hash = Some(hash.to_owned());
            passwords.fits(password.into(), hash).await.unwrap()
        };
        assert!(fits("right", &hash).await);
        assert!(!fits("wrong", &hash).await);
        assert!(!fits("right", "no hash").await);
        assert!(!passwords.fits("right".into(), None).await.unwrap());
        let again = passwords.hash("right".into(), [1; 16]).await.unwrap();
        assert_eq!(hash, again, "a retry makes the same hash");
        assert_ne!(hash, passwords.hash("right".into(), [2; 16]).await.unwrap());
    }

    #[tokio::test]
    async fn a_dearer_node_checks_what_a_cheaper_one_hashed() {
        let hash = Passwords::new(CHEAP)
            .hash("x".into(), [1; 16])
            .await
            .unwrap();
        let dear = Passwords::new(PasswordCost {
            memory_kib: 64,
            passes: 2,
        });
        assert!(dear.fits("x".into(), Some(hash)).await.unwrap());
        let decoy: PasswordHash = dear.decoy.parse().unwrap();
        assert_eq!(
            decoy.to_string(),
            dear.decoy,
            "it is worked on like any other"
        );
    }

    #[test]
    fn the_usual_cost_is_not_a_cheap_one() {
        let usual = PasswordCost::default();
        assert!(usual.memory_kib >= 19_456 && usual.passes >= 2);
    }
}
