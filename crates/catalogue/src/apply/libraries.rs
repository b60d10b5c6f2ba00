//! Libraries: made, described, opened to members, retired. What files there are has no say in it, so that it comes out
//! the same where some are forgotten.

use model::codec::Encode as _;
use model::{
    LibraryDefinition, LibraryId, LibraryRole, LibraryStep, Payload, Principal, Scope, TokenId,
    UserId,
};
use rusqlite::{OptionalExtension as _, params};

use super::Applier;
use super::access::NewToken;
use crate::outcome::{Refusal, Verdict};
use crate::people::{self, UserState};
use crate::purge::place;
use crate::rights::{self, Need};
use crate::{Token, access, row, rules};

/// Libraries of one cluster.
const LIBRARIES_MAX: u64 = 10_000;
/// Members of one library.
const MEMBERS_MAX: u64 = 1000;

impl Applier<'_> {
    /// The refusal of a command about a library that is not there, or whose actor may not give it.
    pub(super) fn refused_here(&self) -> rusqlite::Result<Option<Verdict>> {
        let library = &self.command.library;
        let known = "SELECT 1 FROM libraries WHERE library = ?1";
        let founds = matches!(
            self.command.payload,
            Payload::Library(LibraryStep::Create(_))
        );
        if !founds && !row::exists(self.db, known, [library.as_str()])? {
            return Ok(Some(no_library(library)));
        }
        self.refused_actor()
    }

    /// The refusal of a command whose actor may not give it, at this place of the chain. What nodes do by themselves is
    /// refused nobody; that a token's name is not theirs is asked where tokens are made.
    fn refused_actor(&self) -> rusqlite::Result<Option<Verdict>> {
        let need = Need::of(&self.command.payload);
        let actor = self.command.actor;
        if actor == TokenId::NODE || need == Need::Nothing {
            return Ok(None);
        }
        let library = &self.command.library;
        let rights = rights::within(self.db, actor, library)?;
        let Some(rights) = rights else {
            let detail = "the token is not accepted any more";
            return Ok(Some(Verdict::refused(Refusal::NotAllowed, detail)));
        };
        if rights.meet(library, need) || rights.is_about_self(&self.command.payload) {
            return Ok(None);
        }
        Ok(Some(if need == Need::Administer || rights.knows(library) {
            let detail = format!("the token may not do this in library {library}");
            Verdict::refused(Refusal::NotAllowed, detail)
        } else {
            no_library(library)
        }))
    }

    /// Whether the actor may still change the library's files.
    pub(super) fn may_edit(&self, actor: TokenId) -> rusqlite::Result<bool> {
        let library = &self.command.library;
        let rights = rights::within(self.db, actor, library)?;
        Ok(rights.is_some_and(|rights| rights.meet(library, Need::Edit)))
    }

    /// Whether the actor may let somebody into the library with such a token: with no more than they have. A user's token is
    /// worth what its user is, whoever makes it; and a chain that goes on from another begins with a token of nobody's making.
    pub(super) fn may_hand_out(&self, new: &NewToken<'_>) -> rusqlite::Result<bool> {
        if new.owner.is_some() || self.command.actor == TokenId::NODE {
            return Ok(true);
        }
        let library = &self.command.library;
        let rights = rights::within(self.db, self.command.actor, library)?;
        let need = match new.scope {
            Scope::Read => Need::View,
            Scope::Write => Need::Edit,
            Scope::Admin => Need::Own,
        };
        Ok(rights.is_some_and(|rights| rights.meet(library, need)))
    }

    /// Whether the actor may lock a token out: their own, one of theirs, one of a library that they own, or any if they
    /// administer the cluster.
    pub(super) fn may_revoke(&self, token: &Token) -> rusqlite::Result<bool> {
        let actor = self.command.actor;
        if actor == TokenId::NODE || actor == token.id {
            return Ok(true);
        }
        let Some(rights) = rights::within(self.db, actor, &token.library)? else {
            return Ok(false);
        };
        let theirs = |owner: &UserId| rights.holder().principal() == Principal::User(owner.clone());
        Ok(match &token.owner {
            Some(owner) if theirs(owner) => true,
            None if rights.meet(&token.library, Need::Own) => true,
            _ => rights.meet(&token.library, Need::Administer),
        })
    }

    /// Takes one step about the command's library.
    pub(super) fn library_step(&self, step: &LibraryStep) -> rusqlite::Result<Verdict> {
        let refused = match step {
            LibraryStep::Create(definition) => self.create_library(definition)?,
            LibraryStep::Describe(definition) => self.describe_library(definition)?,
            LibraryStep::SetMember { member, role } => self.set_member(member, *role)?,
            LibraryStep::RemoveMember { member } => self.remove_member(member)?,
            LibraryStep::Retire => self.retire_library()?,
            LibraryStep::Restore => {
                self.set_retired(None)?;
                None
            }
        };
        if let Some(refused) = refused {
            return Ok(refused);
        }
        let (height, index) = place(self.position);
        self.db
            .prepare_cached(
                "INSERT INTO library_history(library, height, idx, time, actor, step)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                self.command.library.as_str(),
                height,
                index,
                self.time.0.cast_signed(),
                self.command.actor.as_bytes(),
                step.to_bytes(),
            ])?;
        Ok(Verdict::LibraryChanged)
    }

    fn create_library(&self, definition: &LibraryDefinition) -> rusqlite::Result<Option<Verdict>> {
        if let Err(error) = rules::check_name(&definition.title) {
            return Ok(Some(Verdict::refused(Refusal::InvalidMetadata, error)));
        }
        let library = &self.command.library;
        let known = "SELECT 1 FROM libraries WHERE library = ?1";
        if row::exists(self.db, known, [library.as_str()])? {
            let detail = "a library of that name cannot be made; try again";
            return Ok(Some(Verdict::refused(Refusal::LibraryExists, detail)));
        }
        if self.count("SELECT count(*) FROM libraries WHERE ?1 = ?1")? >= LIBRARIES_MAX {
            let detail = format!("a cluster has at most {LIBRARIES_MAX} libraries");
            return Ok(Some(Verdict::refused(Refusal::InvalidMetadata, detail)));
        }
        self.insert_library(library, definition)?;
        let actor = self.command.actor;
        if let Some(rights) = rights::within(self.db, actor, library)? {
            self.put_member(&rights.holder().principal(), LibraryRole::Owner)?;
        }
        Ok(None)
    }

    pub(super) fn insert_library(
        &self,
        library: &LibraryId,
        definition: &LibraryDefinition,
    ) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "INSERT INTO libraries(library, created, title, shared) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                library.as_str(),
                self.time.0.cast_signed(),
                definition.title,
                definition.shared,
            ])?;
        Ok(())
    }

    fn describe_library(
        &self,
        definition: &LibraryDefinition,
    ) -> rusqlite::Result<Option<Verdict>> {
        if let Err(error) = rules::check_name(&definition.title) {
            return Ok(Some(Verdict::refused(Refusal::InvalidMetadata, error)));
        }
        let library = &self.command.library;
        if !definition.shared && self.owners_but(None)? == 0 {
            return Ok(Some(last_owner()));
        }
        self.db
            .prepare_cached("UPDATE libraries SET title = ?2, shared = ?3 WHERE library = ?1")?
            .execute(params![
                library.as_str(),
                definition.title,
                definition.shared
            ])?;
        Ok(None)
    }

    fn set_member(
        &self,
        member: &Principal,
        role: LibraryRole,
    ) -> rusqlite::Result<Option<Verdict>> {
        if let Principal::Token(token) = member
            && access::token(self.db, *token)?.is_none_or(|token| token.revoked)
        {
            let detail = format!("there is no token {token}");
            return Ok(Some(Verdict::refused(Refusal::TokenNotFound, detail)));
        }
        if let Principal::User(user) = member
            && people::user(self.db, user)?.is_none_or(|user| user.state == UserState::Removed)
        {
            let detail = format!("there is no user {user}");
            return Ok(Some(Verdict::refused(Refusal::UserNotFound, detail)));
        }
        if role < LibraryRole::Owner && self.is_last_owner(member)? {
            return Ok(Some(last_owner()));
        }
        let members = self.count("SELECT count(*) FROM members WHERE library = ?1")?;
        if members >= MEMBERS_MAX && self.role_of_member(member)?.is_none() {
            let detail = format!("a library has at most {MEMBERS_MAX} members");
            return Ok(Some(Verdict::refused(Refusal::InvalidMetadata, detail)));
        }
        self.put_member(member, role)?;
        Ok(None)
    }

    fn put_member(&self, member: &Principal, role: LibraryRole) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO members(library, member, role) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![
                self.command.library.as_str(),
                member.to_string(),
                role as u8
            ])?;
        Ok(())
    }

    fn remove_member(&self, member: &Principal) -> rusqlite::Result<Option<Verdict>> {
        if self.is_last_owner(member)? {
            return Ok(Some(last_owner()));
        }
        let gone = self
            .db
            .prepare_cached("DELETE FROM members WHERE library = ?1 AND member = ?2")?
            .execute((self.command.library.as_str(), member.to_string()))?;
        let detail = "nobody of that name is a member";
        Ok((gone == 0).then(|| Verdict::refused(Refusal::MemberNotFound, detail)))
    }

    /// A shared library has the administrators as owners anyway; of a private one somebody stays the owner.
    fn is_last_owner(&self, member: &Principal) -> rusqlite::Result<bool> {
        let private = "SELECT 1 FROM libraries WHERE library = ?1 AND shared = 0";
        if !row::exists(self.db, private, [self.command.library.as_str()])? {
            return Ok(false);
        }
        let is_owner = self.role_of_member(member)? == Some(LibraryRole::Owner);
        Ok(is_owner && self.owners_but(Some(member))? == 0)
    }

    fn owners_but(&self, member: Option<&Principal>) -> rusqlite::Result<u64> {
        let member = member.map(ToString::to_string).unwrap_or_default();
        self.db
            .prepare_cached(
                "SELECT count(*) FROM members WHERE library = ?1 AND role = ?2 AND member <> ?3",
            )?
            .query_row(
                params![
                    self.command.library.as_str(),
                    LibraryRole::Owner as u8,
                    member
                ],
                |found| row::number(found, 0),
            )
    }

    fn role_of_member(&self, member: &Principal) -> rusqlite::Result<Option<LibraryRole>> {
        let role: Option<u8> = self
            .db
            .prepare_cached("SELECT role FROM members WHERE library = ?1 AND member = ?2")?
            .query_row(
                (self.command.library.as_str(), member.to_string()),
                |found| found.get(0),
            )
            .optional()?;
        Ok(role.map(rights::role_of))
    }

    fn retire_library(&self) -> rusqlite::Result<Option<Verdict>> {
        if self.command.library == LibraryId::home() {
            let detail = "the first library stays";
            return Ok(Some(Verdict::refused(Refusal::NotAllowed, detail)));
        }
        self.set_retired(Some(self.time.0.cast_signed()))?;
        Ok(None)
    }

    fn set_retired(&self, at: Option<i64>) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("UPDATE libraries SET retired = ?2 WHERE library = ?1")?
            .execute(params![self.command.library.as_str(), at])?;
        Ok(())
    }

    fn count(&self, sql: &str) -> rusqlite::Result<u64> {
        self.db
            .prepare_cached(sql)?
            .query_row([self.command.library.as_str()], |found| {
                row::number(found, 0)
            })
    }
}

/// What is said of a library that does not exist, and of one that is not the actor's to know of.
fn no_library(library: &LibraryId) -> Verdict {
    let detail = format!("there is no library {library}");
    Verdict::refused(Refusal::LibraryNotFound, detail)
}

fn last_owner() -> Verdict {
    let detail = "a private library keeps an owner; make somebody else one first";
    Verdict::refused(Refusal::LastOwner, detail)
}
