//! Protocol tests as data: one scenario a file in `tests/scripts`, its name is the claim, its recorded output the
//! specification. `UPDATE_GOLDENFILES=1 cargo test -p consensus` records; read the difference before committing it.
//!
//! A script types the lines above `---`; below stands what the cluster did: messages sent, blocks decided. Beacons,
//! pings and start-up questions are carried at once and not shown. Disks flush at once unless held.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is wrong panics"
)]

mod harness;

use std::error::Error;
use std::path::Path;

use consensus::DiskRoom;
use harness::{Cluster, Filter};

test_each_file::test_each_path! { in "crates/consensus/tests/scripts" => run }

fn run(path: &Path) {
    goldenscript::run(&mut Runner::default(), path).expect("the script's output differs");
}

#[derive(Default)]
struct Runner {
    cluster: Option<Cluster>,
}

#[derive(goldenscript::Command)]
enum Command {
    /// Starts a cluster of so many nodes.
    Cluster { nodes: usize },
    /// A client of a node wants a command decided.
    Submit { node: String, names: String },
    /// A client of a node wants a linearizable read.
    Read { node: String },
    /// Delivers messages until nothing is under way, or only those that match, once each.
    Deliver {
        #[arg(key)]
        from: Option<String>,
        #[arg(key)]
        to: Option<String>,
        #[arg(key)]
        kind: Option<String>,
    },
    /// Loses the messages under way that match.
    Drop {
        #[arg(key)]
        from: Option<String>,
        #[arg(key)]
        to: Option<String>,
        #[arg(key)]
        kind: Option<String>,
    },
    /// Copies the messages under way that match, for `repeat`.
    Copy {
        #[arg(key)]
        from: Option<String>,
        #[arg(key)]
        to: Option<String>,
        #[arg(key)]
        kind: Option<String>,
    },
    /// The copies are under way: late duplicates.
    Repeat,
    /// From now on nothing passes between two nodes.
    Cut { one: String, other: String },
    /// From now on nothing reaches a node; what it says passes.
    Deafen { node: String },
    /// Everything passes again.
    Heal,
    /// A node's flushes do not return until `flush`.
    Hold { node: String },
    /// A node's flushes return.
    Flush { node: String },
    /// A node's next flush fails.
    FailFlush { node: String },
    /// A node dies and loses what was not flushed.
    Crash { node: String },
    /// A dead node starts again from its disk.
    Restart { node: String },
    /// A dead node's disk is put back to how it was when it last started.
    RollBack { node: String },
    /// A node's disk is full: flushes return when there is room again.
    Full { node: String },
    /// There is room again.
    Room { node: String },
    /// A node's wall clock is ahead by so many milliseconds.
    ClockAhead { node: String, ms: u64 },
    /// A node signs a second block at the ballot of its accept under way.
    ProposeTwice {
        node: String,
        to: String,
        name: String,
    },
    /// A node signs that it accepted another block at its ballot.
    AcceptTwice {
        node: String,
        to: String,
        name: String,
    },
    /// A node gives its turn away.
    Yield { node: String },
    /// So many milliseconds pass.
    Wait { ms: u64 },
    /// From now on a message from or to a node takes so many milliseconds in `run`.
    Far { node: String, ms: u64 },
    /// So many milliseconds pass, and every message takes one, or what `far` said.
    Run { ms: u64 },
    /// Shows every node.
    Status,
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(
        &mut self,
        command: &Command,
        _: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        if let Command::Cluster { nodes } = command {
            self.cluster = Some(Cluster::start(*nodes));
            return Ok(self.cluster.as_mut().ok_or("no cluster")?.take_output());
        }
        let cluster = self
            .cluster
            .as_mut()
            .ok_or("the first command is `cluster`")?;
        match command {
            Command::Cluster { .. } => {}
            Command::Submit { node, names } => cluster.submit(node, names)?,
            Command::Read { node } => cluster.read(node)?,
            Command::Deliver { from, to, kind } => {
                cluster.deliver(&Filter::new(
                    from.as_deref(),
                    to.as_deref(),
                    kind.as_deref(),
                ));
            }
            Command::Drop { from, to, kind } => {
                cluster.lose(&Filter::new(
                    from.as_deref(),
                    to.as_deref(),
                    kind.as_deref(),
                ));
            }
            Command::Copy { from, to, kind } => {
                cluster.copy(&Filter::new(
                    from.as_deref(),
                    to.as_deref(),
                    kind.as_deref(),
                ));
            }
            Command::Repeat => cluster.repeat(),
            Command::Cut { one, other } => cluster.cut(one, other)?,
            Command::Deafen { node } => cluster.deafen(node)?,
            Command::Heal => cluster.heal(),
            Command::Hold { node } => cluster.hold(node)?,
            Command::Flush { node } => cluster.flush(node)?,
            Command::FailFlush { node } => cluster.fail_flush(node)?,
            Command::Crash { node } => cluster.crash(node)?,
            Command::Restart { node } => cluster.restart(node)?,
            Command::RollBack { node } => cluster.roll_back(node)?,
            Command::Full { node } => cluster.room(node, DiskRoom::Full)?,
            Command::Room { node } => {
                cluster.room(node, DiskRoom::Free)?;
                cluster.flush(node)?;
            }
            Command::ClockAhead { node, ms } => cluster.set_clock_ahead(node, *ms)?,
            Command::ProposeTwice { node, to, name } => cluster.propose_twice(node, to, name)?,
            Command::AcceptTwice { node, to, name } => cluster.accept_twice(node, to, name)?,
            Command::Yield { node } => cluster.give_away(node)?,
            Command::Wait { ms } => cluster.wait(*ms),
            Command::Far { node, ms } => cluster.put_far(node, *ms)?,
            Command::Run { ms } => cluster.run(*ms),
            Command::Status => cluster.status(),
        }
        Ok(cluster.take_output())
    }
}
