//! Whom this node knows, from the ledger and from its own configuration.

use std::sync::Arc;
use std::time::Duration;

use model::{NodeId, Roster};
use tracing::warn;

use crate::address_book;
use crate::config::{MemberConfig, NodeConfig};
use crate::peer::{Acquaintance, Peers, Standing};
use crate::replica_thread::ReplicaHandle;

/// How often it is asked whether this node is lonely.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Everybody in the roster, who has left, and whom the address book names besides.
pub(crate) fn of(roster: &Roster, book: &[MemberConfig]) -> Vec<Acquaintance> {
    let members = roster
        .everybody()
        .map(|member| know(roster, book, member.id, &member.name, Standing::Member));
    let former = roster
        .former()
        .iter()
        .map(|(id, left)| know(roster, book, *id, &left.name, Standing::Former));
    let contacts = book
        .iter()
        .filter(|entry| roster.name_of(entry.id).is_none())
        .map(|entry| know(roster, book, entry.id, &entry.name, Standing::Contact));
    members.chain(former).chain(contacts).collect()
}

/// Everybody in the address book: for a node that cannot read its ledger.
pub(crate) fn in_book(book: &[MemberConfig]) -> Vec<Acquaintance> {
    let known = |entry: &MemberConfig| Acquaintance {
        pinned: entry.pinned,
        ..contact(entry.id, &entry.name, &entry.peer_address)
    };
    book.iter().map(known).collect()
}

/// Who may know more of the ledger.
pub(crate) fn contact(id: NodeId, name: &str, address: &str) -> Acquaintance {
    Acquaintance {
        id,
        name: name.to_owned(),
        address: Some(address.to_owned()),
        pinned: false,
        standing: Standing::Contact,
    }
}

fn know(
    roster: &Roster,
    book: &[MemberConfig],
    id: NodeId,
    name: &str,
    standing: Standing,
) -> Acquaintance {
    let entry = book.iter().find(|entry| entry.id == id);
    let pinned = entry.filter(|entry| entry.pinned);
    let decided = roster.addresses(id).map(|addresses| &addresses.peer);
    let address = pinned
        .map(|entry| &entry.peer_address)
        .or(decided)
        .or(entry.map(|entry| &entry.peer_address));
    Acquaintance {
        id,
        name: name.to_owned(),
        address: address.cloned(),
        pinned: pinned.is_some(),
        standing,
    }
}

/// Keeps the links in step with the ledger, and says whether strangers are heard.
pub(crate) async fn follow(config: Arc<NodeConfig>, replica: ReplicaHandle, peers: Peers) {
    let mut rosters = replica.rosters();
    loop {
        let roster = Arc::clone(&rosters.borrow_and_update());
        let whom = of(&roster, &config.members);
        let noted = address_book::note(&config.folder, &whom);
        noted.unwrap_or_else(|error| warn!(%error, "where the members are could not be noted"));
        peers.follow(whom);
        loop {
            peers.hear_strangers(replica.status().replica.lonely);
            match tokio::time::timeout(LOOK_EVERY, rosters.changed()).await {
                Ok(Ok(())) => break,
                Ok(Err(_)) => return,
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Addresses, Block, ChainId, Command, LibraryId, Member, Membership};
    use model::{Payload, RosterChange, Timestamp, TokenId};

    use super::*;

    fn command(change: RosterChange) -> model::SealedCommand {
        let command = Command {
            library: LibraryId::home(),
            actor: TokenId([0; 8]),
            key: None,
            valid_until: Timestamp(1),
            payload: Payload::Roster(change),
        };
        command.seal([0; 16])
    }

    fn entry(n: u8, pinned: bool) -> MemberConfig {
        MemberConfig {
            name: format!("n{n}"),
            id: NodeId([n; 32]),
            peer_address: format!("book:{n}"),
            url: format!("http://book-{n}"),
            pinned,
        }
    }

    #[test]
    fn the_ledger_goes_before_the_book_and_a_pin_before_the_ledger() {
        let member = |n: u8| Member {
            id: NodeId([n; 32]),
            name: format!("n{n}"),
        };
        let voters = Membership::new(vec![member(1), member(2), member(3)]).unwrap();
        let settle = |n: u8| {
            command(RosterChange::Move {
                node: NodeId([n; 32]),
                addresses: Addresses {
                    peer: format!("ledger:{n}"),
                    url: format!("http://ledger-{n}"),
                },
            })
        };
        let moves = vec![settle(1), settle(2)];
        let block = Block::founding(ChainId([7; 16]), &voters, Timestamp(1), settle(9), moves);
        let roster = Roster::founded(voters).after(&block).unwrap();
        let book = [
            entry(1, false),
            entry(2, true),
            entry(3, false),
            entry(4, false),
        ];
        let known = of(&roster, &book);
        let addresses: Vec<_> = known
            .iter()
            .map(|who| who.address.clone().unwrap())
            .collect();
        assert_eq!(addresses, ["ledger:1", "book:2", "book:3", "book:4"]);
        assert_eq!(known[3].standing, Standing::Contact);
        assert!(known[1].pinned && !known[0].pinned);
    }
}
