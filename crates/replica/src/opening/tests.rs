use model::codec::{Decode as _, Encode as _};
use model::{
    Block, Boot, ChainId, Command, Decided, Digest, Draft, Erasure, Header, LibraryId, Member,
    Membership, NodeId, Payload, Position, RequestKey, Residue, SealedCommand, TokenId, Turn,
};

use super::*;
use crate::core_state::Disposition;

const HOUR: u64 = 3_600_000_000;
const WINDOW: u64 = 24 * HOUR;

fn turn() -> Turn {
    Turn {
        node: NodeId([1; 32]),
        boot: Boot(1),
    }
}

/// A request under this key, looked up at `time`.
fn request(key: u64, salt: u64, time: Timestamp) -> SealedCommand {
    let command = Command {
        library: LibraryId::home(),
        actor: TokenId([1; 8]),
        key: Some(RequestKey {
            key: format!("key-{key}"),
            request: Digest([6; 32]),
        }),
        valid_until: time.plus(limits::KEYED_WINDOW),
        payload: Payload::Record(vec![]),
    };
    let mut salts = [0; 16];
    salts[..8].copy_from_slice(&salt.to_be_bytes());
    command.seal(salts)
}

fn child(parent: &Header, time: Timestamp, commands: Vec<SealedCommand>) -> Decided {
    let block = Block::new(Draft {
        chain: parent.chain,
        height: parent.height.next(),
        parent: Some(parent.hash()),
        membership: parent.membership,
        proposer: turn(),
        time,
        hint: None,
        commands,
    });
    Decided {
        block: Arc::new(block),
        certificate: None,
    }
}

fn genesis() -> Decided {
    let member = Member {
        id: NodeId([1; 32]),
        name: "n1".to_owned(),
    };
    let membership = Membership::new(vec![member]).unwrap();
    let time = Timestamp(1_700_000_000_000_000);
    let block = Block::genesis(ChainId([1; 16]), &membership, time, request(0, 0, time));
    Decided {
        block: Arc::new(block),
        certificate: None,
    }
}

/// A chain of several days, in which some keys come again and again.
fn chain(seed: u64) -> Vec<Decided> {
    let mut random = seed;
    let mut below = move |limit: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % limit
    };
    let mut blocks = vec![genesis()];
    let keys = 2 + below(1000);
    for salt in 0..60 + below(100) {
        let parent = blocks.last().unwrap().block.header().clone();
        let time = Timestamp(parent.time.0 + 1 + below(240) * (HOUR / 60));
        let commands = (0..below(3))
            .map(|at| request(below(keys), salt << 8 | at, time))
            .collect();
        blocks.push(child(&parent, time, commands));
    }
    blocks
}

type Shown = Vec<(Height, Vec<Disposition>)>;

fn replayed(blocks: &[Decided], begin: &Beginning, wanted: Height) -> (Shown, Option<CoreState>) {
    let mut shown = Vec::new();
    let from = usize::try_from(begin.from.0).unwrap();
    let mut show = |applied: &Arc<AppliedBlock>| {
        shown.push((applied.block.height(), applied.dispositions.clone()));
        ControlFlow::Continue(())
    };
    let blocks = blocks[from..].iter().cloned().map(Ok);
    let core = begin.over(blocks, wanted, &mut show).unwrap().ok();
    (shown, core)
}

#[test]
fn a_replay_that_begins_late_is_right_or_says_that_it_is_not() {
    let (mut sure, mut unsure) = (0, 0);
    for seed in 0..300 {
        let blocks = chain(seed);
        let whole = Beginning {
            from: Height::GENESIS,
            since: None,
            exact: Timestamp(0),
        };
        let (all, core) = replayed(&blocks, &whole, Height::GENESIS);
        let tip = blocks.last().unwrap().block.header().time;
        for wanted in [blocks.len(), blocks.len() - 20] {
            let time = |at: usize| blocks.get(at).map(|decided| decided.block.header().time);
            let exact = Timestamp(tip.0 - WINDOW).min(time(wanted).unwrap_or(tip));
            let since = Timestamp(exact.0 - WINDOW);
            let from = blocks.partition_point(|decided| decided.block.header().time < since);
            let late = Beginning {
                from: Height(from as u64),
                since: (from > 0).then_some(since),
                exact,
            };
            let (shown, found) = replayed(&blocks, &late, Height(wanted as u64));
            assert_eq!(shown, all[wanted..wanted + shown.len()], "{seed}");
            if found.is_some() {
                assert_eq!(
                    (found, shown.len()),
                    (core.clone(), blocks.len() - wanted),
                    "{seed}"
                );
                sure += 1;
            } else {
                unsure += 1;
            }
        }
    }
    assert!(sure > 50 && unsure > 50, "{sure} {unsure}");
}

#[test]
fn a_state_that_was_written_down_goes_on_as_if_it_had_not_been() {
    for seed in 0..100 {
        let blocks = chain(seed);
        let genesis = Beginning {
            from: Height::GENESIS,
            since: None,
            exact: Timestamp(0),
        };
        let (all, core) = replayed(&blocks, &genesis, Height::GENESIS);
        let at = blocks.len() / 2;
        let (_, half) = replayed(&blocks[..at], &genesis, Height(99_999));
        let bytes = half.unwrap().to_bytes();
        let half = CoreState::from_bytes(&bytes).unwrap();
        assert_eq!(half.to_bytes(), bytes);
        let mut shown = Vec::new();
        let mut show = |applied: &Arc<AppliedBlock>| {
            shown.push((applied.block.height(), applied.dispositions.clone()));
            ControlFlow::Continue(())
        };
        let rest = blocks[at..].iter().cloned().map(Ok);
        let wanted = (Height(at as u64), Timestamp(0));
        let end = go_over(rest, half, None, wanted, &mut show).unwrap();
        assert_eq!(end.ok(), core, "{seed}");
        assert_eq!(shown, all[at..], "{seed}");
    }
}

#[test]
fn requests_of_every_day_are_remembered_alike() {
    // A key that comes every 23 hours: every other one is a repeat, to who counts from the first.
    let mut blocks = vec![genesis()];
    for day in 0..9 {
        let parent = blocks.last().unwrap().block.header().clone();
        let time = Timestamp(parent.time.0 + 23 * HOUR);
        blocks.push(child(&parent, time, vec![request(7, day, time)]));
    }
    let late = |from: usize, since| Beginning {
        from: Height(from as u64),
        since,
        exact: blocks[8].block.header().time,
    };
    for from in 1..8 {
        let since = Some(blocks[from].block.header().time);
        assert_eq!(replayed(&blocks, &late(from, since), Height(99)).1, None);
    }
    assert!(replayed(&blocks, &late(0, None), Height(99)).1.is_some());
}

/// The chain without the bytes of some commands, as `seen` says that they counted, and with the purge of them.
fn purged(seed: u64) -> (Vec<Decided>, Vec<Decided>) {
    let mut blocks = chain(seed);
    let middle = blocks.len() / 2;
    let rest = blocks.split_off(middle);
    let mut core = CoreState::default();
    let mut erasures = Vec::new();
    for decided in &blocks[1..] {
        let dispositions = core.apply(&decided.block);
        let entries = decided.block.entries().iter().zip(dispositions);
        for (index, (entry, disposition)) in (0..).zip(entries) {
            let sealed = entry.sealed().unwrap();
            if !sealed.leaf().0[0].is_multiple_of(3) {
                let first = matches!(disposition, Disposition::Fresh(_));
                let command = sealed.open().unwrap();
                erasures.push(Erasure {
                    position: Position {
                        height: decided.block.height(),
                        index,
                    },
                    actor: command.actor,
                    residue: Residue::of(&command, first),
                });
            }
        }
    }
    let parent = blocks.last().unwrap().block.header().clone();
    let time = Timestamp(parent.time.0 + 1);
    let purge = Command {
        key: None,
        valid_until: time.plus(limits::UNKEYED_WINDOW),
        payload: Payload::Purge(erasures.clone()),
        ..request(0, 0, time).open().unwrap()
    };
    blocks.push(child(&parent, time, vec![purge.seal([9; 16])]));
    for decided in rest {
        let parent = blocks.last().unwrap().block.header().clone();
        let time = Timestamp(decided.block.header().time.0 + 1);
        let commands = decided.block.entries().iter();
        let commands = commands.map(|entry| entry.sealed().unwrap().clone());
        blocks.push(child(&parent, time, commands.collect()));
    }
    let erased = blocks.iter().map(|decided| {
        let height = decided.block.height();
        let block = decided.block.without(|index, sealed| {
            let position = Position { height, index };
            let named = erasures
                .iter()
                .find(|erasure| erasure.position == position)?;
            Some(named.residue.entry(sealed.leaf()))
        });
        Decided {
            block: Arc::new(block),
            certificate: None,
        }
    });
    let erased = erased.collect();
    (blocks, erased)
}

#[test]
fn whoever_reads_an_erased_chain_remembers_what_everybody_remembers() {
    let mut sure = 0;
    for seed in 0..200 {
        let (blocks, erased) = purged(seed);
        let whole = Beginning {
            from: Height::GENESIS,
            since: None,
            exact: Timestamp(0),
        };
        let (seen, core) = replayed(&blocks, &whole, Height::GENESIS);
        let (shown, found) = replayed(&erased, &whole, Height::GENESIS);
        assert_eq!(found, core, "{seed}");
        let pairs = seen
            .iter()
            .zip(&shown)
            .flat_map(|(a, b)| a.1.iter().zip(&b.1));
        for (with, without) in pairs {
            let same = match without {
                Disposition::Erased => true,
                Disposition::Fresh(_) => with == without,
                // Why a repeat is refused may not be known any more; that it is one is.
                _ => !matches!(with, Disposition::Fresh(_)),
            };
            assert!(same, "{seed}: {with:?} {without:?}");
        }
        let tip = blocks.last().unwrap().block.header().time;
        let exact = Timestamp(tip.0 - WINDOW);
        let since = Timestamp(exact.0 - WINDOW);
        let from = blocks.partition_point(|decided| decided.block.header().time < since);
        let late = Beginning {
            from: Height(from as u64),
            since: (from > 0).then_some(since),
            exact,
        };
        if let (_, Some(found)) = replayed(&erased, &late, Height(u64::MAX)) {
            assert_eq!(Some(found), core, "{seed}");
            sure += 1;
        }
    }
    assert!(sure > 20, "{sure}");
}

#[test]
fn whether_a_request_counts_is_the_same_where_commands_are_pruned() {
    let mut repeats = 0;
    for seed in 0..100 {
        let blocks = chain(seed);
        let (mut whole, mut lacking) = (CoreState::default(), CoreState::default());
        for (place, decided) in blocks.iter().enumerate() {
            let with = whole.apply(&decided.block);
            let old = place > 0 && place < blocks.len() / 2;
            let pruned = decided.block.without(|index, sealed| {
                let first = matches!(with[index as usize], Disposition::Fresh(_));
                let residue = Residue::of(&sealed.open().unwrap(), first);
                let leaf = sealed.leaf();
                old.then_some(model::Entry::Pruned { leaf, residue })
            });
            for (with, without) in with.iter().zip(lacking.apply(&pruned)) {
                match without {
                    Disposition::Pruned => assert!(old, "{seed}"),
                    Disposition::Fresh(_) => assert_eq!(*with, without, "{seed}"),
                    _ => {
                        assert!(!matches!(with, Disposition::Fresh(_)), "{seed}: {with:?}");
                        repeats += 1;
                    }
                }
            }
        }
    }
    assert!(repeats > 100, "{repeats}");
}
