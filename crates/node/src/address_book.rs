//! Where the members were when this node last knew: for a start that cannot read its ledger.
//!
//! The addresses that count are in the ledger. A node whose ledger is damaged has its configuration, which names those who
//! were there when it was made, and this note, which names those who belonged to the cluster when it ran. Nobody in it is
//! believed: links are proved by keys, and blocks prove themselves.

use std::fs;
use std::io;
use std::path::Path;

use model::NodeId;

use crate::acquaintances;
use crate::config::MemberConfig;
use crate::peer::Acquaintance;

/// The note's file in a node's folder: a line for each, its key, its address and its name.
const FILE: &str = "members.stamp";

/// Notes the members whose addresses are known.
pub(crate) fn note(folder: &Path, whom: &[Acquaintance]) -> io::Result<()> {
    let line = |who: &Acquaintance| {
        let address = who.address.as_deref()?;
        Some(format!("{} {address} {}\n", who.id, who.name))
    };
    let text: String = whom.iter().filter_map(line).collect();
    let unfinished = folder.join(format!("{FILE}.unfinished"));
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, folder.join(FILE))
}

/// Whom to ask without a ledger: those of the configuration where it pins an address, else as they were noted, else as the
/// configuration says.
pub(crate) fn whom(folder: &Path, book: &[MemberConfig]) -> Vec<Acquaintance> {
    let mut whom = acquaintances::in_book(book);
    let noted = fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    for (id, address, name) in noted.lines().filter_map(read) {
        match whom.iter_mut().find(|known| known.id == id) {
            Some(known) if known.pinned => {}
            Some(known) => known.address = Some(address.to_owned()),
            None => whom.push(acquaintances::contact(id, name, address)),
        }
    }
    whom
}

/// A line that cannot be read is passed over.
fn read(line: &str) -> Option<(NodeId, &str, &str)> {
    let (id, rest) = line.split_once(' ')?;
    let (address, name) = rest.split_once(' ')?;
    Some((id.parse().ok()?, address, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u8, pinned: bool) -> MemberConfig {
        MemberConfig {
            name: format!("n{n}"),
            id: NodeId([n; 32]),
            peer_address: format!("book:{n}"),
            url: String::new(),
            pinned,
        }
    }

    #[test]
    fn who_joined_or_moved_is_known_without_a_ledger_and_a_pin_goes_before_the_note() {
        let folder = tempfile::tempdir().unwrap();
        let book = [entry(1, false), entry(2, true), entry(3, false)];
        let addresses = || -> Vec<String> {
            let whom = whom(folder.path(), &book).into_iter();
            whom.map(|who| who.address.unwrap()).collect()
        };
        assert_eq!(addresses(), ["book:1", "book:2", "book:3"]);
        let noted = [1, 2, 9].map(|n| {
            let (name, address) = (format!("n {n}"), format!("noted:{n}"));
            acquaintances::contact(NodeId([n; 32]), &name, &address)
        });
        note(folder.path(), &noted).unwrap();
        assert_eq!(addresses(), ["noted:1", "book:2", "book:3", "noted:9"]);
        let last = whom(folder.path(), &book).pop().unwrap();
        assert_eq!((last.id, last.name.as_str()), (NodeId([9; 32]), "n 9"));
        fs::write(folder.path().join(FILE), "no line of ours\n\n77 x").unwrap();
        assert_eq!(addresses(), ["book:1", "book:2", "book:3"]);
    }
}
