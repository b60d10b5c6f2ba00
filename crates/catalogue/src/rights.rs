//! Who may do what: the one place that decides it.
//!
//! Whoever acts shows a token. A token that is nobody's has a library of its own and may do there what its scope says. A
//! token of a user is worth what its user is: in a shared library the role that the cluster gives the user, in any library
//! the role of the user's membership, whichever is more, and never more than the token's scope. So the answer is a
//! function of four things that stand in the ledger (the token, its user, the library, the membership), and every node
//! gives the same. It is asked twice: when a call arrives, so that nothing is shown that may not be seen, and when a
//! command is applied, so that whoever has lost a right meanwhile changes nothing.
//!
//! A library that somebody may not see and one that does not exist are the same to them.

use std::collections::BTreeMap;

use model::{
    LibraryId, LibraryRole, LibraryStep, Payload, Principal, Role, Scope, TokenId, TokenStep,
    UserId, UserStep,
};
use rusqlite::{Connection, Params, Row};

use crate::people;
use crate::reader::{ReadError, Reader};
use crate::{access, row};

/// What a command, or a call, takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A token that is accepted.
    Nothing,
    /// Seeing the library.
    View,
    /// Changing files, tags and albums of the library.
    Edit,
    /// Defining fields of the library, and purging.
    Own,
    /// Saying what the library is and who is in it.
    Manage,
    /// Making a library.
    Found,
    /// Administering the cluster.
    Administer,
}

impl Need {
    /// What it takes to give a command.
    pub fn of(payload: &Payload) -> Self {
        match payload {
            // What the ledger alone is about is decided there. Steps that say how far something is are taken by the node
            // that does it, and are looked at one by one.
            Payload::Genesis { .. }
            | Payload::Record(_)
            | Payload::Roster(_)
            | Payload::Succession { .. }
            | Payload::Erased { .. }
            | Payload::Snapshot(_) => Self::Nothing,
            // People change their own password and make tokens of their own; whose they are is asked where they are applied.
            Payload::Token(TokenStep::Create { owner: None, .. }) => Self::Administer,
            Payload::Password(_) | Payload::Token(_) => Self::Nothing,
            Payload::Bulk(step) if !step.begins() => Self::Nothing,
            Payload::PutBlob { .. }
            | Payload::AddFile { .. }
            | Payload::EditFile { .. }
            | Payload::SetState { .. }
            | Payload::Upload(_)
            | Payload::Media(_)
            | Payload::Album(_)
            | Payload::Edit { .. }
            | Payload::RenameTag { .. }
            | Payload::Carry { .. }
            | Payload::Bulk(_)
            | Payload::Share(_) => Self::Edit,
            Payload::Purge(_) | Payload::Field(_) => Self::Own,
            Payload::Library(LibraryStep::Create(_)) => Self::Found,
            Payload::Library(_) => Self::Manage,
            Payload::CreateToken { .. }
            | Payload::User(_)
            | Payload::Originals(_)
            | Payload::Prune(_) => Self::Administer,
            // Also whoever a token is of.
            Payload::RevokeToken { .. } => Self::Nothing,
        }
    }
}

/// Whether a command may change what somebody may do, or for how long: a session that is used lasts.
pub fn are_changed_by(payload: &Payload) -> bool {
    matches!(
        payload,
        Payload::Genesis { .. }
            | Payload::CreateToken { .. }
            | Payload::RevokeToken { .. }
            | Payload::User(_)
            | Payload::Token(_)
            | Payload::Library(_)
    )
}

/// Whoever acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The token shown.
    pub token: TokenId,
    /// What it may do.
    pub scope: Scope,
    /// The library that its calls are about unless they say otherwise.
    pub library: LibraryId,
    /// Whose it is, and what they are in the cluster: a viewer, an editor, or as its owner an administrator.
    pub user: Option<(UserId, LibraryRole)>,
}

impl Holder {
    /// As whom libraries know them.
    pub fn principal(&self) -> Principal {
        match &self.user {
            Some((user, _)) => Principal::User(user.clone()),
            None => Principal::Token(self.token),
        }
    }

    /// Whether they administer the cluster. What is in libraries is another matter.
    pub fn administers(&self) -> bool {
        let user = self.user.as_ref();
        self.scope == Scope::Admin && user.is_none_or(|(_, role)| *role == LibraryRole::Owner)
    }

    /// Whether the token has all the power of its holder, and not only what a scanner or an uploader is given.
    fn is_whole(&self) -> bool {
        match &self.user {
            None => self.scope == Scope::Admin,
            Some((_, role)) => self.scope >= Scope::Write && self.scope >= scope_of(*role),
        }
    }

    /// The role in a library: whether it is shared, and the role of their membership in it if they have one.
    pub fn role(
        &self,
        library: &LibraryId,
        shared: bool,
        member: Option<LibraryRole>,
    ) -> Option<LibraryRole> {
        let given = match &self.user {
            Some((_, role)) => shared.then_some(*role),
            None => (self.library == *library).then_some(role_of_scope(self.scope)),
        };
        let role = given.max(member)?;
        Some(if self.scope == Scope::Read {
            LibraryRole::Viewer
        } else {
            role
        })
    }
}

/// What a scope is in a token's own library.
fn role_of_scope(scope: Scope) -> LibraryRole {
    match scope {
        Scope::Read => LibraryRole::Viewer,
        Scope::Write => LibraryRole::Editor,
        Scope::Admin => LibraryRole::Owner,
    }
}

/// The most that a token of a user can have.
fn scope_of(role: LibraryRole) -> Scope {
    match role {
        LibraryRole::Viewer => Scope::Read,
        LibraryRole::Editor => Scope::Write,
        LibraryRole::Owner => Scope::Admin,
    }
}

/// A role in a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seat {
    role: LibraryRole,
    retired: bool,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    holder: Holder,
    seats: BTreeMap<LibraryId, Seat>,
}

impl Rights {
    /// Of somebody whom no library admits.
    pub fn nowhere(holder: Holder) -> Self {
        let seats = BTreeMap::new();
        Self { holder, seats }
    }

    /// Who it is.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The role in a library that can be looked at; nothing if it is not theirs to see.
    pub fn role(&self, library: &LibraryId) -> Option<LibraryRole> {
        let seat = self.seats.get(library).filter(|seat| !seat.retired);
        seat.map(|seat| seat.role)
    }

    /// Whether they may see a library.
    pub fn may_read(&self, library: &LibraryId) -> bool {
        self.role(library).is_some()
    }

    /// Whether they own a library, retired or not.
    pub fn owns(&self, library: &LibraryId) -> bool {
        let seat = self.seats.get(library);
        seat.is_some_and(|seat| seat.role == LibraryRole::Owner)
    }

    /// Whether they may know that a library exists, retired or not: who may see it or could restore it.
    pub fn knows(&self, library: &LibraryId) -> bool {
        self.may_read(library) || self.owns(library) || self.holder.administers()
    }

    /// Whether a command is about nobody but themselves: everybody says what they are called, and signs themselves out.
    pub(crate) fn is_about_self(&self, payload: &Payload) -> bool {
        let harmless = matches!(
            payload,
            Payload::User(
                UserStep::SignOut { .. }
                    | UserStep::Change {
                        role: None,
                        disabled: None,
                        ..
                    }
            )
        );
        match (payload, &self.holder.user) {
            (Payload::User(step), Some((user, _))) => harmless && step.user() == user,
            _ => false,
        }
    }

    /// Whether they have what something takes.
    pub fn meet(&self, library: &LibraryId, need: Need) -> bool {
        let Holder { scope, user, .. } = &self.holder;
        let role = self.role(library);
        match need {
            Need::Nothing => true,
            Need::View => role.is_some(),
            Need::Edit => *scope >= Scope::Write && role >= Some(LibraryRole::Editor),
            Need::Own => self.holder.is_whole() && role == Some(LibraryRole::Owner),
            Need::Manage => {
                self.holder.administers() || self.holder.is_whole() && self.owns(library)
            }
            Need::Found => match user {
                Some((_, role)) => *scope >= Scope::Write && *role >= LibraryRole::Editor,
                None => *scope == Scope::Admin,
            },
            Need::Administer => self.holder.administers(),
        }
    }
}

const SEATS: &str = "SELECT l.library, l.shared, l.retired, m.role FROM libraries AS l
    LEFT JOIN members AS m ON m.library = l.library AND m.member = ?1";

/// What a token may do; nothing if it is not accepted.
pub(crate) fn of(db: &Connection, token: TokenId) -> rusqlite::Result<Option<Rights>> {
    let Some(holder) = holder(db, token)? else {
        return Ok(None);
    };
    let member = holder.principal().to_string();
    seats(db, holder, SEATS, [member]).map(Some)
}

/// What a token may do in one library; nothing if it is not accepted.
pub(crate) fn within(
    db: &Connection,
    token: TokenId,
    library: &LibraryId,
) -> rusqlite::Result<Option<Rights>> {
    let Some(holder) = holder(db, token)? else {
        return Ok(None);
    };
    seats_within(db, holder, library).map(Some)
}

impl Reader {
    /// What a token may do; nothing if it is not accepted.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn rights(&self, token: TokenId) -> Result<Option<Rights>, ReadError> {
        self.at_one_height(|reader| Ok(of(reader.connection(), token)?))
    }

    /// Whether a token has put a blob or may read a file that consists of it.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn may_read_blob(&self, token: TokenId, blob: &model::BlobId) -> Result<bool, ReadError> {
        Ok(may_read_blob(self.connection(), token, blob)?)
    }
}

/// The role in a library of whom it admits, with all that is theirs.
pub(crate) fn role_of_principal(
    db: &Connection,
    principal: &Principal,
    library: &LibraryId,
) -> rusqlite::Result<Option<LibraryRole>> {
    let rights = match principal {
        Principal::Token(token) => within(db, *token, library)?,
        Principal::User(user) => match of_user(db, TokenId::NODE, Scope::Admin, user)? {
            Some(holder) => Some(seats_within(db, holder, library)?),
            None => None,
        },
    };
    Ok(rights.and_then(|rights| rights.role(library)))
}

/// Whether a token has put a blob or may read a file that consists of it.
pub(crate) fn may_read_blob(
    db: &Connection,
    token: TokenId,
    blob: &model::BlobId,
) -> rusqlite::Result<bool> {
    let put = "SELECT 1 FROM puts WHERE blob = ?1 AND token = ?2";
    if row::exists(db, put, (blob.as_bytes(), token.as_bytes()))? {
        return Ok(true);
    }
    let mut named = db.prepare_cached("SELECT library FROM files WHERE file = ?1")?;
    let mut named = named.query([blob.as_bytes()])?;
    while let Some(file) = named.next()? {
        let library = row::parsed(file, 0)?;
        let rights = within(db, token, &library)?;
        if rights.is_some_and(|rights| rights.may_read(&library)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holder(db: &Connection, token: TokenId) -> rusqlite::Result<Option<Holder>> {
    let known = access::token(db, token)?.filter(|known| !known.revoked);
    let Some(known) = known else { return Ok(None) };
    let (scope, library) = (known.scope, known.library);
    let holder = match &known.owner {
        Some(user) => of_user(db, token, scope, user)?,
        None => Some(Holder {
            token,
            scope,
            library: LibraryId::home(),
            user: None,
        }),
    };
    Ok(holder.map(|holder| Holder { library, ..holder }))
}

/// A user who is let in, with a token of theirs that is never worth more than they are.
fn of_user(
    db: &Connection,
    token: TokenId,
    scope: Scope,
    user: &UserId,
) -> rusqlite::Result<Option<Holder>> {
    let known = people::user(db, user)?;
    let let_in = known.and_then(|known| Some((known.scope()?, known.role)));
    Ok(let_in.map(|(most, role)| Holder {
        token,
        scope: scope.min(most),
        library: LibraryId::home(),
        user: Some((user.clone(), in_shared(role))),
    }))
}

/// What a user is in a library that is shared with all.
fn in_shared(role: Role) -> LibraryRole {
    match role {
        Role::Viewer => LibraryRole::Viewer,
        Role::Editor => LibraryRole::Editor,
        Role::Admin => LibraryRole::Owner,
    }
}

fn seats_within(db: &Connection, holder: Holder, library: &LibraryId) -> rusqlite::Result<Rights> {
    let member = holder.principal().to_string();
    let one = format!("{SEATS} WHERE l.library = ?2");
    seats(db, holder, &one, [&member, library.as_str()])
}

fn seats(
    db: &Connection,
    holder: Holder,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<Rights> {
    let mut rights = Rights::nowhere(holder);
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query(params)?;
    while let Some(found) = rows.next()? {
        let library: LibraryId = row::parsed(found, 0)?;
        let retired: Option<i64> = found.get(2)?;
        let (shared, member) = (found.get(1)?, member_role(found, 3)?);
        if let Some(role) = rights.holder.role(&library, shared, member) {
            let retired = retired.is_some();
            rights.seats.insert(library, Seat { role, retired });
        }
    }
    Ok(rights)
}

/// A role in a column that may be empty.
fn member_role(found: &Row<'_>, column: usize) -> rusqlite::Result<Option<LibraryRole>> {
    let number: Option<u8> = found.get(column)?;
    Ok(number.map(role_of))
}

/// A role as it is stored.
pub(crate) fn role_of(number: u8) -> LibraryRole {
    match number {
        0 => LibraryRole::Viewer,
        1 => LibraryRole::Editor,
        _ => LibraryRole::Owner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(scope: Scope, user: Option<LibraryRole>) -> Holder {
        Holder {
            token: TokenId([1; 8]),
            scope,
            library: LibraryId::home(),
            user: user.map(|role| ("alice".parse().unwrap(), role)),
        }
    }

    fn private() -> LibraryId {
        "private".parse().unwrap()
    }

    /// Rights in the library `private` alone.
    fn rights(
        scope: Scope,
        user: Option<LibraryRole>,
        shared: bool,
        member: Option<LibraryRole>,
    ) -> Rights {
        let holder = holder(scope, user);
        let role = holder.role(&private(), shared, member);
        let seat = role.map(|role| {
            (
                private(),
                Seat {
                    role,
                    retired: false,
                },
            )
        });
        Rights {
            seats: seat.into_iter().collect(),
            holder,
        }
    }

    #[test]
    fn a_token_of_nobody_may_in_its_own_library_what_its_scope_says() {
        let home = LibraryId::home();
        for (scope, role) in [
            (Scope::Read, LibraryRole::Viewer),
            (Scope::Write, LibraryRole::Editor),
            (Scope::Admin, LibraryRole::Owner),
        ] {
            for shared in [false, true] {
                let holder = holder(scope, None);
                assert_eq!(holder.role(&home, shared, None), Some(role));
                assert_eq!(holder.role(&private(), shared, None), None);
            }
        }
    }

    #[test]
    fn a_user_may_what_cluster_or_membership_gives_and_the_scope_allows() {
        let (viewer, editor, owner) =
            (LibraryRole::Viewer, LibraryRole::Editor, LibraryRole::Owner);
        for (scope, user, shared, member, role) in [
            (Scope::Admin, owner, false, None, None),
            (Scope::Admin, owner, true, None, Some(owner)),
            (Scope::Write, viewer, true, None, Some(viewer)),
            (Scope::Write, viewer, true, Some(editor), Some(editor)),
            (Scope::Write, editor, true, Some(viewer), Some(editor)),
            (Scope::Write, viewer, false, Some(owner), Some(owner)),
            (Scope::Read, owner, true, Some(owner), Some(viewer)),
        ] {
            let found = holder(scope, Some(user)).role(&private(), shared, member);
            assert_eq!(found, role, "{scope:?} {user:?} {shared} {member:?}");
        }
    }

    #[test]
    fn an_administrator_manages_a_private_library_and_sees_nothing_of_it() {
        for admin in [
            rights(Scope::Admin, None, false, None),
            rights(Scope::Admin, Some(LibraryRole::Owner), false, None),
        ] {
            assert!(admin.meet(&private(), Need::Manage) && admin.knows(&private()));
            for need in [Need::View, Need::Edit, Need::Own] {
                assert!(!admin.meet(&private(), need), "{need:?}");
            }
        }
        let other = rights(Scope::Admin, Some(LibraryRole::Editor), false, None);
        assert!(!other.meet(&private(), Need::Manage) && !other.knows(&private()));
        assert!(!other.meet(&private(), Need::Administer));
    }

    #[test]
    fn every_role_and_scope_may_what_it_is_there_for() {
        use Need::{Edit, Found, Manage, Own, View};
        let needs = [View, Edit, Own, Manage, Found];
        for (scope, member, expected) in [
            (
                Scope::Read,
                LibraryRole::Owner,
                [true, false, false, false, false],
            ),
            (
                Scope::Write,
                LibraryRole::Viewer,
                [true, false, false, false, true],
            ),
            (
                Scope::Write,
                LibraryRole::Editor,
                [true, true, false, false, true],
            ),
            (
                Scope::Write,
                LibraryRole::Owner,
                [true, true, true, true, true],
            ),
        ] {
            let rights = rights(scope, Some(LibraryRole::Editor), false, Some(member));
            let met = needs.map(|need| rights.meet(&private(), need));
            assert_eq!(met, expected, "{scope:?} {member:?}");
        }
    }

    #[test]
    fn a_token_with_less_than_its_users_power_purges_nothing() {
        let admin = Some(LibraryRole::Owner);
        let uploader = rights(Scope::Write, admin, true, admin);
        assert!(uploader.meet(&private(), Need::Edit));
        for need in [Need::Own, Need::Manage, Need::Administer] {
            assert!(!uploader.meet(&private(), need), "{need:?}");
        }
        let session = rights(Scope::Admin, admin, true, None);
        assert!(session.meet(&private(), Need::Own));
    }

    #[test]
    fn a_retired_library_is_its_owners_to_restore_and_nobodys_to_see() {
        let mut owner = rights(Scope::Admin, None, false, Some(LibraryRole::Owner));
        for seat in owner.seats.values_mut() {
            seat.retired = true;
        }
        assert!(owner.meet(&private(), Need::Manage) && owner.knows(&private()));
        for need in [Need::View, Need::Edit, Need::Own] {
            assert!(!owner.meet(&private(), need), "{need:?}");
        }
    }
}
