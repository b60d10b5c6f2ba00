//! Receipts over chains whose voters change, and every kind of lie about them, each refused by its name.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use fuzzing::chain::{command, genesis, membership, record};
use fuzzing::mutate::Mutator;
use fuzzing::receipt::cluster::{
    Cluster, add, admission, certify_as, change, key, member, remove, replace, seat,
};
use fuzzing::receipt::{trusted, truth};
use model::file::{Camera, Exposure, Facts, Kind, LocalTime, Metadata, Place, Source, TakenAt};
use model::receipt::{Change, Link, Opening};
use model::{
    BlobId, Block, CertificateError, Checkpoint, Consistency, Decode as _, Ed25519, Encode as _,
    Header, Height, Membership, Payload, Position, Proven, Receipt, ReceiptError, RosterChange,
    SealedCommand, SeatChange, Timestamp,
};

fn checker() -> Ed25519 {
    Ed25519::new(&[0; 32])
}

fn founding() -> Checkpoint {
    Checkpoint::of_genesis(&genesis()).unwrap()
}

fn receipt(cluster: &Cluster, height: Height, index: u32) -> Receipt {
    Receipt::of(cluster, Position { height, index }, Height(0)).unwrap()
}

fn verify(receipt: &Receipt) -> Result<Proven, ReceiptError> {
    receipt.verify(&founding(), &checker())
}

/// n1 to n3, then n4 by the block at `change`, then a record.
struct Grown {
    cluster: Cluster,
    change: Height,
    last: Height,
}

fn grown() -> Grown {
    let mut cluster = Cluster::default();
    let now = cluster.tip().header().time;
    cluster.decide(admission(4, now).to_vec());
    let change = cluster.decide(vec![record(b"beside"), seat(0, add(4))]);
    let last = cluster.decide(vec![record(b"above"), record(b"next")]);
    assert_eq!(cluster.voters(), [1, 2, 3, 4]);
    Grown {
        cluster,
        change,
        last,
    }
}

/// A change that some cluster might be asked for next, taken or not.
fn drawn(mutator: &mut Mutator, cluster: &Cluster, next: u8) -> Vec<SealedCommand> {
    let voters = cluster.voters();
    let epoch = cluster.roster().epoch().0;
    let one = voters[mutator.below(voters.len())];
    let now = cluster.tip().header().time;
    let admitted = |change: SeatChange| [admission(next, now).to_vec(), vec![seat(epoch, change)]];
    match mutator.below(7) {
        0 => admitted(add(next)).concat(),
        1 => admitted(replace(one, next)).concat(),
        2 => vec![record(b"x"), seat(epoch, remove(one))],
        3 => vec![seat(epoch, add(next)), record(b"refused")],
        4 => vec![seat(epoch + 1, remove(one))],
        5 => vec![],
        _ => (0..mutator.below(30))
            .map(|n| record(&[7; 50][n..]))
            .collect(),
    }
}

#[test]
fn receipts_over_any_changes_of_voters_verify_from_any_block_below() {
    for seed in 0..40 {
        let mut mutator = Mutator::new(seed);
        let mut cluster = Cluster::default();
        for next in 4..30 {
            let commands = drawn(&mut mutator, &cluster, next);
            cluster.decide(commands);
        }
        let tip = cluster.tip().height().0;
        for _ in 0..8 {
            let height = Height(mutator.below(usize::try_from(tip).unwrap() + 1) as u64);
            let begins = Height(mutator.below(usize::try_from(height.0).unwrap() + 1) as u64);
            let trusted =
                begins.0 + mutator.below(usize::try_from(height.0 - begins.0).unwrap() + 1) as u64;
            let trust = cluster.checkpoint(Height(trusted));
            let entries = cluster.decided(height).unwrap().block.entries().len();
            for index in 0..u32::try_from(entries).unwrap() {
                let receipt = Receipt::of(&cluster, Position { height, index }, begins).unwrap();
                let receipt = Receipt::read(&receipt.to_bytes()).unwrap();
                let proven = receipt.verify(&trust, &checker()).unwrap();
                assert!(cluster.agrees_with(&proven), "seed {seed}");
            }
            let proof = Consistency::between(&cluster, Height(trusted), height).unwrap();
            let proof = Consistency::read(&proof.to_bytes()).unwrap();
            let reached = proof.verify(&trust, &checker()).unwrap();
            assert_eq!(reached, cluster.checkpoint(height), "seed {seed}");
        }
    }
}

#[test]
fn the_genesis_command_is_proven_by_genesis() {
    let cluster = Cluster::default();
    let proven = verify(&receipt(&cluster, Height(0), 0)).unwrap();
    assert_eq!(proven.command().unwrap().payload.kind(), "genesis");
    assert_eq!(proven.checkpoint(), founding());
}

#[test]
fn a_receipt_outlives_the_command_in_the_chain() {
    let Grown { cluster, last, .. } = grown();
    let kept = receipt(&cluster, last, 1).to_bytes();
    let decided = cluster.decided(last).unwrap();
    let mut bytes = decided.block.header().to_bytes();
    2_u32.encode(&mut bytes);
    for entry in decided.block.entries() {
        model::Entry::Erased(entry.leaf()).encode(&mut bytes);
    }
    let erased = Block::from_bytes(&bytes).unwrap();
    assert_eq!(erased.hash(), decided.block.hash());
    assert_eq!(Opening::of(&erased, 1), None, "no new one can be made");
    let proven = verify(&Receipt::read(&kept).unwrap()).unwrap();
    assert_eq!(proven.sealed.leaf(), erased.entries()[1].leaf());
}

/// What a phone's photo is added with.
fn photo() -> SealedCommand {
    let source = Source::Exif;
    let facts = Facts {
        media_type: "image/jpeg".into(),
        kind: Kind::Photo,
        width: Some(4032),
        height: Some(3024),
        orientation: Some(6),
        duration_ms: None,
        taken_at: Some(TakenAt {
            local: LocalTime::from_micros(1_600_000_000_000_000).unwrap(),
            offset_min: Some(60),
            source,
        }),
        place: Place::new(51.5, -0.1, source),
        camera: Some(Camera {
            make: Some("Google".into()),
            model: Some("Pixel 7 Pro".into()),
            lens: Some("Pixel 7 Pro back camera 6.81mm f/1.85".into()),
        }),
        exposure: Some(Exposure {
            seconds: Some(0.004),
            aperture: Some(1.85),
            iso: Some(100),
            focal_mm: Some(6.81),
        }),
        thumbhash: vec![0x5a; 25],
        undecodable: false,
        notes: vec![],
    };
    let payload = Payload::AddFile {
        file: BlobId([0xf1; 32]),
        size: 4_194_304,
        name: "PXL_20230704_180300123.jpg".into(),
        facts,
        metadata: Metadata {
            title: Some("The beach at low tide".into()),
            tags: vec!["places/uk/brighton".into(), "beach".into()],
            ..Metadata::default()
        },
        restore: false,
    };
    command(payload).seal([1; 16])
}

#[test]
fn a_receipt_of_a_photo_takes_less_than_two_kilobytes_with_five_stable_voters() {
    let mut cluster = Cluster::default();
    let now = cluster.tip().header().time;
    for (next, epoch) in [(4, 0), (5, 1)] {
        let seat = seat(epoch, add(next));
        cluster.decide([admission(next, now).to_vec(), vec![seat]].concat());
    }
    assert_eq!(cluster.voters().len(), 5);
    let stable = cluster.tip().height().next();
    for alone in [true, false] {
        let others = if alone { 0 } else { 4095 };
        let mut commands = vec![photo()];
        commands.extend((0..others).map(|n: u32| record(&n.to_be_bytes())));
        let height = cluster.decide(commands);
        let position = Position { height, index: 0 };
        let receipt = Receipt::of(&cluster, position, stable).unwrap();
        receipt
            .verify(&cluster.checkpoint(stable), &checker())
            .unwrap();
        let bytes = receipt.to_bytes().len();
        println!(
            "a photo among {others} others: {bytes} bytes, {} of them the command",
            photo().bytes().len()
        );
        assert!(bytes <= 2048, "{bytes}");
    }
    let whole = receipt(&cluster, stable, 0).to_bytes().len();
    println!("over two changes of voters, from genesis: {whole} bytes");
}

#[test]
fn what_is_no_receipt_is_said_to_be_none() {
    let Grown { cluster, last, .. } = grown();
    let bytes = receipt(&cluster, last, 0).to_bytes();
    assert!(matches!(
        Receipt::read(b""),
        Err(ReceiptError::NotOne { .. })
    ));
    let checkpoint = founding().to_bytes();
    assert!(matches!(
        Receipt::read(&checkpoint),
        Err(ReceiptError::NotOne { .. })
    ));
    for end in 20..bytes.len() {
        let cut = Receipt::read(&bytes[..end]);
        assert!(matches!(cut, Err(ReceiptError::Malformed { .. })), "{end}");
    }
    let long = [bytes.clone(), vec![0]].concat();
    assert!(matches!(
        Receipt::read(&long),
        Err(ReceiptError::Malformed { .. })
    ));
    assert!(matches!(
        Checkpoint::read(&bytes),
        Err(ReceiptError::NotOne { .. })
    ));
}

#[test]
fn a_receipt_of_another_chain_is_refused() {
    let Grown { cluster, last, .. } = grown();
    let mut trust = founding();
    trust.chain.0[0] ^= 1;
    let found = receipt(&cluster, last, 0).verify(&trust, &checker());
    assert!(matches!(found, Err(ReceiptError::OtherChain { .. })));
}

#[test]
fn what_is_trusted_has_to_lie_between_beginning_and_block() {
    let Grown {
        cluster,
        change,
        last,
    } = grown();
    let mut trust = founding();
    trust.hash.0[0] ^= 1;
    let other = receipt(&cluster, last, 0).verify(&trust, &checker());
    assert_eq!(other, Err(ReceiptError::OtherBlock { height: Height(0) }));

    let high = Receipt::of(
        &cluster,
        Position {
            height: last,
            index: 0,
        },
        change,
    )
    .unwrap();
    assert!(matches!(
        verify(&high),
        Err(ReceiptError::BeginsAbove { .. })
    ));
    let low = receipt(&cluster, change, 0).verify(&cluster.checkpoint(last), &checker());
    assert!(matches!(low, Err(ReceiptError::Below { .. })));

    let mut forked = cluster.checkpoint(last);
    forked.hash.0[0] ^= 1;
    let forked = receipt(&cluster, last, 0).verify(&forked, &checker());
    assert_eq!(forked, Err(ReceiptError::OtherBlock { height: last }));
}

#[test]
fn a_swapped_command_is_refused() {
    let Grown { cluster, last, .. } = grown();
    let good = receipt(&cluster, last, 0);
    let not_in_block = Err(ReceiptError::NotInBlock { height: last });
    let mut swapped = good.clone();
    swapped.opening.command = record(b"something else");
    assert_eq!(verify(&swapped), not_in_block);
    let mut salted = good.clone();
    let bytes = good.opening.command.bytes().clone();
    salted.opening.command = SealedCommand::new([0; 16], bytes);
    assert_eq!(verify(&salted), not_in_block);
    let mut moved = good.clone();
    moved.opening.index = 1;
    assert_eq!(verify(&moved), not_in_block);
    let mut path = good.clone();
    path.opening.path[0].0[31] ^= 1;
    assert_eq!(verify(&path), not_in_block);
    path.opening.path.clear();
    assert_eq!(verify(&path), not_in_block);
}

#[test]
fn a_header_that_was_changed_is_not_the_one_that_was_certified() {
    let Grown { cluster, last, .. } = grown();
    let mut receipt = receipt(&cluster, last, 0);
    receipt.header.time = Timestamp(receipt.header.time.0 - 1);
    assert_eq!(
        verify(&receipt),
        Err(ReceiptError::OtherCertificate { height: last })
    );
    receipt.certificate.as_mut().unwrap().hash = receipt.header.hash();
    let refused = verify(&receipt);
    assert!(
        matches!(
            &refused,
            Err(ReceiptError::Certificate {
                source: CertificateError::Signature { .. },
                ..
            })
        ),
        "{refused:?}"
    );
    receipt.certificate = None;
    assert_eq!(
        verify(&receipt),
        Err(ReceiptError::Uncertified { height: last })
    );
}

#[test]
fn too_few_signatures_are_no_quorum() {
    let Grown { cluster, last, .. } = grown();
    let mut receipt = receipt(&cluster, last, 0);
    let block = &cluster.decided(last).unwrap().block;
    receipt.certificate = Some(certify_as(block, cluster.roster().voters(), &[1, 4]));
    let refused = verify(&receipt);
    let source = CertificateError::NoQuorum {
        found: 2,
        quorum: 3,
    };
    assert_eq!(
        refused,
        Err(ReceiptError::Certificate {
            height: last,
            source
        })
    );
}

#[test]
fn a_missing_change_of_voters_is_missed() {
    let Grown { cluster, last, .. } = grown();
    let mut receipt = receipt(&cluster, last, 0);
    assert_eq!(receipt.links.len(), 1);
    receipt.links.clear();
    assert_eq!(
        verify(&receipt),
        Err(ReceiptError::MissingLink { height: last })
    );
    let begins = cluster.checkpoint(last);
    receipt.verify(&begins, &checker()).unwrap();
}

#[test]
fn the_voters_of_before_decide_no_more() {
    let Grown {
        mut cluster,
        change,
        ..
    } = grown();
    let height = cluster.tip().height().next();
    // n1 to n3 are a quorum of before, and of four: they sign what they never would.
    let block = cluster.block(membership(), vec![record(b"forked")]);
    let certificate = certify_as(&block, membership(), &[1, 2, 3]);
    cluster.append(block, certificate);
    let forked = receipt(&cluster, height, 0);
    assert_eq!(
        verify(&forked),
        Err(ReceiptError::Unconfirmed { change, height })
    );
}

/// The block at height 1 holds a change that was refused, and the candidate and one voter that lies act as if it were
/// not.
fn refused_change(commands: Vec<SealedCommand>, voters: &Membership, liars: &[u8]) -> Receipt {
    let mut cluster = Cluster::default();
    let index = u32::try_from(commands.len() - 1).unwrap();
    let change = cluster.decide(commands);
    assert_eq!(cluster.voters(), [1, 2, 3], "it was refused");
    let decided = cluster.decided(change).unwrap().clone();
    let link = Link {
        header: decided.block.header().clone(),
        change: Change {
            certificate: decided.certificate.unwrap(),
            opening: Opening::of(&decided.block, index).unwrap(),
        },
    };
    let block = cluster.block(voters, vec![record(b"a lie")]);
    let certificate = certify_as(&block, voters, liars);
    let height = cluster.append(block, certificate);
    let mut receipt = receipt(&cluster, height, 0);
    receipt.links = vec![link];
    receipt
}

fn voters(numbers: &[u8]) -> Membership {
    Membership::new(numbers.iter().map(|number| member(*number)).collect()).unwrap()
}

#[test]
fn a_refused_change_is_confirmed_by_nobody() {
    // n4 was never admitted, has its own key, and one voter that lies: a quorum of four is three.
    let four = voters(&[1, 2, 3, 4]);
    let receipt = refused_change(vec![seat(0, add(4))], &four, &[4, 1]);
    let height = receipt.header.height;
    let source = CertificateError::NoQuorum {
        found: 2,
        quorum: 3,
    };
    assert_eq!(
        verify(&receipt),
        Err(ReceiptError::Certificate { height, source })
    );
    // Who names the membership that was in force names those before the change.
    let receipt = refused_change(vec![seat(0, add(4))], membership(), &[1, 2]);
    let change = Height(1);
    assert_eq!(
        verify(&receipt),
        Err(ReceiptError::Unconfirmed { change, height })
    );
    // In another's place: two are a quorum of three, and one of them would have to be an old voter.
    let three = voters(&[1, 2, 4]);
    let receipt = refused_change(vec![seat(0, replace(3, 4))], &three, &[4]);
    let source = CertificateError::NoQuorum {
        found: 1,
        quorum: 2,
    };
    assert_eq!(
        verify(&receipt),
        Err(ReceiptError::Certificate { height, source })
    );
    let receipt = refused_change(vec![seat(0, add(4))], &voters(&[4]), &[4]);
    assert_eq!(verify(&receipt), Err(ReceiptError::MissingLink { height }));
}

#[test]
fn a_change_has_to_be_one_of_voters_in_time_for_their_epoch_and_fit_them() {
    let height = Height(1);
    let refused = |commands: Vec<SealedCommand>| {
        verify(&refused_change(
            commands,
            &voters(&[1, 2, 3, 4]),
            &[1, 2, 4],
        ))
        .unwrap_err()
    };
    assert_eq!(
        refused(vec![record(b"no change")]),
        ReceiptError::NoChange { height }
    );
    let dismiss = change(RosterChange::Dismiss { node: member(3).id });
    assert_eq!(refused(vec![dismiss]), ReceiptError::NoChange { height });
    let (named, current) = (Height(7), Height(0));
    let epoch = ReceiptError::Epoch {
        height,
        named,
        current,
    };
    assert_eq!(refused(vec![seat(7, add(4))]), epoch);
    let change = RosterChange::Seat {
        epoch: Height(0),
        change: add(4),
    };
    let late = model::Command {
        valid_until: genesis().header().time,
        ..command(Payload::Roster(change))
    };
    assert_eq!(
        refused(vec![late.seal([0; 16])]),
        ReceiptError::Expired { height }
    );
    for unfit in [add(3), remove(9), replace(9, 4), replace(3, 3)] {
        assert_eq!(
            refused(vec![seat(0, unfit)]),
            ReceiptError::DoesNotFit { height }
        );
    }
}

#[test]
fn a_change_has_to_stand_in_its_block_and_that_to_be_decided() {
    let Grown {
        cluster,
        change: height,
        last,
    } = grown();
    let good = receipt(&cluster, last, 0);
    let mut elsewhere = good.clone();
    elsewhere.links[0].change.opening.index = 0;
    assert_eq!(verify(&elsewhere), Err(ReceiptError::NotInBlock { height }));
    let mut uncertified = good.clone();
    uncertified.links[0].change.certificate = good.certificate.clone().unwrap();
    assert_eq!(
        verify(&uncertified),
        Err(ReceiptError::OtherCertificate { height })
    );
    let mut lonely = good.clone();
    let block = &cluster.decided(height).unwrap().block;
    lonely.links[0].change.certificate = certify_as(block, membership(), &[2]);
    let source = CertificateError::NoQuorum {
        found: 1,
        quorum: 2,
    };
    assert_eq!(
        verify(&lonely),
        Err(ReceiptError::Certificate { height, source })
    );
    let mut twice = good.clone();
    twice.links.push(good.links[0].clone());
    assert_eq!(verify(&twice), Err(ReceiptError::LinkOrder { height }));
    let mut above = good;
    above.links[0].header.height = last;
    assert_eq!(
        verify(&above),
        Err(ReceiptError::LinkOrder { height: last })
    );
}

#[test]
fn a_member_that_left_speaks_for_nobody() {
    let mut cluster = Cluster::default();
    cluster.decide(vec![seat(0, remove(3))]);
    let last = cluster.decide(vec![record(b"by two")]);
    let mut receipt = receipt(&cluster, last, 0);
    let block = &cluster.decided(last).unwrap().block;
    let mut certificate = certify_as(block, cluster.roster().voters(), &[1, 2]);
    let theirs = certify_as(block, membership(), &[3]);
    certificate.signatures[1] = theirs.signatures[0];
    receipt.certificate = Some(certificate);
    let source = CertificateError::Signature { voter: "n2".into() };
    assert_eq!(
        verify(&receipt),
        Err(ReceiptError::Certificate {
            height: last,
            source
        })
    );
}

#[test]
fn a_proof_of_consistency_shows_every_header() {
    let Grown {
        cluster,
        change,
        last,
    } = grown();
    let proof = Consistency::between(&cluster, Height(0), last).unwrap();
    let verify = |proof: &Consistency| proof.verify(&founding(), &checker());
    assert_eq!(verify(&proof), Ok(cluster.checkpoint(last)));

    let mut gap = proof.clone();
    gap.steps.remove(0);
    assert_eq!(verify(&gap), Err(ReceiptError::Broken { height: change }));
    let mut base = proof.clone();
    base.base.time = Timestamp(0);
    assert_eq!(
        verify(&base),
        Err(ReceiptError::OtherBlock { height: Height(0) })
    );
    let mut unlinked = proof.clone();
    unlinked.steps[2].change = None;
    assert_eq!(
        verify(&unlinked),
        Err(ReceiptError::MissingLink { height: last })
    );
    let mut uncertified = proof.clone();
    uncertified.certificate = None;
    assert_eq!(
        verify(&uncertified),
        Err(ReceiptError::Uncertified { height: last })
    );
    let mut edited = proof;
    edited.steps[0].header.time = Timestamp(1);
    assert_eq!(
        verify(&edited),
        Err(ReceiptError::Broken { height: change })
    );
}

#[test]
fn headers_that_nobody_certified_move_no_voters() {
    // A whole history made up by n9, in which it is alone in the end: one change at a time, each in a block that only
    // it has signed.
    let mut cluster = Cluster::default();
    cluster.decide(vec![record(b"true")]);
    let real = cluster.clone();
    let mut now: Vec<u8> = vec![1, 2, 3];
    let changes = [
        (replace(1, 9), vec![9, 2, 3]),
        (remove(2), vec![9, 3]),
        (remove(3), vec![9]),
    ];
    let mut epoch = 0;
    for (change, after) in changes {
        let block = cluster.block(&voters(&now), vec![seat(epoch, change)]);
        let certificate = certify_as(&block, &voters(&now), &[9]);
        epoch = cluster.append(block, certificate).0;
        now = after;
    }
    let block = cluster.block(&voters(&[9]), vec![record(b"mine")]);
    let certificate = certify_as(&block, &voters(&[9]), &[9]);
    let height = cluster.append(block, certificate);
    let header = |height: u64| {
        cluster
            .decided(Height(height))
            .unwrap()
            .block
            .header()
            .clone()
    };
    let link = |height: u64| {
        let decided = cluster.decided(Height(height)).unwrap();
        let certificate = decided.certificate.clone().unwrap();
        let opening = Opening::of(&decided.block, 0).unwrap();
        Change {
            certificate,
            opening,
        }
    };
    let steps = (2..=height.0).map(|height| model::receipt::Step {
        change: (height > 2).then(|| link(height - 1)),
        header: header(height),
    });
    let proof = Consistency {
        base: header(1),
        steps: steps.collect(),
        certificate: cluster.decided(height).unwrap().certificate.clone(),
    };
    let refused = proof.verify(&real.checkpoint(Height(1)), &checker());
    let source = CertificateError::NoQuorum {
        found: 0,
        quorum: 2,
    };
    assert_eq!(
        refused,
        Err(ReceiptError::Certificate {
            height: Height(2),
            source
        })
    );
}

#[test]
fn long_proofs_of_consistency_come_in_pieces() {
    let mut cluster = Cluster::default();
    for _ in 0..2100 {
        cluster.decide(vec![]);
    }
    let tip = cluster.tip().height();
    let mut trust = founding();
    let mut pieces = 0;
    while trust.height < tip {
        let piece = Consistency::between(&cluster, trust.height, tip).unwrap();
        trust = piece.verify(&trust, &checker()).unwrap();
        pieces += 1;
    }
    assert_eq!((pieces, trust), (3, cluster.checkpoint(tip)));

    let mut cluster = Cluster::default();
    for _ in 0..40 {
        cluster.decide((0..4).map(|n| record(&[n; 250 << 10])).collect());
    }
    let tip = cluster.tip().height();
    let piece = Consistency::between(&cluster, Height(0), tip).unwrap();
    assert!(piece.height() < tip, "so much is not read for one answer");
    assert!(piece.height() > Height(0));
}

#[test]
fn a_position_that_holds_nothing_has_no_receipt() {
    let Grown { cluster, last, .. } = grown();
    let of = |height, index, begins| {
        Receipt::of(&cluster, Position { height, index }, begins)
            .unwrap_err()
            .to_string()
    };
    assert!(of(last, 2, Height(0)).contains("no command at 2"));
    assert!(of(last.next(), 0, Height(0)).contains("no block"));
    assert!(of(Height(0), 0, last).contains("above"));
}

fn script(folder: &Path, receipt: &[u8], trust: &[u8]) -> std::process::Output {
    let files = [("receipt", receipt), ("trust", trust)].map(|(name, bytes)| {
        let path: PathBuf = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/check_receipt.py");
    Command::new("python3")
        .arg(script)
        .args(files)
        .output()
        .unwrap()
}

/// The script was written from the description of the format; it must say the same of every receipt.
#[test]
fn a_page_of_python_comes_to_the_same_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let seeds = fuzzing::receipt::seeds();
    let mut mutator = Mutator::new(11);
    let (mut passed, mut refused) = (0, 0);
    for turn in 0..36 {
        let seed = &seeds[mutator.below(seeds.len())];
        let other = &seeds[mutator.below(seeds.len())];
        let mut input = seed.bytes.clone();
        match turn % 3 {
            0 => {}
            1 => mutator.mutate(&mut input, &other.bytes),
            _ => {
                input =
                    fuzzing::receipt::recombine(&input, &other.bytes, &mut mutator).unwrap_or(input)
            }
        }
        let trust = &trusted()[turn % 2];
        let here = Receipt::read(&input).and_then(|receipt| receipt.verify(trust, &checker()));
        let there = script(folder.path(), &input, &trust.to_bytes());
        let said = String::from_utf8_lossy(&there.stdout).into_owned();
        assert_eq!(
            here.is_ok(),
            there.status.success(),
            "{}: {here:?}, {there:?}",
            seed.name
        );
        if let Ok(proven) = here {
            assert!(truth().agrees_with(&proven));
            let Header { height, .. } = proven.header;
            assert!(
                said.contains(&format!("height {height}, command {}", proven.index)),
                "{said}"
            );
            assert!(said.contains(&proven.sealed.leaf().to_string()), "{said}");
            passed += 1;
        } else {
            refused += 1;
        }
    }
    assert!(
        passed >= 8 && refused >= 8,
        "{passed} passed, {refused} refused"
    );
}

#[test]
fn a_nodes_key_is_its_identity() {
    assert_eq!(member(2).id, key(2).node());
}
