//! What the catalogue takes of a block.

use catalogue::{BlockInput, Mention};
use model::{Block, Command, Height, Payload};
use replica::Disposition;

/// Why a catalogue cannot take a block.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// What its commands did is known to snapshots alone.
    #[error(
        "commands of height {0} are pruned: a catalogue begins with a snapshot of that height or above"
    )]
    Pruned(Height),
    /// The blocks that say so cannot be read.
    #[error("whether a prune is in force cannot be told")]
    Unreadable(#[from] ledger::ReadError),
    /// There is no ledger yet to ask.
    #[error("whether a prune is in force is asked of the ledger")]
    NoLedger,
}

/// What the catalogue takes of a block: the commands that are to be applied, and who else names a file.
pub(crate) fn block_input(
    block: &Block,
    dispositions: &[Disposition],
    ledger: Option<&ledger::Reader>,
) -> Result<BlockInput, InputError> {
    if dispositions.contains(&Disposition::Pruned) {
        return Err(InputError::Pruned(block.height()));
    }
    let mut commands = Vec::new();
    for (index, disposition) in (0..).zip(dispositions) {
        if let Disposition::Fresh(command) = disposition
            && command.payload.concerns_catalogue()
            && has_its_effect(command, block.height(), ledger)?
        {
            commands.push((index, command.clone()));
        }
    }
    Ok(BlockInput {
        height: block.height(),
        time: block.header().time,
        hash: block.hash(),
        commands,
        mentions: mentions(block, dispositions),
    })
}

/// Whether a prune is in force is told from the chain; the catalogue hears of no other.
fn has_its_effect(
    command: &Command,
    at: Height,
    ledger: Option<&ledger::Reader>,
) -> Result<bool, InputError> {
    match &command.payload {
        Payload::Prune(prune) => {
            let ledger = ledger.ok_or(InputError::NoLedger)?;
            Ok(ledger.is_in_force(prune, at)?)
        }
        _ => Ok(true),
    }
}

/// Commands that are not applied and name a file all the same: a purge has to name them too.
fn mentions(block: &Block, dispositions: &[Disposition]) -> Vec<Mention> {
    let entries = block.entries().iter().zip(dispositions);
    let idle = (0..)
        .zip(entries)
        .filter(|(_, (_, disposition))| !matches!(disposition, Disposition::Fresh(_)));
    idle.filter_map(|(index, (entry, _))| {
        let command = entry.sealed()?.open().ok()?;
        Mention::of(index, &command, false)
    })
    .collect()
}
