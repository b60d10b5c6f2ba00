//! A counterexample: the shortest way to a broken invariant, run again and told in words.
//!
//! The search takes nodes that differ in time alone for one. So a trace it finds is run once more from the start, each
//! node from its own past, and counts as confirmed if the same check fails in its last step.

use consensus::{Message, Phase};
use model::{Ballot, Block, Payload};

use crate::cases::Case;
use crate::checks::{Violation, show_ballot};
use crate::node::Letter;
use crate::search::{Action, Search, State, kind_of};
use crate::stage::name;

/// How an invariant came to be broken.
#[derive(Debug, Clone)]
pub struct Counterexample {
    /// What is broken.
    pub violation: Violation,
    /// One line per action, and what came of it.
    pub lines: Vec<String>,
    /// Whether running it again, without merging any states, broke the same check.
    pub confirmed: bool,
}

/// Runs the beginning of the case and `trace` again; `search` knows the letters that its actions mean.
pub(crate) fn retell(
    case: Case,
    search: &Search,
    violation: Violation,
    trace: &[Action],
) -> Counterexample {
    let mut again = Search::new(case, false);
    let mut lines = Vec::new();
    let mut confirmed = false;
    match again.begin() {
        Err(first) => {
            lines.push(format!("broken before the case began: {}", first.detail));
            confirmed = first.check == violation.check;
        }
        Ok((mut state, played)) => {
            for action in &played {
                lines.push(format!("(beginning) {}", tell(&again, *action)));
            }
            for action in trace {
                let Some(action) = translate(search, &again, *action) else {
                    lines.push("a letter that was not sent when run again".to_owned());
                    break;
                };
                lines.push(tell(&again, action));
                match again.apply(&state, action) {
                    Ok(next) => {
                        lines.extend(changes(&again, &state, &next));
                        state = next;
                    }
                    Err(broken) => {
                        lines.push(format!("    breaks {}: {}", broken.check, broken.detail));
                        confirmed = broken.check == violation.check;
                        break;
                    }
                }
            }
        }
    }
    Counterexample {
        violation,
        lines,
        confirmed,
    }
}

/// The same action with the numbers of another search.
fn translate(from: &Search, to: &Search, action: Action) -> Option<Action> {
    let Action::Deliver(id) = action else {
        return Some(action);
    };
    let fingerprint = from.post.letter(id).fingerprint();
    to.post.find(fingerprint).map(Action::Deliver)
}

fn tell(search: &Search, action: Action) -> String {
    let node = |seat: u8| name(seat.into());
    match action {
        Action::Deliver(id) => {
            let letter = search.post.letter(id);
            format!("{} gets {}", name(letter.to), tell_letter(letter))
        }
        Action::Flush(seat, count) => format!("{} flushes {count} record(s)", node(seat)),
        Action::Wake(seat) => format!("{} wakes", node(seat)),
        Action::Submit(seat) => format!("{} is brought a command", node(seat)),
        Action::Read(seat) => format!("{} is asked to read", node(seat)),
        Action::Crash(seat, kept) => format!(
            "{} crashes and starts again; {kept} unflushed record(s) survive",
            node(seat)
        ),
        Action::Learn(seat) => format!("{} gets every Accepted sent to it", node(seat)),
        Action::Check(seat, other) => {
            format!("{} asks {} what it was", node(seat), node(other))
        }
    }
}

fn tell_letter(letter: &Letter) -> String {
    let kind = kind_of(&letter.message);
    let from = name(letter.from);
    match &letter.message {
        Message::Prepare { height, ballot } => {
            format!("{kind} {height} {} from {from}", show_ballot(*ballot))
        }
        Message::Promise {
            height,
            ballot,
            accepted,
        } => {
            let at = show_ballot(*ballot);
            format!(
                "{kind} {height} {at}, accepted {}, from {from}",
                tell_accepted(accepted)
            )
        }
        Message::Nack {
            height, promised, ..
        } => {
            let joined = show_ballot(*promised);
            format!("{kind} {height}, joined {joined}, from {from}")
        }
        Message::Accept(accept) => {
            let (at, block) = (show_ballot(accept.ballot), tell_block(&accept.block));
            format!("{kind} {at} {block} from {from}")
        }
        Message::Accepted { height, ballot, .. } => {
            format!("{kind} {height} {} from {from}", show_ballot(*ballot))
        }
        Message::Decide { block, certificate } => {
            let (at, block) = (show_ballot(certificate.ballot), tell_block(block));
            format!("{kind} {at} {block} from {from}")
        }
        Message::Top { round, top } => {
            format!("{kind} {top} for round {} from {from}", round & 0xffff_ffff)
        }
        _ => format!("{kind} from {from}"),
    }
}

fn tell_accepted<B: std::ops::Deref<Target = Block>>(accepted: &Option<(Ballot, B)>) -> String {
    accepted
        .as_ref()
        .map_or("nothing".to_owned(), |(ballot, block)| {
            format!("{} {}", show_ballot(*ballot), tell_block(block))
        })
}

fn tell_block(block: &Block) -> String {
    let entries = block.entries().iter();
    let texts = entries.filter_map(|entry| match entry.sealed()?.open().ok()?.payload {
        Payload::Record(text) => String::from_utf8(text).ok(),
        _ => None,
    });
    let texts: Vec<String> = texts.collect();
    let (height, hash) = (block.height(), block.hash());
    format!("block {height} {hash:?} [{}]", texts.join(" "))
}

/// What an action changed that can be seen from outside.
fn changes(search: &Search, before: &State, after: &State) -> Vec<String> {
    let mut lines = Vec::new();
    for seat in 0..search.stage.case.nodes {
        let (old, new) = (search.node(before, seat), search.node(after, seat));
        let (from, to) = (old.engine.vote(), new.engine.vote());
        let starting = old.starts == new.starts;
        if starting && from.height == to.height && from.promised != to.promised {
            let accepted = tell_accepted(&to.accepted);
            let at = show_ballot(to.promised);
            lines.push(format!(
                "    {}: promised {at}, accepted {accepted}",
                name(seat)
            ));
        }
        if old.engine.tip() < new.engine.tip() {
            lines.push(format!(
                "    {}: height {} is decided: {:?}",
                name(seat),
                new.engine.tip(),
                new.engine.head()
            ));
        }
        if old.engine.phase() != new.engine.phase() && new.engine.phase() == Phase::Voting {
            lines.push(format!("    {}: votes again", name(seat)));
        }
    }
    let old = search.post.letters(search.network_of(before));
    let new = search.post.letters(search.network_of(after));
    for id in new.iter().filter(|id| old.binary_search(id).is_err()) {
        let letter = search.post.letter(*id);
        lines.push(format!(
            "    sent to {}: {}",
            name(letter.to),
            tell_letter(letter)
        ));
    }
    lines
}
