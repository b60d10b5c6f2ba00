//! A ledger that begins anew above what the cluster has certified, for a node whose own can be believed no more.
//!
//! It is filled from the chain's first block on with blocks that prove themselves, and nothing of the old one is taken.
//! What the old one held of votes is gone. So the caller says from which height on that makes no difference
//! (docs/protocol.md, P78), and the log begins with one record that holds this: below and at that height nothing is voted on.

use model::{Boot, Decided, Height, Nonce, Roster, Signatures, Vote};

use crate::disk::Storage;
use crate::mend::{MendError, Mended, Mending, Supply, unprovable};
use crate::salvage::{Salvage, boot_in_headers, salvage};
use crate::sealed::Sealed;
use crate::window::list;

/// A ledger that is being filled. What was taken is kept, so that the same goes on if it is interrupted.
pub struct Anew<'a> {
    storage: &'a dyn Storage,
    signatures: &'a dyn Signatures,
    salvage: Salvage,
}

impl<'a> Anew<'a> {
    /// Of a folder that holds the chain's first block and what was taken before.
    ///
    /// # Errors
    /// A [`MendError`] if there is more in the log than the first block, or it cannot be read.
    pub fn open(
        storage: &'a dyn Storage,
        signatures: &'a dyn Signatures,
    ) -> Result<Self, MendError> {
        let salvage = salvage(storage).map_err(|why| unprovable(why, storage))?;
        Ok(Self {
            storage,
            signatures,
            salvage,
        })
    }

    /// Up to where it is filled, and who belongs to the cluster above that.
    ///
    /// # Errors
    /// A [`MendError`] if what was taken cannot be read.
    pub fn top(&self) -> Result<(Height, Roster), MendError> {
        let sealed = self.sealed()?;
        let below = sealed.below(&self.salvage.foundation, sealed.first_missing());
        let below = below.ok_or(crate::ReadError::Missing {
            height: sealed.top(),
        })?;
        Ok((below.height, Roster::clone(&below.roster)))
    }

    fn sealed(&self) -> Result<Sealed, MendError> {
        Ok(Sealed::read(self.storage, &self.salvage.foundation)?)
    }

    /// Takes blocks up to a height, each proved by its links and its certificate.
    ///
    /// # Errors
    /// A [`MendError`]; what was taken until then stays.
    pub fn take(&self, supply: &mut dyn Supply, to: Height) -> Result<(), MendError> {
        let sealed = self.sealed()?;
        let below = sealed.below(&self.salvage.foundation, sealed.first_missing());
        let Some(below) = below.filter(|below| below.height < to) else {
            return Ok(());
        };
        let mut filling = Mending {
            storage: self.storage,
            signatures: self.signatures,
            supply,
            foundation: &self.salvage.foundation,
            salvage: None,
            segment: None,
            reader: None,
            mended: Mended::default(),
        };
        filling.fill(below, to)
    }

    /// Lets the log begin: above `boot`, and with no vote up to `floor`, which need not be here yet.
    ///
    /// # Errors
    /// A [`MendError`]; the same may be tried again.
    pub fn begin(mut self, boot: Boot, floor: Height, nonce: Nonce) -> Result<(), MendError> {
        let sealed = self.sealed()?;
        let below = sealed.below(&self.salvage.foundation, sealed.first_missing());
        let below = below.ok_or(crate::ReadError::Missing {
            height: sealed.top(),
        })?;
        let floor = floor.max(below.height);
        let held = || Vote {
            height: floor.next(),
            promised: model::Ballot::NONE,
            accepted: None,
        };
        self.salvage.tip = (below.height, below.hash);
        self.salvage.floor = floor;
        self.salvage.vote = (below.height < floor).then(held);
        self.salvage.boot = boot;
        let mut beginning = Mending {
            storage: self.storage,
            signatures: self.signatures,
            supply: &mut Nobody,
            foundation: &self.salvage.foundation,
            salvage: Some(&self.salvage),
            segment: None,
            reader: None,
            mended: Mended::default(),
        };
        beginning.begin_anew(nonce)
    }
}

/// Nothing is asked for any more.
struct Nobody;

impl Supply for Nobody {
    fn blocks(&mut self, _: Height, _: Height) -> Vec<Decided> {
        Vec::new()
    }

    fn refuse(&mut self, _: Height, _: &str) {}
}

/// The highest start counter that the files of a ledger name, as far as they can be read: it is believed for nothing but
/// to begin above it.
pub fn highest_boot(storage: &dyn Storage) -> Boot {
    let files = list(storage);
    let boot = files.and_then(|files| boot_in_headers(storage, &files));
    boot.unwrap_or(Boot(0))
}
