//! Pruned commands, and whether a prune in force names them: nobody is believed who says so in an entry alone.

use std::collections::BTreeMap;

use model::{Block, Entry, Height, Prune, Roster, SealedCommand, Timestamp, Vouchers};

use super::Fault;

/// What a check has seen of pruned commands.
#[derive(Default)]
pub(super) struct Pruned {
    vouchers: Vouchers,
    /// Blocks that lack commands, with how many, for which no prune was found yet.
    waiting: BTreeMap<Height, (Timestamp, u32)>,
    /// How many are explained, and up to which height.
    explained: (u64, Height),
}

impl Pruned {
    /// Takes in the next block, which the voters of a roster decided, if that is known.
    pub(super) fn hear(&mut self, block: &Block, roster: Option<&Roster>) {
        let (height, time) = (block.height(), block.header().time);
        let sealed = block.entries().iter().filter_map(Entry::sealed);
        for prune in sealed.filter_map(SealedCommand::prunes) {
            self.explain(&prune, (height, time), roster);
        }
        self.vouchers.hear(block);
        let entries = block.entries().iter();
        let missing = entries.filter(|entry| matches!(entry, Entry::Pruned { .. }));
        let missing = u32::try_from(missing.count()).unwrap_or(u32::MAX);
        if missing > 0 {
            self.waiting.insert(height, (time, missing));
        }
    }

    /// Certificates cannot be checked either where the voters are not known.
    fn explain(&mut self, prune: &Prune, by: (Height, Timestamp), roster: Option<&Roster>) {
        self.waiting.retain(|height, (last, count)| {
            let meant = *height <= prune.through
                && match roster {
                    None => prune.is_about(by.0),
                    Some(roster) => prune.is_in_force(by, *last, &self.vouchers, roster.voters()),
                };
            if meant {
                self.explained.0 += u64::from(*count);
                self.explained.1 = self.explained.1.max(*height);
            }
            !meant
        });
    }

    /// At the end of the chain: what is wrong, and what is as it should be.
    pub(super) fn explained(self) -> (Vec<Fault>, Option<String>) {
        let fault = |(height, (_, count)): (Height, (Timestamp, u32))| {
            let what =
                format!("{count} commands are pruned, and no prune that is in force names them");
            Fault { height, what }
        };
        let faults = self.waiting.into_iter().map(fault).collect();
        let (count, through) = self.explained;
        let note =
            (count > 0).then(|| format!("{count} commands up to height {through} are pruned"));
        (faults, note)
    }
}
