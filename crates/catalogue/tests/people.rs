//! Users, passwords, sessions, and whose a token is.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use catalogue::{Outcome, Refusal, UserState};
use common::*;
use model::access::{PasswordStep, Role, TokenStep, TokenUse, UserStep};
use model::{Command, Digest, Payload, Scope, SecretId, Timestamp, TokenId, UserId};

fn ann() -> UserId {
    "ann".parse().unwrap()
}

fn bob() -> UserId {
    "bob".parse().unwrap()
}

fn create(user: UserId, role: Role) -> Payload {
    let name = user.to_string().to_uppercase();
    Payload::User(UserStep::Create { user, name, role })
}

fn change(user: UserId, name: Option<&str>, role: Option<Role>, disabled: Option<bool>) -> Payload {
    let name = name.map(str::to_owned);
    Payload::User(UserStep::Change {
        user,
        name,
        role,
        disabled,
    })
}

fn password(user: UserId, number: u8) -> Payload {
    Payload::Password(PasswordStep {
        user,
        secret: SecretId([number; 16]),
        hash: format!("$argon2id$hash-{number}"),
    })
}

fn token(number: u8, scope: Scope, owner: Option<UserId>, session: Option<u32>) -> Payload {
    Payload::Token(TokenStep::Create {
        token: TokenId([number; 8]),
        secret: Digest([number; 32]),
        name: format!("token {number}"),
        scope,
        owner,
        expires: None,
        session,
    })
}

fn revoked(fixture: &Fixture, number: u8) -> bool {
    let token = TokenId([number; 8]);
    fixture.reader().token(token).unwrap().unwrap().revoked
}

#[test]
fn a_token_is_its_owners_and_a_users_name_is_given_once() {
    let mut fixture = Fixture::new();
    let made = fixture.apply_one(create(ann(), Role::Editor));
    assert_eq!(made, Outcome::UserChanged { user: ann() });
    let again = fixture.apply_one(create(ann(), Role::Viewer));
    assert_eq!(refusal(&again), Refusal::UserExists);
    let nobodys = fixture.apply_one(token(2, Scope::Read, Some(bob()), None));
    assert_eq!(refusal(&nobodys), Refusal::UserNotFound);
    fixture.apply(vec![
        token(3, Scope::Admin, Some(ann()), None),
        token(4, Scope::Admin, None, None),
    ]);
    let owner = |number| fixture.reader().owner_of(TokenId([number; 8])).unwrap();
    assert_eq!((owner(3), owner(4), owner(9)), (Some(ann()), None, None));
    let known = fixture.reader().user(&ann()).unwrap().unwrap();
    assert_eq!((known.name.as_str(), known.role), ("ANN", Role::Editor));
    assert_eq!(known.scope(), Some(Scope::Write));
    let scope = |number| {
        let token = fixture.reader().token(TokenId([number; 8]));
        token.unwrap().unwrap().scope
    };
    assert_eq!((scope(3), scope(4)), (Scope::Write, Scope::Admin));
    assert_eq!(known.created_by, ADMIN);

    fixture.apply(vec![
        change(ann(), Some("Ann"), None, None),
        Payload::User(UserStep::Remove { user: ann() }),
    ]);
    let known = fixture.reader().user(&ann()).unwrap().unwrap();
    assert_eq!(
        (known.name.as_str(), known.state),
        ("Ann", UserState::Removed)
    );
    assert_eq!(known.scope(), None);
    assert!(revoked(&fixture, 3) && !revoked(&fixture, 4));
    let again = fixture.apply_one(create(ann(), Role::Viewer));
    assert_eq!(refusal(&again), Refusal::UserExists);
    let gone = fixture.apply_one(change(ann(), None, None, Some(false)));
    assert_eq!(refusal(&gone), Refusal::UserNotFound);
    assert_eq!(
        fixture.reader().owner_of(TokenId([3; 8])).unwrap(),
        Some(ann())
    );
}

#[test]
fn the_last_administrator_stays_one() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        create(ann(), Role::Admin),
        create(bob(), Role::Editor),
    ]);
    let appoint = |user, role| change(user, None, Some(role), None);
    let remove = |user| Payload::User(UserStep::Remove { user });
    for step in [
        appoint(ann(), Role::Editor),
        change(ann(), None, None, Some(true)),
        remove(ann()),
    ] {
        let refused = fixture.apply_one(step);
        assert_eq!(refusal(&refused), Refusal::LastAdmin);
    }
    fixture.apply_one(appoint(bob(), Role::Admin));
    fixture.apply_one(change(ann(), None, None, Some(true)));
    assert_eq!(
        refusal(&fixture.apply_one(remove(bob()))),
        Refusal::LastAdmin
    );
    assert_eq!(
        fixture.apply_one(remove(ann())),
        Outcome::UserChanged { user: ann() },
        "who is not let in administers nothing"
    );
}

#[test]
fn a_token_that_administers_for_good_is_always_left() {
    let mut fixture = Fixture::new();
    let revoke = |token| Payload::RevokeToken { token };
    fixture.apply(vec![
        create(ann(), Role::Admin),
        create(bob(), Role::Admin),
        token(2, Scope::Admin, Some(ann()), Some(60)),
    ]);
    let refused = fixture.apply_one(revoke(ADMIN));
    assert_eq!(refusal(&refused), Refusal::LastAdmin, "a session ends");
    fixture.apply(vec![
        token(3, Scope::Admin, Some(ann()), None),
        revoke(ADMIN),
    ]);
    assert!(fixture.reader().token(ADMIN).unwrap().unwrap().revoked);
    let disable = Command {
        actor: TokenId([3; 8]),
        ..command(change(ann(), None, None, Some(true)))
    };
    let disable = fixture.apply_commands(vec![disable]).pop().unwrap();
    assert_eq!(
        refusal(&disable),
        Refusal::LastAdmin,
        "hers is the only token"
    );
    assert!(!revoked(&fixture, 2));
}

#[test]
fn sessions_end_with_their_user_and_tokens_wait() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        create(ann(), Role::Editor),
        token(2, Scope::Write, Some(ann()), Some(60)),
        token(3, Scope::Write, Some(ann()), Some(60)),
        token(4, Scope::Write, Some(ann()), None),
    ]);
    let except = Some(TokenId([3; 8]));
    fixture.apply_one(Payload::User(UserStep::SignOut {
        user: ann(),
        except,
    }));
    assert_eq!(
        [2, 3, 4].map(|n| revoked(&fixture, n)),
        [true, false, false]
    );
    fixture.apply_one(change(ann(), None, None, Some(true)));
    assert_eq!([2, 3, 4].map(|n| revoked(&fixture, n)), [true, true, false]);
    let late = fixture.apply_one(token(5, Scope::Write, Some(ann()), Some(60)));
    assert_eq!(refusal(&late), Refusal::UserNotFound);
    let state = |fixture: &Fixture| fixture.reader().user(&ann()).unwrap().unwrap().state;
    assert_eq!(state(&fixture), UserState::Disabled);
    fixture.apply_one(change(ann(), None, None, Some(false)));
    assert_eq!(state(&fixture), UserState::Active);
}

#[test]
fn a_session_lasts_as_long_as_it_is_used_and_not_longer_than_it_may() {
    let mut fixture = Fixture::new();
    let id = TokenId([2; 8]);
    let known = |fixture: &Fixture| fixture.reader().token(id).unwrap().unwrap();
    fixture.apply(vec![create(ann(), Role::Editor)]);
    let made = fixture.catalogue.next_height().0;
    let made = START + made * SECOND;
    fixture.apply_one(Payload::Token(TokenStep::Create {
        token: id,
        secret: Digest([2; 32]),
        name: "web".into(),
        scope: Scope::Write,
        owner: Some(ann()),
        expires: Some(Timestamp(made + 90 * SECOND)),
        session: Some(60),
    }));
    assert_eq!(known(&fixture).expires, Some(Timestamp(made + 60 * SECOND)));
    assert_eq!(known(&fixture).last_used, None);
    let used = |at| {
        Payload::Token(TokenStep::Used(vec![
            TokenUse {
                token: TokenId([9; 8]),
                at,
            },
            TokenUse { token: id, at },
        ]))
    };
    fixture.apply_one(used(Timestamp(made + SECOND)));
    assert_eq!(known(&fixture).expires, Some(Timestamp(made + 61 * SECOND)));
    fixture.apply_one(used(Timestamp(made)));
    assert_eq!(known(&fixture).last_used, Some(Timestamp(made + SECOND)));
    let height = fixture.catalogue.next_height().0;
    let late = Timestamp(made + 50 * SECOND);
    let clock_ahead = command(used(late.plus(std::time::Duration::from_secs(999))));
    fixture
        .catalogue
        .apply(&[block_at(height, late.0, vec![clock_ahead])])
        .unwrap();
    assert_eq!(
        known(&fixture).last_used,
        Some(late),
        "never later than its block"
    );
    assert_eq!(known(&fixture).expires, Some(Timestamp(made + 90 * SECOND)));
}

/// A life of passwords: set, replaced, set for somebody who is not there, gone with its user, and purged.
fn steps() -> Vec<Vec<Command>> {
    let one = |payload| vec![command(payload)];
    vec![
        one(create(ann(), Role::Admin)),
        one(create(bob(), Role::Admin)),
        one(password(ann(), 1)),
        one(password(bob(), 2)),
        one(password(ann(), 3)),
        vec![
            command(password(ann(), 4)),
            command(password("eve".parse().unwrap(), 5)),
        ],
        one(Payload::User(UserStep::Remove { user: bob() })),
    ]
}

#[test]
fn replaced_passwords_are_purged_and_a_replay_without_them_comes_to_the_same() {
    let mut fixture = Fixture::new();
    for commands in steps() {
        fixture.apply_commands(commands);
    }
    let reader = fixture.reader();
    let hash = |user| reader.password(&user).unwrap();
    assert_eq!(hash(ann()).as_deref(), Some("$argon2id$hash-4"));
    assert_eq!(hash(bob()), None);
    let mut replaced = reader.replaced_passwords(10).unwrap();
    replaced.sort();
    let mut expected: Vec<_> = [1, 2, 3, 5]
        .map(|n| (home(), SecretId([n; 16]).stand_in()))
        .into();
    expected.sort();
    assert_eq!(replaced, expected);
    assert_eq!(reader.replaced_passwords(2).unwrap().len(), 2);

    let late = Timestamp(START + 100 * DAY);
    let due = reader.due(late, late, 10).unwrap();
    let current = SecretId([4; 16]).stand_in();
    assert!(
        due.iter().all(|(_, id)| *id != current),
        "a password in use stays"
    );
    let mut purges = Vec::new();
    for (library, stand_in) in replaced {
        let commands = reader.commands_naming(&library, &stand_in).unwrap();
        assert_eq!(commands.len(), 1);
        purges.push(command(Payload::Purge(commands)));
    }
    fixture.apply_commands(purges.clone());
    assert_eq!(fixture.reader().replaced_passwords(10).unwrap(), []);
    assert_eq!(
        fixture.reader().password(&ann()).unwrap().as_deref(),
        Some("$argon2id$hash-4")
    );
    let digest = fixture.reader().digest().unwrap();

    let erased = [3, 4, 5];
    let mut replay = Fixture::new();
    for (height, commands) in (1..).zip(steps()) {
        let mut commands = commands;
        if erased.contains(&height) {
            commands.clear();
        }
        replay.apply_commands(commands);
    }
    replay.apply_commands(purges);
    assert_eq!(replay.reader().digest().unwrap(), digest);
}
