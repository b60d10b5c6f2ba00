//! The cases: small clusters with few enough chances that all they can do can be tried.

/// When what was written is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disks {
    /// At any later moment, a record at a time or several.
    Slow,
    /// Within the step that wrote it.
    Prompt,
}

/// One move of the scripted beginning of a case. Seats count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// A client brings this node its next command.
    Submit(usize),
    /// Everything this node has written is flushed.
    Flush(usize),
    /// Every letter of the kind from the one to the other arrives.
    Deliver(usize, usize, &'static str),
    /// The node dies, loses what is not flushed, starts again and passes its check.
    Restart(usize),
    /// A timer of this node fires.
    Wake(usize),
    /// This node counts what was accepted, and decides.
    Learn(usize),
}

/// One bounded search.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// How it is called.
    pub name: &'static str,
    /// What is tried.
    pub about: &'static str,
    /// How many voters.
    pub nodes: usize,
    /// Heights looked at: what is sent above them is lost.
    pub heights: u64,
    /// Ballots above 1 that may be tried, by all nodes together.
    pub takeovers: usize,
    /// Crashes, of all nodes together.
    pub crashes: u8,
    /// How many commands each node's clients bring.
    pub commands: &'static [u8],
    /// How many reads each node's clients want.
    pub reads: &'static [u8],
    /// When disks flush.
    pub disks: Disks,
    /// Whether refusals arrive; without them a refused ballot is left to time.
    pub nacks: bool,
    /// Whether accepts say who has work, by which hints are chosen.
    pub workers: bool,
    /// The node whose first command removes another from the voters, and that other.
    pub removal: Option<(usize, usize)>,
    /// How the case begins, after every node has started and passed its check.
    pub beginning: &'static [Move],
    /// States after which the short search ends.
    pub short: usize,
    /// States after which the long search ends.
    pub long: usize,
}

impl Case {
    pub(crate) fn has_reads(&self) -> bool {
        self.reads.iter().any(|reads| *reads > 0)
    }

    pub(crate) fn is_flushed_at_once(&self) -> bool {
        self.disks == Disks::Prompt
    }

    /// The case of this name.
    pub fn named(name: &str) -> Option<Self> {
        CASES.iter().find(|case| case.name == name).copied()
    }
}

/// What most cases have in common.
const PLAIN: Case = Case {
    name: "",
    about: "",
    nodes: 3,
    heights: 1,
    takeovers: 1,
    crashes: 0,
    commands: &[1, 1, 1],
    reads: &[0, 0, 0],
    disks: Disks::Slow,
    nacks: false,
    workers: false,
    removal: None,
    beginning: &[],
    short: 100_000,
    long: 4_000_000,
};

/// All of them, the quickest first.
pub const CASES: &[Case] = &[
    Case {
        name: "three-proposers",
        about: "n=3, one height: the turn and two takeovers, each with a command of its own",
        takeovers: 2,
        beginning: &[Move::Submit(1), Move::Submit(2)],
        short: 300_000,
        ..PLAIN
    },
    Case {
        name: "refusals",
        about: "n=3, one height: as before, and refusals arrive",
        takeovers: 2,
        nacks: true,
        beginning: &[Move::Submit(1), Move::Submit(2)],
        ..PLAIN
    },
    Case {
        name: "refused-turn",
        about: "n=3, one height: a takeover under way, the turn refused, and more work for its holder",
        commands: &[2, 1, 0],
        nacks: true,
        beginning: REFUSED_TURN,
        ..PLAIN
    },
    Case {
        name: "three-takeovers",
        about: "n=3, one height: the turn and three takeovers",
        takeovers: 3,
        beginning: &[Move::Submit(1), Move::Submit(2)],
        ..PLAIN
    },
    Case {
        name: "crash",
        about: "n=3, one height: the turn, one takeover, one crash that loses what was not flushed",
        commands: &[2, 1, 0],
        crashes: 1,
        beginning: &[Move::Submit(1)],
        short: 300_000,
        ..PLAIN
    },
    Case {
        name: "crash-two-takeovers",
        about: "n=3, one height: the turn, two takeovers, one crash",
        takeovers: 2,
        commands: &[2, 1, 1],
        crashes: 1,
        beginning: &[Move::Submit(1)],
        ..PLAIN
    },
    Case {
        name: "two-crashes",
        about: "n=3, one height: the turn, one takeover, two crashes",
        commands: &[2, 1, 0],
        crashes: 2,
        beginning: &[Move::Submit(1)],
        ..PLAIN
    },
    Case {
        name: "second-height",
        about: "n=3, height 1 decided at n1 alone: one takeover, one crash and the second height",
        heights: 2,
        crashes: 1,
        commands: &[2, 1, 0],
        beginning: FIRST_HEIGHT,
        ..PLAIN
    },
    Case {
        name: "two-heights",
        about: "n=3, two heights in a row: the turn of each, one takeover",
        heights: 2,
        commands: &[1, 1, 0],
        ..PLAIN
    },
    Case {
        name: "two-heights-crash",
        about: "n=3, two heights in a row: the turn of each, one takeover, one crash",
        heights: 2,
        crashes: 1,
        commands: &[1, 1, 0],
        ..PLAIN
    },
    Case {
        name: "read",
        about: "n=3: a read at n3 against a write at n1",
        takeovers: 0,
        commands: &[1, 0, 0],
        reads: &[0, 0, 1],
        ..PLAIN
    },
    Case {
        name: "read-takeover",
        about: "n=3: a read at n3 against a write at n1 that others may have to finish",
        commands: &[1, 0, 0],
        reads: &[0, 0, 1],
        ..PLAIN
    },
    Case {
        name: "a-voter-leaves",
        about: "n=3, n1 removes n3 at height 1: the turn of each height, and one takeover",
        heights: 2,
        commands: &[1, 1, 0],
        removal: Some((0, 2)),
        short: 1_000_000,
        ..PLAIN
    },
    Case {
        name: "a-voter-leaves-crash",
        about: "n=3, n3 removed by a block that n1 alone knows decided: one takeover, one crash and the second height",
        heights: 2,
        crashes: 1,
        commands: &[2, 1, 0],
        removal: Some((0, 2)),
        beginning: FIRST_HEIGHT,
        ..PLAIN
    },
    Case {
        name: "the-turn-leaves",
        about: "n=3, n2 removes n1, which has the turn: the turn, one takeover and the second height",
        heights: 2,
        commands: &[1, 1, 0],
        removal: Some((1, 0)),
        ..PLAIN
    },
    Case {
        name: "four",
        about: "n=4, one height: the turn and two takeovers",
        nodes: 4,
        takeovers: 2,
        commands: &[1, 1, 1, 0],
        reads: &[0; 4],
        disks: Disks::Prompt,
        beginning: &[Move::Submit(1), Move::Submit(2)],
        short: 300_000,
        ..PLAIN
    },
    Case {
        name: "four-slow",
        about: "n=4, one height: the turn and one takeover, and disks that take their time",
        nodes: 4,
        commands: &[1, 1, 0, 0],
        reads: &[0; 4],
        beginning: &[Move::Submit(1)],
        ..PLAIN
    },
    Case {
        name: "five",
        about: "n=5, one height: the turn and one takeover",
        nodes: 5,
        commands: &[1, 1, 0, 0, 0],
        reads: &[0; 5],
        disks: Disks::Prompt,
        ..PLAIN
    },
    Case {
        name: "five-two-takeovers",
        about: "n=5, one height: the turn and two takeovers",
        nodes: 5,
        takeovers: 2,
        commands: &[1, 1, 1, 0, 0],
        reads: &[0; 5],
        disks: Disks::Prompt,
        beginning: &[Move::Submit(1), Move::Submit(2)],
        ..PLAIN
    },
];

/// n1 has decided height 1 with n2's help, n2 does not know it, and n3 has heard nothing.
const FIRST_HEIGHT: &[Move] = &[
    Move::Submit(0),
    Move::Flush(0),
    Move::Deliver(0, 1, "Accept"),
    Move::Flush(1),
    Move::Learn(0),
    Move::Submit(1),
];

/// n3 has joined n2's takeover and refuses n1's turn.
const REFUSED_TURN: &[Move] = &[
    Move::Submit(0),
    Move::Submit(1),
    Move::Wake(1),
    Move::Deliver(1, 2, "Prepare"),
    Move::Flush(2),
    Move::Deliver(0, 2, "Accept"),
    Move::Deliver(2, 0, "Nack"),
];
