//! Putting proofs together from a chain that is at hand.

use super::{Anchor, Change, Checkpoint, Consistency, Link, Opening, Receipt, STEPS_MAX, Step};
use crate::block::{Decided, Entry};
use crate::command::SealedCommand;
use crate::id::{Height, Position};
use crate::membership::Membership;

/// A chain to take proofs from.
pub trait Source {
    /// Why a block cannot be read.
    type Error;

    /// The block of a height with its certificate; nothing above the tip.
    ///
    /// # Errors
    /// If it cannot be read.
    fn block(&self, height: Height) -> Result<Option<Decided>, Self::Error>;

    /// The voters who decide this height, and the block that made them voters.
    ///
    /// # Errors
    /// If that cannot be read.
    fn voters(&self, height: Height) -> Result<(Height, Membership), Self::Error>;
}

/// Why there is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError<E> {
    /// A block cannot be read.
    #[error(transparent)]
    Source(#[from] E),
    /// The chain ends below this height.
    #[error("there is no block at height {0}")]
    NoBlock(Height),
    /// Nothing stands there, or it was erased.
    #[error("there is no command at {} of the block at height {}", .0.index, .0.height)]
    NoCommand(Position),
    /// The command lies below the block that the proof is to begin at.
    #[error("the proof is to begin at height {begins}, above height {height}")]
    Backwards {
        /// Where it is to begin.
        begins: Height,
        /// Where it is to lead.
        height: Height,
    },
    /// A block changed the voters, and no command in it did.
    #[error("the change of voters at height {0} is not in its block")]
    Unexplained(Height),
}

impl Checkpoint {
    /// At a block of the chain.
    ///
    /// # Errors
    /// [`BuildError::NoBlock`], [`BuildError::Source`].
    pub fn at<S: Source>(source: &S, height: Height) -> Result<Self, BuildError<S::Error>> {
        let block = read(source, height)?.block;
        let (epoch, voters) = source.voters(height)?;
        Ok(Self {
            chain: block.header().chain,
            height,
            hash: block.hash(),
            epoch,
            voters,
        })
    }
}

impl Receipt {
    /// Of the command at a position, for verifiers who trust the block at `begins` or a later one.
    ///
    /// # Errors
    /// Any [`BuildError`].
    pub fn of<S: Source>(
        source: &S,
        position: Position,
        begins: Height,
    ) -> Result<Self, BuildError<S::Error>> {
        let height = position.height;
        if begins > height {
            return Err(BuildError::Backwards { begins, height });
        }
        let decided = read(source, height)?;
        let opening = Opening::of(&decided.block, position.index);
        let opening = opening.ok_or(BuildError::NoCommand(position))?;
        let hash = read(source, begins)?.block.hash();
        Ok(Self {
            anchor: Anchor {
                height: begins,
                hash,
            },
            links: links(source, begins, height)?,
            header: decided.block.header().clone(),
            certificate: decided.certificate,
            opening,
        })
    }
}

impl Consistency {
    /// From the block at `from` up to the one at `to`, or as far as one piece goes.
    ///
    /// # Errors
    /// Any [`BuildError`].
    pub fn between<S: Source>(
        source: &S,
        from: Height,
        to: Height,
    ) -> Result<Self, BuildError<S::Error>> {
        if from > to {
            let (begins, height) = (from, to);
            return Err(BuildError::Backwards { begins, height });
        }
        let mut below = read(source, from)?;
        let base = below.block.header().clone();
        let (mut steps, mut read_bytes) = (Vec::new(), 0);
        for height in (from.0..to.0).take(STEPS_MAX) {
            let height = Height(height).next();
            let above = read(source, height)?;
            let changed = above.block.header().membership != below.block.header().membership;
            let change = changed.then(|| change(source, &below)).transpose()?;
            let header = above.block.header().clone();
            steps.push(Step { change, header });
            read_bytes += bytes(&above);
            below = above;
            if read_bytes >= READ_BYTES_MAX {
                break;
            }
        }
        let certificate = below.certificate.filter(|_| !steps.is_empty());
        Ok(Self {
            base,
            steps,
            certificate,
        })
    }
}

/// Whole blocks are read for their headers: a piece ends behind so many bytes of commands.
const READ_BYTES_MAX: usize = 32 << 20;

fn bytes(decided: &Decided) -> usize {
    let entries = decided.block.entries().iter();
    let sealed = entries.filter_map(Entry::sealed);
    sealed.map(SealedCommand::block_bytes).sum()
}

fn read<S: Source>(source: &S, height: Height) -> Result<Decided, BuildError<S::Error>> {
    let decided = source.block(height)?;
    decided.ok_or(BuildError::NoBlock(height))
}

/// The changes of voters from `begins` on and below `height`: each epoch names the block that made it.
fn links<S: Source>(
    source: &S,
    begins: Height,
    height: Height,
) -> Result<Vec<Link>, BuildError<S::Error>> {
    let mut links = Vec::new();
    let (mut epoch, _) = source.voters(height)?;
    while epoch > Height::GENESIS && epoch >= begins {
        let decided = read(source, epoch)?;
        let change = change(source, &decided)?;
        let header = decided.block.header().clone();
        links.push(Link { header, change });
        (epoch, _) = source.voters(epoch)?;
    }
    links.reverse();
    Ok(links)
}

/// The command of a block that changed the voters as they were changed.
fn change<S: Source>(source: &S, decided: &Decided) -> Result<Change, BuildError<S::Error>> {
    let block = &decided.block;
    let height = block.height();
    let (epoch, before) = source.voters(height)?;
    let (_, after) = source.voters(height.next())?;
    let did = |entry: &Entry| {
        let asked = entry.seat_change().filter(|(meant, _)| *meant == epoch);
        asked.and_then(|(_, change)| before.with(&change)) == Some(after.clone())
    };
    let entries = (0..).zip(block.entries());
    let mut found = entries.filter(|(_, entry)| did(entry));
    let opening = found
        .next()
        .and_then(|(index, _)| Opening::of(block, index));
    opening
        .zip(decided.certificate.clone())
        .map(|(opening, certificate)| Change {
            certificate,
            opening,
        })
        .ok_or(BuildError::Unexplained(height))
}
