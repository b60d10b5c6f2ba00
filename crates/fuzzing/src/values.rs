//! Real values of every kind that has an encoding.

use std::sync::Arc;

use consensus::{Accept, Beacon, Message, Seen};
use model::carried::{Carried, CarriedField, CarriedWords};
use model::command::{Payload, RequestKey};
use model::file::{
    Camera, Change, Exposure, Facts, Kind, LocalTime, Metadata, Place, Source, State, TakenAt,
};
use model::media::{Described, Look, Told};
use model::{
    Addresses, Album, AlbumId, AlbumStep, Ballot, BlobId, Block, Boot, BulkStep, ChainId, Command,
    Decided, Deed, Digest, Domain, Encode, Entry, FieldDefinition, FieldKind, FieldStep,
    FieldValue, Height, LibraryDefinition, LibraryRole, LibraryStep, MediaStep, Member, NodeId,
    Nonce, OperationId, OriginalsStep, PasswordStep, Predecessor, Principal, Reason, Role,
    RosterChange, Scope, SeatChange, SecretId, Share, ShareId, ShareStep, Shared, Signature,
    SnapshotStep, Timestamp, TokenId, TokenStep, TokenUse, UploadId, UploadStep, UserId, UserStep,
};

use crate::chain::{ballot, certify, child, command, genesis, membership, record, signed, turn};

type Named<T> = Vec<(&'static str, T)>;

fn first_block() -> Arc<Block> {
    child(
        genesis().header(),
        vec![record(b"first"), record(b"second")],
    )
}

fn signature(domain: Domain, block: &Block, ballot: Ballot) -> Signature {
    let signatures = signed(domain, block, ballot, 1);
    let (_, signature) = signatures.first().expect("one was asked for");
    *signature
}

/// One message of every kind, more where a field may be absent.
pub(crate) fn messages() -> Named<Message> {
    let mut messages = voting();
    messages.extend(talking());
    messages
}

fn voting() -> Named<Message> {
    let block = first_block();
    let (height, hash, ballot) = (block.height(), block.hash(), ballot(1));
    let second = child(block.header(), vec![]);
    let accept = |block: &Arc<Block>, parent| {
        Message::Accept(Accept {
            ballot,
            block: block.clone(),
            signature: signature(Domain::Propose, block, ballot),
            parent,
            workers: 0b101,
        })
    };
    let promise = |accepted| Message::Promise {
        height,
        ballot,
        accepted,
    };
    vec![
        ("prepare", Message::Prepare { height, ballot }),
        ("promise-free", promise(None)),
        ("promise", promise(Some((ballot, block.clone())))),
        (
            "nack",
            Message::Nack {
                height,
                ballot,
                promised: crate::chain::ballot(7),
            },
        ),
        ("accept", accept(&block, None)),
        (
            "accept-with-proof",
            accept(&second, Some(certify(&block, ballot))),
        ),
        (
            "accepted",
            Message::Accepted {
                height,
                ballot,
                hash,
                signature: signature(Domain::Accepted, &block, ballot),
            },
        ),
        (
            "decide",
            Message::Decide {
                certificate: certify(&block, ballot),
                block: block.clone(),
            },
        ),
        ("fetch-accepted", Message::FetchAccepted { height, hash }),
        ("body", Message::Body { block }),
    ]
}

fn talking() -> Named<Message> {
    let (boot, nonce, membership) = (Boot(3), Nonce([4; 16]), membership().hash());
    let you_were = |seen| Message::YouWere { nonce, seen };
    let seen = Seen {
        boot,
        nonce,
        durable_tip: Height(8),
        vote: (Height(9), ballot(2)),
    };
    let beacon = Beacon {
        boot,
        nonce,
        tip: Height(9),
        durable_tip: Height(8),
        head: genesis().hash(),
        membership,
        clock: Timestamp(1_700_000_000_000_001),
        has_work: true,
        yielding: false,
    };
    let commands = vec![record(b"pushed"), record(&[0; 300])];
    vec![
        ("fetch", Message::Fetch { from: Height(1) }),
        ("push", Message::Push { commands }),
        ("beacon", Message::Beacon(beacon)),
        ("ping", Message::Ping { sent: 5 }),
        ("pong", Message::Pong { sent: 5 }),
        ("what-was-i", Message::WhatWasI { boot, nonce }),
        ("you-were", you_were(Some(seen))),
        ("you-were-nobody", you_were(None)),
        (
            "ask-top",
            Message::AskTop {
                round: 1 << 32,
                membership,
            },
        ),
        (
            "top",
            Message::Top {
                round: 1 << 32,
                top: Height(9),
            },
        ),
    ]
}

/// Encoded, because nobody but a decoder makes a block with an erased command.
pub(crate) fn blocks() -> Named<Vec<u8>> {
    let genesis = genesis();
    let first = first_block();
    let many = (0..20_u8).map(|n| record(&[n])).collect();
    let mut erased = first.header().to_bytes();
    model::codec::encode_length(first.entries().len(), &mut erased);
    for entry in first.entries() {
        Entry::Erased(entry.leaf()).encode(&mut erased);
    }
    vec![
        ("genesis", genesis.to_bytes()),
        ("empty", child(genesis.header(), vec![]).to_bytes()),
        ("two", first.to_bytes()),
        ("many", child(genesis.header(), many).to_bytes()),
        ("erased", erased),
    ]
}

fn place() -> Option<Place> {
    let mut place = Place::new(-33.8568, 151.2153, Source::User)?;
    place.altitude = Some(12.5);
    place.name = Some("Sydney".to_owned());
    Some(place)
}

fn taken_at() -> Option<TakenAt> {
    Some(TakenAt {
        local: LocalTime::from_micros(1_600_000_000_000_000)?,
        offset_min: Some(-210),
        source: Source::Exif,
    })
}

fn facts() -> Facts {
    Facts {
        media_type: "image/jpeg".to_owned(),
        kind: Kind::Photo,
        width: Some(4032),
        height: Some(3024),
        orientation: Some(6),
        duration_ms: Some(1),
        taken_at: taken_at(),
        place: place(),
        camera: Some(Camera {
            make: Some("Make".to_owned()),
            model: None,
            lens: Some("50mm".to_owned()),
        }),
        exposure: Some(Exposure {
            seconds: Some(0.004),
            aperture: Some(1.8),
            iso: Some(100),
            focal_mm: None,
        }),
        thumbhash: vec![0x5a; 25],
        undecodable: false,
        notes: vec!["a note".to_owned()],
    }
}

fn metadata() -> Metadata {
    Metadata {
        title: Some("Title".to_owned()),
        description: Some("Ünïcödé".to_owned()),
        tags: vec!["a/b".to_owned(), String::new()],
        rating: Some(5),
        favourite: true,
        taken_at: taken_at(),
        place: place(),
    }
}

fn changes() -> Vec<Change> {
    vec![
        Change::Name("IMG.jpg".to_owned()),
        Change::Title(None),
        Change::Description(Some("d".to_owned())),
        Change::Tags(vec!["x".to_owned()]),
        Change::Rating(Some(0)),
        Change::Favourite(false),
        Change::TakenAt(taken_at()),
        Change::Place(place()),
        Change::State(State::Archived),
    ]
}

fn roster_changes() -> Vec<RosterChange> {
    let node = turn().node;
    let member = Member {
        id: NodeId([0x4d; 32]),
        name: "n4".to_owned(),
    };
    let addresses = Addresses {
        peer: "nas:7800".to_owned(),
        url: "https://nas:7700".to_owned(),
    };
    let invite = TokenId([0x1e; 8]);
    let replace = SeatChange::Replace {
        old: node,
        new: member.clone(),
    };
    let remove = SeatChange::Remove {
        node,
        reason: Reason::Silent,
    };
    let seats =
        [SeatChange::Add(member.clone()), remove, replace].map(|change| RosterChange::Seat {
            epoch: Height(3),
            change,
        });
    let others = [
        RosterChange::Invite {
            invite,
            secret: Digest([5; 32]),
            expires: Timestamp(u64::MAX),
            votes: true,
        },
        RosterChange::Admit {
            invite: Some(invite),
            member,
            addresses: addresses.clone(),
        },
        RosterChange::Dismiss { node },
        RosterChange::Withdraw { invite },
        RosterChange::Move { node, addresses },
        RosterChange::Hearing {
            witness: node,
            about: NodeId([0x4d; 32]),
            at: Height(4),
            silent: true,
        },
    ];
    seats.into_iter().chain(others).collect()
}

fn described() -> Described {
    let told = |value: &str, source| Told {
        value: value.to_owned(),
        source,
    };
    Described {
        title: Some(told("a heading", Source::Sidecar)),
        description: Some(told("a text", Source::Exif)),
        tags: vec![told("places/uk", Source::Xmp), told("beach", Source::Iptc)],
        people: vec![told("Jane", Source::Xmp)],
        rating: Some(Told {
            value: 4,
            source: Source::Xmp,
        }),
        location: Some(told("London", Source::Iptc)),
    }
}

/// Every step of getting to know a file.
fn media_steps(file: BlobId) -> Vec<Payload> {
    vec![
        Payload::Media(MediaStep::Add {
            file,
            size: 78,
            name: "IMG_0002.HEIC".to_owned(),
            facts: facts(),
            described: described(),
            perceptual_hash: Some(0x0123_4567_89ab_cdef),
            needs: Some("libheif".to_owned()),
            metadata: metadata(),
            restore: false,
        }),
        Payload::Media(MediaStep::Look {
            file,
            look: Look {
                width: Some(4032),
                height: Some(3024),
                thumbhash: vec![1, 2, 3],
                perceptual_hash: None,
                broken: Some("cut off".to_owned()),
            },
        }),
        Payload::Media(MediaStep::Preview {
            file,
            blob: BlobId([0xf2; 32]),
            size: 99,
        }),
    ]
}

/// One command of every kind.
pub(crate) fn commands() -> Vec<Command> {
    let file = BlobId([0xf1; 32]);
    let token = TokenId([2; 8]);
    let founding = genesis();
    let founding = founding.entries().first().and_then(Entry::sealed);
    let founding = founding.and_then(|sealed| sealed.open().ok());
    let payloads = vec![
        Payload::Record(b"bytes of another program".to_vec()),
        Payload::PutBlob {
            blob: file,
            size: 1 << 33,
        },
        Payload::AddFile {
            file,
            size: 77,
            name: "IMG_0001.JPG".to_owned(),
            facts: facts(),
            metadata: metadata(),
            restore: true,
        },
        Payload::EditFile {
            file,
            expected: Some(3),
            changes: changes(),
        },
        Payload::SetState {
            file,
            expected: None,
            state: State::Trashed,
        },
        Payload::CreateToken {
            token,
            secret: Digest([8; 32]),
            name: "phone".to_owned(),
            scope: Scope::Write,
        },
        Payload::RevokeToken { token },
        succession(),
    ];
    let payloads = payloads
        .into_iter()
        .chain(media_steps(file))
        .chain(upload_steps(file).map(Payload::Upload))
        .chain(own_payloads(file))
        .chain(people(token))
        .chain(libraries(AlbumId([4; 8])))
        .chain(roster_changes().into_iter().map(Payload::Roster))
        .chain(snapshot_steps().map(Payload::Snapshot));
    let key = RequestKey {
        key: "retry-1".to_owned(),
        request: Digest([6; 32]),
    };
    let commands = payloads.map(|payload| Command {
        key: Some(key.clone()),
        ..command(payload)
    });
    founding.into_iter().chain(commands).collect()
}

fn upload_steps(file: BlobId) -> impl Iterator<Item = UploadStep> {
    let upload = UploadId([9; 16]);
    [
        UploadStep::Begin {
            upload,
            size: 9,
            described: "filename YQ==".to_owned(),
        },
        UploadStep::Part {
            upload,
            offset: 0,
            size: 9,
            blob: file,
        },
        UploadStep::End {
            upload,
            file: Some(file),
        },
    ]
    .into_iter()
}

fn snapshot_steps() -> impl Iterator<Item = SnapshotStep> {
    let vouch = SnapshotStep::Vouch {
        height: Height(7),
        version: 2_016,
        digest: Digest([9; 32]),
        node: NodeId([2; 32]),
    };
    [SnapshotStep::Mark, vouch].into_iter()
}

/// What another library says of a file.
fn carried(album: AlbumId) -> Carried {
    Carried {
        name: "b.jpg".to_owned(),
        names: vec!["a.jpg".to_owned(), "b.jpg".to_owned()],
        title: Some("Title".to_owned()),
        description: None,
        tags: vec![Told {
            value: "places/uk".to_owned(),
            source: Source::Xmp,
        }],
        refused: vec!["beach".to_owned()],
        rating: Some(3),
        favourite: true,
        taken_at: facts().taken_at,
        place: facts().place,
        state: State::Archived,
        words: CarriedWords {
            title: Some(Source::User),
            place: Some(Source::Rule),
            ..CarriedWords::default()
        },
        own: vec![CarriedField {
            field: 3,
            values: vec![FieldValue::Number(0.5)],
            source: Source::Model,
        }],
        albums: vec![(album, 2)],
        people: vec!["Jane".to_owned()],
        location: Some("Lyme Regis".to_owned()),
    }
}

/// Fields, tags, albums and operations.
fn own_payloads(file: BlobId) -> Vec<Payload> {
    let operation = OperationId([5; 16]);
    let album = AlbumId([4; 8]);
    vec![
        Payload::Field(FieldStep::Define {
            name: "price".to_owned(),
            definition: field_definition(),
        }),
        Payload::Field(FieldStep::Retire {
            name: "price".to_owned(),
        }),
        Payload::Edit {
            file,
            expected: Some(3),
            changes: own_changes(),
            source: Source::Rule,
            operation: Some(operation),
        },
        Payload::RenameTag {
            from: "places/uk".to_owned(),
            to: "places/britain".to_owned(),
        },
        Payload::Bulk(BulkStep::Begin {
            operation,
            deed: Deed::Edit(own_changes()),
            query: Some("tag:trip".to_owned()),
            frozen: Height(7),
            selected: 2,
        }),
        Payload::Bulk(BulkStep::Take { operation, file }),
        Payload::Bulk(BulkStep::End { operation }),
        Payload::Carry {
            file,
            carried: carried(album),
        },
        Payload::Album(AlbumStep::Put {
            album,
            definition: Album {
                name: "Wedding".to_owned(),
                parent: Some(AlbumId([3; 8])),
                description: "of Ann and Bo".to_owned(),
                query: Some("tag:wedding".to_owned()),
            },
        }),
        Payload::Album(AlbumStep::Delete { album }),
        Payload::Originals(OriginalsStep::Move {
            to: Some("az://photos/originals".to_owned()),
        }),
        Payload::Originals(OriginalsStep::Left { since: Height(7) }),
    ]
}

fn people(token: TokenId) -> Vec<Payload> {
    let user: UserId = "ann".parse().expect("a user's name");
    let create = UserStep::Create {
        user: user.clone(),
        name: "Ann".to_owned(),
        role: Role::Editor,
    };
    let sign_out = UserStep::SignOut {
        user: user.clone(),
        except: Some(token),
    };
    let password = PasswordStep {
        user: user.clone(),
        secret: SecretId([2; 16]),
        hash: "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g".to_owned(),
    };
    let session = TokenStep::Create {
        token,
        secret: Digest([8; 32]),
        name: "sign-in".to_owned(),
        scope: Scope::Write,
        owner: Some(user),
        expires: Some(Timestamp(9)),
        session: Some(3600),
    };
    let at = Timestamp(8);
    vec![
        Payload::User(create),
        Payload::User(sign_out),
        Payload::Password(password),
        Payload::Token(session),
        Payload::Token(TokenStep::Used(vec![TokenUse { token, at }])),
    ]
}

/// Who may see what, and what links open.
fn libraries(album: AlbumId) -> Vec<Payload> {
    let definition = LibraryDefinition {
        title: "Ours".to_owned(),
        shared: true,
    };
    let member = Principal::Token(TokenId([1; 8]));
    let role = LibraryRole::Owner;
    let set = LibraryStep::SetMember {
        member: member.clone(),
        role,
    };
    let steps = [
        LibraryStep::Create(definition.clone()),
        LibraryStep::Describe(definition),
        set,
        LibraryStep::RemoveMember { member },
        LibraryStep::Retire,
        LibraryStep::Restore,
    ];
    let share = |of, password| Share {
        of,
        title: "For granny".to_owned(),
        secret: Digest([4; 32]),
        password,
        expires: Some(Timestamp(9)),
        download: true,
        places: true,
    };
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g".to_owned();
    let shares = [
        share(Shared::File(BlobId([3; 32])), None),
        share(Shared::Album(album), Some(hash)),
        share(Shared::Query("tag:beach".to_owned()), None),
    ];
    let create = |definition| ShareStep::Create {
        share: ShareId([5; 8]),
        definition,
    };
    let revoke = ShareStep::Revoke {
        share: ShareId([5; 8]),
    };
    let shares = shares.into_iter().map(create).chain([revoke]);
    let steps = steps.into_iter().map(Payload::Library);
    steps.chain(shares.map(Payload::Share)).collect()
}

fn field_definition() -> FieldDefinition {
    FieldDefinition {
        name: "cost".to_owned(),
        kind: FieldKind::Number,
        list: true,
        description: "what it cost".to_owned(),
        allowed: vec![FieldValue::Number(1.5)],
        unit: "EUR".to_owned(),
    }
}

/// What the first kind of edit does not have.
fn own_changes() -> Vec<Change> {
    let album = AlbumId([4; 8]);
    let values = vec![
        FieldValue::Text("A-17".to_owned()),
        FieldValue::Integer(-3),
        FieldValue::Number(2.5),
        FieldValue::Boolean(true),
        FieldValue::Geo {
            lat: 51.5,
            lon: -0.1,
        },
    ];
    vec![
        Change::AddTag("seen".to_owned()),
        Change::RemoveTag("work".to_owned()),
        Change::Field { field: 1, values },
        Change::ShiftTaken(-3_600_000_000),
        Change::Zone(Some(60)),
        Change::AddToAlbum {
            album,
            rank: Some(5),
        },
        Change::RemoveFromAlbum(album),
        Change::Albums(vec![album]),
        Change::Cover { album, at: None },
    ]
}

fn succession() -> Payload {
    let block = first_block();
    let predecessor = Predecessor {
        chain: ChainId([9; 16]),
        height: block.height(),
        hash: block.hash(),
        certificate: Some(certify(&block, ballot(1))),
        left: membership().voters().to_vec(),
        carried: 1,
        note: "what others decided".to_owned(),
        recovered_at: Timestamp(7),
    };
    Payload::Succession {
        voters: membership().voters().to_vec(),
        predecessor: Arc::new(predecessor),
    }
}

/// What `codec::value` reads besides.
pub(crate) fn others() -> Named<Vec<u8>> {
    let block = first_block();
    let decided = Decided {
        certificate: Some(certify(&block, ballot(2))),
        block: block.clone(),
    };
    vec![
        ("header", block.header().to_bytes()),
        ("certificate", certify(&block, ballot(1)).to_bytes()),
        ("decided", decided.to_bytes()),
        ("membership", membership().to_bytes()),
        ("facts", facts().to_bytes()),
        ("metadata", metadata().to_bytes()),
        ("changes", changes().to_bytes()),
        ("turn", Some(turn()).to_bytes()),
        ("node", turn().node.to_string().into_bytes()),
        ("library", b"holiday-2026".to_vec()),
    ]
}
