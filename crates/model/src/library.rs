//! Libraries: sets of files, and who may do what with them.
//!
//! Every command names the library it belongs to; a command of this kind names the library that it is about, so whoever
//! may not read that library learns nothing of it from the chain.

use std::fmt;
use std::str::FromStr;

use crate::id::{ParseIdError, TokenId, UserId};
use crate::{codec_enum, codec_struct};

/// What a member may do: each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LibraryRole {
    /// Looks at everything.
    Viewer,
    /// Adds and changes files, tags and albums, and shares them.
    Editor,
    /// Says who is a member, defines fields, purges.
    Owner,
}

codec_enum!(LibraryRole, "role" { 0 => Viewer, 1 => Editor, 2 => Owner });

/// Whom a library admits: a person, or a program with a token that is nobody's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// A user, with whatever token or session.
    User(UserId),
    /// A token that belongs to no user.
    Token(TokenId),
}

codec_enum!(Principal, "principal" { 0 => User(user), 1 => Token(token) });

/// How a token is told from a user: no user's name has a colon.
const TOKEN: &str = "token:";

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Token(token) => write!(f, "{TOKEN}{token}"),
        }
    }
}

impl FromStr for Principal {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match text.strip_prefix(TOKEN) {
            Some(token) => token.parse().map(Self::Token),
            None => text.parse().map(Self::User),
        }
    }
}

/// What a library is, beside its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryDefinition {
    /// What people call it.
    pub title: String,
    /// Whether every user of the cluster is in it, with the role that the cluster gives them. Otherwise only members are.
    pub shared: bool,
}

codec_struct!(LibraryDefinition { title, shared });

/// A change of what libraries there are, or of who is in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibraryStep {
    /// Makes a library. Who does is its first owner.
    Create(LibraryDefinition),
    /// Says anew what it is.
    Describe(LibraryDefinition),
    /// Makes somebody a member, or gives a member another role.
    SetMember {
        /// Who.
        member: Principal,
        /// The role from now on.
        role: LibraryRole,
    },
    /// Somebody is a member no more.
    RemoveMember {
        /// Who.
        member: Principal,
    },
    /// It is shown to nobody and takes no changes, until it is restored.
    Retire,
    /// It is as it was before it was retired.
    Restore,
}

codec_enum!(LibraryStep, "library step" {
    0 => Create(definition),
    1 => Describe(definition),
    2 => SetMember { member, role },
    3 => RemoveMember { member },
    4 => Retire,
    5 => Restore,
});

impl LibraryStep {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create(_) => "createLibrary",
            Self::Describe(_) => "describeLibrary",
            Self::SetMember { .. } => "setMember",
            Self::RemoveMember { .. } => "removeMember",
            Self::Retire => "retireLibrary",
            Self::Restore => "restoreLibrary",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_written_in_one_way() {
        for text in ["alice", "a.b-c_d", "token:0011223344556677"] {
            let member: Principal = text.parse().unwrap();
            assert_eq!(member.to_string(), text);
        }
        for text in [
            "",
            "Alice",
            "token:",
            "token:alice",
            "user:alice",
            "token:0011",
        ] {
            assert!(text.parse::<Principal>().is_err(), "{text}");
        }
    }
}
