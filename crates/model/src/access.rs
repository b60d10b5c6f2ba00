//! Who somebody is: users with a role, their passwords, and the tokens and sessions that act for them.
//!
//! A command's actor is always a token. A session is a token too, made by a sign-in and carried by a cookie. A token may
//! belong to a user; then it never may more than the user. So "who did this" is one question to the tokens.
//!
//! A password's hash is a command of its own, under an id that stands for it: when another replaces it, a purge names its
//! place and its bytes go. Whoever reads the chain later never had it, and comes to the same, because nothing else is
//! decided by what a password is, or whether there is one.

use crate::command::Scope;
use crate::id::{BlobId, Digest, SecretId, TokenId, UserId};
use crate::time::Timestamp;
use crate::{codec_enum, codec_struct};

/// What a user may do at most: each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Changes files and what is known of them.
    Editor,
    /// Changes who may do what, and the cluster.
    Admin,
}

codec_enum!(Role, "role" { 0 => Viewer, 1 => Editor, 2 => Admin });

impl Role {
    /// What a token of such a user may do at most.
    pub fn scope(self) -> Scope {
        match self {
            Self::Viewer => Scope::Read,
            Self::Editor => Scope::Write,
            Self::Admin => Scope::Admin,
        }
    }
}

/// What users there are changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserStep {
    /// Somebody may be let in, once there is a password or a token. A name is never given twice, so that what stands in the
    /// history under it stays one person's.
    Create {
        /// Under which name.
        user: UserId,
        /// What people call them.
        name: String,
        /// What they may do.
        role: Role,
    },
    /// Something about them is different; what is not said stays.
    Change {
        /// Who.
        user: UserId,
        /// What people call them.
        name: Option<String>,
        /// What they may do.
        role: Option<Role>,
        /// Whether their tokens are not accepted for now. Their sessions end then.
        disabled: Option<bool>,
    },
    /// They are gone for good, and so are their tokens, sessions and password. The name stays theirs.
    Remove {
        /// Who.
        user: UserId,
    },
    /// Their sessions end.
    SignOut {
        /// Whose.
        user: UserId,
        /// All but this one.
        except: Option<TokenId>,
    },
}

codec_enum!(UserStep, "user step" {
    0 => Create { user, name, role },
    1 => Change { user, name, role, disabled },
    2 => Remove { user },
    3 => SignOut { user, except },
});

impl UserStep {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "createUser",
            Self::Change { .. } => "changeUser",
            Self::Remove { .. } => "removeUser",
            Self::SignOut { .. } => "signOutUser",
        }
    }

    /// Whom it is about.
    pub fn user(&self) -> &UserId {
        match self {
            Self::Create { user, .. }
            | Self::Change { user, .. }
            | Self::Remove { user }
            | Self::SignOut { user, .. } => user,
        }
    }
}

/// A user's password from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordStep {
    /// Whose.
    pub user: UserId,
    /// Drawn at random, so that this hash can be named when it is to be forgotten.
    pub secret: SecretId,
    /// Its hash as a PHC string, at most [`crate::limits::PASSWORD_HASH_BYTES_MAX`]; made by the node that was asked.
    pub hash: String,
}

codec_struct!(PasswordStep { user, secret, hash });

impl PasswordStep {
    /// An id that stands for the hash where a file is named.
    pub fn names(&self) -> BlobId {
        self.secret.stand_in()
    }
}

impl SecretId {
    /// An id that stands for the secret where a file is named. The SHA-256 of no file is known to be it.
    pub fn stand_in(&self) -> BlobId {
        BlobId::of(&[b"starling/secret/v1", self.as_bytes()])
    }
}

/// What tokens there are, or when they were used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenStep {
    /// A token is accepted from the next height on.
    Create {
        /// Its public half.
        token: TokenId,
        /// SHA-256 of its secret half, which has 256 random bits: its hash tells nothing.
        secret: Digest,
        /// What people call it.
        name: String,
        /// What it may do, and never more than its owner.
        scope: Scope,
        /// Whose it is; nobody's if it stands for a program of the cluster's own.
        owner: Option<UserId>,
        /// Until when it is accepted, in block time.
        expires: Option<Timestamp>,
        /// It was made by a sign-in: it ends when its owner's sessions end, and when it was not used for so many seconds.
        session: Option<u32>,
    },
    /// When some were used last. Said seldom, and for many at once.
    Used(Vec<TokenUse>),
}

codec_enum!(TokenStep, "token step" {
    0 => Create { token, secret, name, scope, owner, expires, session },
    1 => Used(uses),
});

impl TokenStep {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create {
                session: Some(_), ..
            } => "signIn",
            Self::Create { .. } => "createToken",
            Self::Used(_) => "tokensUsed",
        }
    }
}

/// A token was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenUse {
    /// Which.
    pub token: TokenId,
    /// When last, by the clock of the node that saw it.
    pub at: Timestamp,
}

codec_struct!(TokenUse { token, at });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_the_scope_of_its_tokens() {
        let roles = [Role::Viewer, Role::Editor, Role::Admin];
        let scopes = [Scope::Read, Scope::Write, Scope::Admin];
        assert_eq!(roles.map(Role::scope), scopes);
        assert!(roles.is_sorted());
    }

    #[test]
    fn two_secrets_stand_under_two_names() {
        let stand_in = |byte| SecretId([byte; 16]).stand_in();
        assert_eq!(stand_in(1), stand_in(1));
        assert_ne!(stand_in(1), stand_in(2));
        assert_ne!(stand_in(1), crate::UploadId([1; 16]).stand_in());
    }
}
