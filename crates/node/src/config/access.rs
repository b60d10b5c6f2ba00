//! How people and programs are let in.

use std::time::Duration;

use crate::PasswordCost;

/// What nobody has to set, and only tests do: weaker passwords must not be a line in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessConfig {
    /// What it costs to try one password.
    pub password_cost: PasswordCost,
    /// How often the other nodes are told when tokens were used.
    pub tell_uses_every: Duration,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            password_cost: PasswordCost::default(),
            tell_uses_every: Duration::from_secs(600),
        }
    }
}
