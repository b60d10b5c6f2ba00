//! Files are forgotten, and whoever reads a chain in which they are erased comes to the same catalogue.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use catalogue::{BlockInput, Mention, Outcome, Page, Refusal, empty_journal};
use common::*;
use model::file::{Change, State};
use model::{
    AlbumStep, BlobId, BulkStep, Command, Deed, Erasure, FieldKind, NodeId, Payload, Position,
    Timestamp,
};

const SECRET: &str = "unmistakable7f3a91";
const NEVER: Timestamp = Timestamp(0);

/// What a purge of the file has to name now.
fn naming(fixture: &Fixture, content: &str) -> Vec<Erasure> {
    fixture
        .reader()
        .commands_naming(&home(), &id(content))
        .unwrap()
}

fn purge(fixture: &mut Fixture, content: &str) -> Outcome {
    let commands = naming(fixture, content);
    fixture.apply_one(Payload::Purge(commands))
}

fn filled() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("kept")
            .tags(&["t"])
            .taken("2020-01-01T10:00:00")
            .add("kept"),
        new(SECRET)
            .tags(&[SECRET])
            .taken("2020-01-01T10:00:00")
            .place(50.0, 1.0)
            .add("gone"),
        new("also kept")
            .tags(&["t"])
            .taken("2020-01-01T10:00:00")
            .add("also"),
    ]);
    let secret = Change::Description(Some(format!("a {SECRET} b")));
    fixture.apply_commands(vec![
        keyed("k1", edit("gone", Some(1), vec![secret.clone()])),
        keyed(
            "k2",
            edit("gone", Some(1), vec![Change::Title(Some(SECRET.into()))]),
        ),
        command(edit(
            "kept",
            None,
            vec![Change::Title(Some("a title".into()))],
        )),
    ]);
    fixture.apply(vec![
        set_state("gone", State::Trashed),
        Payload::PutBlob {
            blob: id("gone"),
            size: 4,
        },
    ]);
    fixture
}

#[test]
fn a_purged_file_is_gone_from_every_answer() {
    let mut fixture = filled();
    let places: Vec<Position> = naming(&fixture, "gone")
        .iter()
        .map(|e| e.position)
        .collect();
    assert_eq!(places, [at(1, 1), at(2, 0), at(2, 1), at(3, 0), at(3, 1)]);
    let Outcome::Purged {
        height: 4,
        index: 0,
    } = purge(&mut fixture, "gone")
    else {
        panic!("not purged");
    };
    let reader = fixture.reader();
    assert_eq!(reader.file(&home(), &id("gone")).unwrap(), None);
    assert!(reader.history(&home(), &id("gone")).unwrap().is_empty());
    assert_eq!(reader.blob(&id("gone")).unwrap(), None);
    assert_eq!(reader.outcome(at(2, 0)).unwrap(), None);
    assert_eq!(fixture.names(&format!("{SECRET}*")), [""; 0]);
    assert_eq!(fixture.search("in:trash", &Page::default()).total, 0);
    assert_eq!(fixture.names("tag:t"), ["also kept", "kept"]);
    assert_eq!(reader.remains().unwrap(), [(id("gone"), at(4, 0))]);
    let edited = fixture.apply_one(edit("gone", None, vec![Change::Title(None)]));
    assert!(matches!(
        edited,
        Outcome::Refused {
            code: Refusal::FileNotFound,
            ..
        }
    ));
}

#[test]
fn nothing_of_a_purged_file_stays_in_the_database() {
    let mut fixture = filled();
    // Enough of it that pages are split and joined.
    let many = |n: u32| {
        new(&format!("{SECRET} {n}"))
            .tags(&[SECRET])
            .add(&format!("g{n}"))
    };
    fixture.apply((0..60).map(many).collect());
    let commands = (0..60).map(|n| set_state(&format!("g{n}"), State::Trashed));
    fixture.apply(commands.collect());
    for n in 0..60 {
        purge(&mut fixture, &format!("g{n}"));
    }
    purge(&mut fixture, "gone");
    let owner = NodeId([9; 32]);
    fixture.catalogue.belongs_to(owner);
    let purges = fixture.reader().purges(Some(owner)).unwrap();
    assert_eq!(purges.len(), 61);
    let erased = |purge: &catalogue::Purge| Payload::Erased {
        purge: purge.position,
        node: owner,
    };
    fixture.apply(purges.iter().map(erased).collect());
    assert_eq!(fixture.reader().purges(Some(owner)).unwrap(), []);
    assert!(empty_journal(&fixture.path()).unwrap());
    let hashes: Vec<BlobId> = (0..60)
        .map(|n| id(&format!("g{n}")))
        .chain([id("gone")])
        .collect();
    for entry in std::fs::read_dir(fixture.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
        assert!(!holds(SECRET.as_bytes()), "{path:?}");
        for hash in &hashes {
            assert!(!holds(&hash.0), "{path:?}");
        }
    }
}

#[test]
fn a_file_that_was_named_again_meanwhile_is_not_purged() {
    for meanwhile in [
        set_state("gone", State::Live),
        edit("gone", None, vec![Change::Title(Some("new".into()))]),
        Payload::PutBlob {
            blob: id("gone"),
            size: 4,
        },
    ] {
        let mut fixture = filled();
        let commands = naming(&fixture, "gone");
        fixture.apply_one(meanwhile.clone());
        let outcome = fixture.apply_one(Payload::Purge(commands.clone()));
        assert!(
            matches!(
                outcome,
                Outcome::Refused {
                    code: Refusal::StalePurge,
                    ..
                }
            ),
            "{outcome:?}"
        );
        // In the same block, before it, as well.
        let mut fixture = filled();
        let outcome = fixture
            .apply(vec![meanwhile, Payload::Purge(commands)])
            .pop()
            .unwrap();
        assert!(
            matches!(
                outcome,
                Outcome::Refused {
                    code: Refusal::StalePurge,
                    ..
                }
            ),
            "{outcome:?}"
        );
        assert_eq!(fixture.reader().purges(None).unwrap(), []);
    }
}

#[test]
fn a_purge_that_is_decided_twice_counts_once() {
    let mut fixture = filled();
    let commands = naming(&fixture, "gone");
    let twice = vec![Payload::Purge(commands.clone()), Payload::Purge(commands)];
    let outcomes = fixture.apply(twice);
    let purged = Outcome::Purged {
        height: 4,
        index: 0,
    };
    assert_eq!(outcomes, [purged.clone(), purged]);
    assert_eq!(fixture.reader().purges(None).unwrap().len(), 1);
}

#[test]
fn a_purge_names_the_commands_of_one_file_as_they_are() {
    let mut fixture = filled();
    let gone = naming(&fixture, "gone");
    let kept = naming(&fixture, "kept");
    let mut both = [gone.clone(), kept].concat();
    both.sort_unstable();
    let mut other = gone.clone();
    other[0].actor.0[0] ^= 1;
    let mut late = gone;
    late[4].position = at(9, 0);
    for commands in [both, other, late, vec![]] {
        let outcome = fixture.apply_one(Payload::Purge(commands));
        assert!(
            matches!(
                outcome,
                Outcome::Refused {
                    code: Refusal::InvalidPurge,
                    ..
                }
            ),
            "{outcome:?}"
        );
    }
}

#[test]
fn what_lies_in_the_trash_or_names_no_file_comes_due() {
    let mut fixture = filled();
    fixture.apply_one(edit("nothing", None, vec![]));
    let due = |fixture: &Fixture, trashed, named| fixture.reader().due(trashed, named, 9).unwrap();
    let later = |height: u64| Timestamp(START + height * SECOND + 1);
    assert_eq!(due(&fixture, later(2), NEVER), []);
    assert_eq!(due(&fixture, later(3), NEVER), [(home(), id("gone"))]);
    assert_eq!(due(&fixture, NEVER, later(3)), []);
    assert_eq!(due(&fixture, NEVER, later(4)), [(home(), id("nothing"))]);
    purge(&mut fixture, "nothing");
    purge(&mut fixture, "gone");
    assert_eq!(due(&fixture, later(9), later(9)), []);
}

/// What a node applies that finds these commands erased.
fn without(blocks: &[BlockInput], erased: impl Fn(Position) -> bool) -> Vec<BlockInput> {
    let mut blocks = blocks.to_vec();
    for block in &mut blocks {
        let height = block.height;
        let stays = |index: u32| !erased(Position { height, index });
        block.commands.retain(|(index, _)| stays(*index));
        block.mentions.retain(|mention| stays(mention.index));
    }
    blocks
}

/// Files that tell of themselves, and what is learnt of their pictures.
fn any_picture(kind: u64, file: &str, below: &mut impl FnMut(u64) -> u64) -> Payload {
    match kind {
        19 => {
            let needs = (below(2) == 0).then_some("libheif");
            described(file, Some(below(3)), needs)
        }
        20 => look(file, (below(2) == 0).then_some("cut off")),
        _ => preview(["p", "q"][below(2) as usize], file),
    }
}

/// What another library says of a file.
fn any_carried(file: &str, below: &mut impl FnMut(u64) -> u64) -> Payload {
    let mut carried = said();
    carried.name = format!("c{}", below(3));
    carried.own.clear();
    carried.albums = vec![(album(below(4)), 1 + below(3))];
    carry(file, carried)
}

/// People's own words: fields, tags, operations and albums.
fn any_word(kind: u64, file: &str, below: &mut impl FnMut(u64) -> u64) -> Payload {
    match kind {
        8 => define("price", FieldKind::Integer),
        9 => Payload::RenameTag {
            from: ["t", "u", "t/v"][below(3) as usize].into(),
            to: ["t", "u", "t/v"][below(3) as usize].into(),
        },
        10 => own_edit(file, below(100).cast_signed(), below(2) == 0),
        11 => begin(
            below(3),
            Deed::Edit(vec![Change::AddTag("bulk".into()), Change::Rating(Some(1))]),
        ),
        12 => begin(3, Deed::Undo(operation(below(3)))),
        13 => Payload::Bulk(BulkStep::End {
            operation: operation(below(4)),
        }),
        14 => take(below(4), file),
        23 => any_carried(file, below),
        15 => put_album(1 + below(3), below(4)),
        16 => into_album(file, below(4), below(2) == 0),
        17 => Payload::Album(AlbumStep::Delete {
            album: album(below(4)),
        }),
        _ => edit(
            file,
            None,
            vec![
                Change::AddToAlbum {
                    album: album(below(4)),
                    rank: None,
                },
                Change::Cover {
                    album: album(below(4)),
                    at: None,
                },
            ],
        ),
    }
}

/// A block of all kinds of commands about four files, purges among them, some of which were planned earlier.
fn any_block(
    fixture: &Fixture,
    planned: &mut Vec<(String, Vec<Erasure>)>,
    height: u64,
    below: &mut impl FnMut(u64) -> u64,
) -> BlockInput {
    let mut commands: Vec<Command> = Vec::new();
    for n in 0..1 + below(6) {
        let file = format!("f{}", below(4));
        let kind = below(24);
        let payload = match kind {
            0 | 1 => new(&file)
                .tags(&["t"])
                .taken("2020-01-01T10:00:00")
                .add(&file),
            2 => set_state(&file, State::Trashed),
            3 => set_state(&file, State::Live),
            4 => Payload::PutBlob {
                blob: id(&file),
                size: 2,
            },
            5 => edit(&file, None, vec![Change::Rating(Some(3))]),
            6 => {
                let due = naming(fixture, &file);
                planned.push((file, due.clone()));
                Payload::Purge(due)
            }
            // One that was planned some time ago.
            7 => Payload::Purge(
                planned
                    .last()
                    .map(|(_, due)| due.clone())
                    .unwrap_or_default(),
            ),
            8..=18 | 23 => any_word(kind, &file, below),
            19..=21 => any_picture(kind, &file, below),
            _ => edit(
                &file,
                Some(1 + below(3)),
                vec![Change::Title(Some(file.clone()))],
            ),
        };
        commands.push(match below(3) {
            0 => keyed(&format!("{height} {n}"), payload),
            _ => command(payload),
        });
    }
    let mut block = block(height, commands);
    if below(4) == 0 {
        let repeat = command(set_state(&format!("f{}", below(4)), State::Live));
        block.mentions.extend(Mention::of(9, &repeat, false));
    }
    block
}

#[test]
fn a_chain_that_is_erased_in_part_or_whole_gives_the_same_catalogue() {
    let mut random = 7_u64;
    let mut below = move |limit: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % limit
    };
    for round in 0..20 {
        let mut fixture = Fixture::new();
        let mut blocks = vec![genesis()];
        let mut planned: Vec<(String, Vec<Erasure>)> = Vec::new();
        for height in 1..40 {
            let block = any_block(&fixture, &mut planned, height, &mut below);
            fixture
                .catalogue
                .apply(std::slice::from_ref(&block))
                .unwrap();
            blocks.push(block);
        }
        let digest = fixture.reader().digest().unwrap();
        let purged: Vec<Position> = fixture
            .reader()
            .purges(None)
            .unwrap()
            .into_iter()
            .flat_map(|purge| purge.erasures.commands)
            .map(|erasure| erasure.position)
            .collect();
        for part in [1, 2, 3, 1] {
            let erased: Vec<Position> = purged
                .iter()
                .copied()
                .filter(|_| below(part) == 0)
                .collect();
            let mut other = Fixture::empty();
            other
                .catalogue
                .apply(&without(&blocks, |at| erased.contains(&at)))
                .unwrap();
            assert_eq!(other.reader().digest().unwrap(), digest, "{round} {part}");
        }
    }
}
