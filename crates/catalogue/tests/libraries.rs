//! Libraries: who may see and change what is decided where commands are applied, on every node alike.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use catalogue::{Need, Outcome, Page, Refusal};
use common::*;
use model::file::Change;
use model::{
    Command, Deed, Digest, LibraryDefinition, LibraryId, LibraryRole, LibraryStep, Payload,
    Principal, Scope, Share, ShareId, ShareStep, Shared, Timestamp, TokenId,
};

const ALICE: TokenId = TokenId([2; 8]);
const BOB: TokenId = TokenId([3; 8]);

fn private() -> LibraryId {
    "private".parse().unwrap()
}

fn by(actor: TokenId, library: LibraryId, payload: Payload) -> Command {
    Command {
        actor,
        library,
        ..command(payload)
    }
}

fn token(token: TokenId, scope: Scope) -> Payload {
    Payload::CreateToken {
        token,
        secret: Digest([token.0[0]; 32]),
        name: "a program".into(),
        scope,
    }
}

fn titled(title: &str, shared: bool) -> LibraryDefinition {
    LibraryDefinition {
        title: title.into(),
        shared,
    }
}

fn create() -> Payload {
    Payload::Library(LibraryStep::Create(titled("Ours", false)))
}

fn set(token: TokenId, role: LibraryRole) -> Payload {
    let member = Principal::Token(token);
    Payload::Library(LibraryStep::SetMember { member, role })
}

fn remove(token: TokenId) -> Payload {
    let member = Principal::Token(token);
    Payload::Library(LibraryStep::RemoveMember { member })
}

/// The administrator owns `private`; Alice and Bob may write at home.
fn filled() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.apply(vec![token(ALICE, Scope::Write), token(BOB, Scope::Write)]);
    let made = one(&mut fixture, ADMIN, create());
    assert_eq!(made, Outcome::LibraryChanged);
    fixture
}

/// One command about the private library.
fn one(fixture: &mut Fixture, actor: TokenId, payload: Payload) -> Outcome {
    let applied = fixture.apply_commands(vec![by(actor, private(), payload)]);
    applied.into_iter().next().unwrap()
}

fn code(outcome: &Outcome) -> Option<Refusal> {
    match outcome {
        Outcome::Refused { code, .. } => Some(*code),
        _ => None,
    }
}

fn title() -> Change {
    Change::Title(Some("t".into()))
}

#[test]
fn a_command_of_a_stranger_finds_no_library_and_one_of_a_viewer_is_not_allowed() {
    let mut fixture = filled();
    one(&mut fixture, ADMIN, new("a").add("x"));
    let edit = || edit("x", None, vec![title()]);
    assert_eq!(
        code(&one(&mut fixture, ALICE, edit())),
        Some(Refusal::LibraryNotFound)
    );
    let nowhere = by(ALICE, "nowhere".parse().unwrap(), edit());
    let nowhere = fixture.apply_commands(vec![nowhere]).pop().unwrap();
    let stranger = one(&mut fixture, ALICE, edit());
    let text = |outcome: &Outcome| format!("{outcome:?}").replace("nowhere", "private");
    assert_eq!(text(&nowhere), text(&stranger));

    one(&mut fixture, ADMIN, set(ALICE, LibraryRole::Viewer));
    assert_eq!(
        code(&one(&mut fixture, ALICE, edit())),
        Some(Refusal::NotAllowed)
    );
    one(&mut fixture, ADMIN, set(ALICE, LibraryRole::Editor));
    assert_eq!(code(&one(&mut fixture, ALICE, edit())), None);
    let purge = Payload::Purge(
        fixture
            .reader()
            .commands_naming(&private(), &id("x"))
            .unwrap(),
    );
    assert_eq!(
        code(&one(&mut fixture, ALICE, purge)),
        Some(Refusal::NotAllowed)
    );
    assert_eq!(
        code(&one(&mut fixture, ALICE, set(BOB, LibraryRole::Owner))),
        Some(Refusal::NotAllowed)
    );
}

#[test]
fn whoever_loses_a_right_changes_nothing_from_the_next_command_on() {
    let mut fixture = filled();
    let add = |content: &str| by(ALICE, private(), new(content).add(content));
    let outcomes = fixture.apply_commands(vec![
        by(ADMIN, private(), set(ALICE, LibraryRole::Editor)),
        add("before"),
        by(ADMIN, private(), remove(ALICE)),
        add("after"),
        command(Payload::RevokeToken { token: BOB }),
        Command {
            actor: BOB,
            ..command(new("late").add("late"))
        },
    ]);
    assert!(matches!(outcomes[1], Outcome::FileAdded { .. }));
    assert_eq!(code(&outcomes[3]), Some(Refusal::LibraryNotFound));
    assert_eq!(code(&outcomes[5]), Some(Refusal::NotAllowed));
    assert_eq!(fixture.reader().stats(&private()).unwrap().files, 1);
}

#[test]
fn an_operation_whose_actor_lost_the_right_ends_without_another_change() {
    let mut fixture = filled();
    let edit = Deed::Edit(vec![title()]);
    fixture.apply_commands(vec![
        by(ADMIN, private(), set(ALICE, LibraryRole::Editor)),
        by(ALICE, private(), new("a").add("x")),
        by(ALICE, private(), new("b").add("y")),
        by(ALICE, private(), begin(1, edit)),
        by(ALICE, private(), take(1, "x")),
        by(ADMIN, private(), remove(ALICE)),
        by(ALICE, private(), take(1, "y")),
        by(ALICE, private(), end(1)),
    ]);
    let reader = fixture.reader();
    let (counts, _) = reader.operation_counts(operation(1)).unwrap();
    assert_eq!(counts, [1, 0, 0, 1]);
    assert_eq!(reader.unfinished_operations().unwrap(), []);
    let kept = reader.file(&private(), &id("y")).unwrap().unwrap();
    assert_eq!(kept.title, None);
}

#[test]
fn a_private_library_keeps_an_owner() {
    let mut fixture = filled();
    let demote = one(&mut fixture, ADMIN, set(ADMIN, LibraryRole::Editor));
    assert_eq!(code(&demote), Some(Refusal::LastOwner));
    assert_eq!(
        code(&one(&mut fixture, ADMIN, remove(ADMIN))),
        Some(Refusal::LastOwner)
    );
    assert_eq!(
        code(&one(&mut fixture, ADMIN, remove(BOB))),
        Some(Refusal::MemberNotFound)
    );
    one(&mut fixture, ADMIN, set(ALICE, LibraryRole::Owner));
    assert_eq!(code(&one(&mut fixture, ADMIN, remove(ADMIN))), None);
    let members = fixture.reader().members(&private()).unwrap();
    assert_eq!(members, [(Principal::Token(ALICE), LibraryRole::Owner)]);

    // The administrator may still manage it, and sees nothing of it.
    let rights = fixture.reader().rights(ADMIN).unwrap().unwrap();
    assert!(rights.meet(&private(), Need::Manage) && !rights.may_read(&private()));
    assert_eq!(
        code(&one(&mut fixture, ADMIN, new("a").add("x"))),
        Some(Refusal::NotAllowed)
    );
    let share = Payload::Library(LibraryStep::Describe(titled("All's", true)));
    assert_eq!(code(&one(&mut fixture, ADMIN, share)), None);
    let history = fixture.reader().library_history(&private()).unwrap();
    let kinds: Vec<&str> = history.iter().map(|change| change.step.kind()).collect();
    assert_eq!(
        kinds,
        [
            "createLibrary",
            "setMember",
            "removeMember",
            "describeLibrary"
        ]
    );
}

#[test]
fn a_token_lets_nobody_in_who_may_more_than_itself() {
    let mut fixture = filled();
    one(&mut fixture, ADMIN, set(ALICE, LibraryRole::Owner));
    one(&mut fixture, ADMIN, remove(ADMIN));
    for scope in [Scope::Read, Scope::Write, Scope::Admin] {
        let made = one(&mut fixture, ADMIN, token(TokenId([9; 8]), scope));
        assert_eq!(code(&made), Some(Refusal::NotAllowed), "{scope:?}");
    }
    let node = fixture.apply_one(token(TokenId::NODE, Scope::Read));
    assert_eq!(code(&node), Some(Refusal::NotAllowed));
}

#[test]
fn a_retired_library_is_as_it_was_once_it_is_restored() {
    let mut fixture = filled();
    one(&mut fixture, ADMIN, new("a").add("x"));
    one(&mut fixture, ADMIN, Payload::Library(LibraryStep::Retire));
    let rights = fixture.reader().rights(ADMIN).unwrap().unwrap();
    assert!(!rights.may_read(&private()) && rights.knows(&private()));
    assert_eq!(
        code(&one(&mut fixture, ADMIN, new("b").add("y"))),
        Some(Refusal::NotAllowed)
    );
    one(&mut fixture, ADMIN, Payload::Library(LibraryStep::Restore));
    let rights = fixture.reader().rights(ADMIN).unwrap().unwrap();
    assert!(rights.may_read(&private()));
    assert_eq!(fixture.reader().stats(&private()).unwrap().files, 1);
    let home = fixture.apply_one(Payload::Library(LibraryStep::Retire));
    assert_eq!(code(&home), Some(Refusal::NotAllowed));
}

#[test]
fn the_same_bytes_in_two_libraries_are_two_files() {
    let mut fixture = filled();
    fixture.apply_one(new("at home").tags(&["h"]).add("x"));
    one(&mut fixture, ADMIN, new("hidden").tags(&["p"]).add("x"));
    let blob = fixture.reader().blob(&id("x")).unwrap().unwrap();
    assert_eq!(blob.libraries, [home(), private()]);
    assert_eq!(fixture.file("x").names, ["at home"]);
    assert_eq!(fixture.names("tag:p"), [""; 0]);
    assert!(fixture.reader().may_read_blob(ALICE, &id("x")).unwrap());

    let commands = fixture.reader().commands_naming(&home(), &id("x")).unwrap();
    fixture.apply_one(Payload::Purge(commands));
    assert_eq!(fixture.reader().file(&home(), &id("x")).unwrap(), None);
    assert!(!fixture.reader().may_read_blob(ALICE, &id("x")).unwrap());
    let kept = fixture
        .reader()
        .file(&private(), &id("x"))
        .unwrap()
        .unwrap();
    assert_eq!((kept.tags, kept.version), (vec!["p".to_owned()], 1));
    assert!(fixture.reader().is_named(&id("x")).unwrap());
    let reader = fixture.reader();
    let query = "tag:p".parse().unwrap();
    let found = reader.search(&private(), &query, &Page::default()).unwrap();
    assert_eq!(found.total, 1);
}

fn share(number: u8, of: Shared) -> Payload {
    Payload::Share(ShareStep::Create {
        share: ShareId([number; 8]),
        definition: Share {
            of,
            title: "for granny".into(),
            secret: Digest([number; 32]),
            password: None,
            expires: Some(Timestamp(START + DAY)),
            download: false,
            places: false,
        },
    })
}

/// Whether the share of this number opens anything at a time.
fn opens(fixture: &Fixture, number: u8, now: u64) -> bool {
    let secret = Digest([number; 32]);
    let asked = fixture
        .reader()
        .with_share(&secret, Timestamp(now), |_, _| Ok(()));
    asked.unwrap().is_some()
}

#[test]
fn a_share_opens_until_it_expires_is_revoked_or_its_maker_may_not_share() {
    let mut fixture = filled();
    fixture.apply_commands(vec![
        by(ADMIN, private(), set(ALICE, LibraryRole::Viewer)),
        by(ALICE, private(), share(9, Shared::Query(String::new()))),
        by(ADMIN, private(), set(ALICE, LibraryRole::Editor)),
        by(ALICE, private(), share(1, Shared::Query("tag:t".into()))),
        by(ALICE, private(), share(2, Shared::Album(album(1)))),
        by(
            ALICE,
            private(),
            Payload::Share(ShareStep::Revoke {
                share: ShareId([2; 8]),
            }),
        ),
    ]);
    assert!(!opens(&fixture, 9, START), "a viewer shares nothing");
    assert!(opens(&fixture, 1, START));
    assert!(!opens(&fixture, 1, START + DAY));
    assert!(!opens(&fixture, 2, START));
    assert_eq!(fixture.reader().shares(&private()).unwrap().len(), 2);
    one(&mut fixture, ADMIN, set(ALICE, LibraryRole::Viewer));
    assert!(!opens(&fixture, 1, START));
    one(&mut fixture, ADMIN, set(ALICE, LibraryRole::Owner));
    assert!(opens(&fixture, 1, START));
    fixture.apply_one(Payload::RevokeToken { token: ALICE });
    assert!(!opens(&fixture, 1, START));
}

#[test]
fn a_share_of_a_file_is_forgotten_with_it() {
    let mut fixture = filled();
    let revoke = || {
        Payload::Share(ShareStep::Revoke {
            share: ShareId([1; 8]),
        })
    };
    fixture.apply(vec![
        new("a").add("x"),
        share(1, Shared::File(id("x"))),
        revoke(),
    ]);
    let naming = fixture.reader().commands_naming(&home(), &id("x")).unwrap();
    assert_eq!(naming.len(), 2, "the upload and the share");
    fixture.apply_one(Payload::Purge(naming.clone()));
    assert!(!opens(&fixture, 1, START));

    // Whoever never had the two comes to the same.
    let mut without = filled();
    let height = without.catalogue.next_height().0;
    let mut block = block(height, vec![revoke()].into_iter().map(command).collect());
    block.commands[0].0 = 2;
    without.catalogue.apply(&[block]).unwrap();
    without.apply_one(Payload::Purge(naming));
    let digest = |fixture: &Fixture| fixture.reader().digest().unwrap();
    assert_eq!(digest(&without), digest(&fixture));
}
