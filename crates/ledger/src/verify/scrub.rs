//! Checks a ledger in use part by part, for whoever goes over all of it again and again.
//!
//! A part is a segment or the log: small enough to be held in memory, whole enough to be judged. The node goes on
//! beside it, so a record may be half written and a file sealed, replaced or let go of between two reads: what seems
//! wrong is damage only if a second look, a moment later, says the same ([`Reader::still`]).

use std::collections::BTreeMap;
use std::io;

use model::{Height, Signatures};

use super::{Check, Survey, in_segment, read_all};
use crate::format::file_name;
use crate::index::Entry;
use crate::reader::{Reader, read_entry};
use crate::recovery::{OpenError, Spare};
use crate::sealed::{Segment, describe, names};
use crate::segment::links::Links;
use crate::segment::{Contents, SegmentName};
use crate::verify::Fault;
use crate::window::{self, ScanError, list};

/// Where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// In a segment.
    Segment(SegmentName),
    /// In a file of the log.
    Log(String),
    /// Decided blocks are nowhere on this disk.
    Missing {
        /// The first.
        from: Height,
        /// The last.
        to: Height,
    },
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub site: Site,
    /// The height, or the first one that may be concerned.
    pub height: Height,
    /// What is wrong, for people.
    pub what: String,
    /// Whether a second copy beside it says the same, so that nothing is lost.
    pub harmless: bool,
    /// What [`Reader::rewrite`] needs to make both copies good again.
    pub spares: Vec<Spare>,
}

/// Told how many bytes were read since the last time; false to stop.
pub type Pace<'a> = &'a mut dyn FnMut(u64) -> bool;

/// Whoever paced the check has stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the check was stopped")]
pub struct Stopped;

impl Reader {
    /// Reads all of a segment of this ledger's: checksums, links, Merkle roots, certificates, and that it is the one
    /// its name says.
    ///
    /// # Errors
    /// [`Stopped`], if `pace` says so.
    pub fn scrub_segment(
        &self,
        name: SegmentName,
        signatures: &dyn Signatures,
        pace: Pace<'_>,
    ) -> Result<Vec<Damage>, Stopped> {
        let storage = &**self.storage();
        let mut check = self.check_from(name.from(), signatures);
        let framed = Segment::frame(storage, self.foundation(), name);
        match framed.and_then(|_| read_all(storage, name)) {
            Ok(bytes) if pace(bytes.len() as u64) => check.contents(name, &bytes, pace)?,
            Ok(_) => return Err(Stopped),
            Err(error) => check.fault_in(name, name.from(), &describe(&error)),
        }
        let site = Site::Segment(name);
        let faults = check.finish().faults.into_iter();
        Ok(faults.map(|fault| Damage::of(&site, fault)).collect())
    }

    /// Reads all of the log, also what repeats segments, and both copies of every vote; and says which blocks are
    /// nowhere. A record that is being written seems to be damaged.
    ///
    /// # Errors
    /// [`Stopped`], if `pace` says so.
    pub fn scrub_log(
        &self,
        signatures: &dyn Signatures,
        pace: Pace<'_>,
    ) -> Result<Vec<Damage>, Stopped> {
        let mut damage = self.nowhere();
        match self.survey_log(signatures, pace) {
            Ok(found) => damage.extend(found),
            Err(Refusal::Stopped) => return Err(Stopped),
            Err(Refusal::Unreadable(error)) => damage.push(Damage {
                site: Site::Log(file_of(&error)),
                height: self.sealed_top().next(),
                what: describe(&error),
                harmless: false,
                spares: Vec::new(),
            }),
        }
        Ok(damage)
    }

    fn survey_log(
        &self,
        signatures: &dyn Signatures,
        pace: Pace<'_>,
    ) -> Result<Vec<Damage>, Refusal> {
        let storage = &**self.storage();
        let files = list(storage)?;
        let named = names(storage)?.iter().map(SegmentName::to).max();
        let named = named.unwrap_or(self.genesis().height());
        let (files, base) = window::begin(storage, files, named)?;
        let base = base.and_then(|base| base.origin);
        let read = files.iter().map(|file| file.length).sum();
        let mut survey = Survey::new(storage, &files, named, base);
        survey.walk()?;
        if !pace(read) {
            return Err(Refusal::Stopped);
        }
        let in_file = |fault: Fault, harmless, spares| {
            // A survey says the file first.
            let file = files.iter().find(|file| fault.what.starts_with(&file.name));
            Damage {
                site: Site::Log(file.map(|file| file.name.clone()).unwrap_or_default()),
                height: fault.height,
                what: fault.what,
                harmless,
                spares,
            }
        };
        let torn = survey.faults.into_iter().chain(survey.unfinished);
        let torn = torn.map(|fault| in_file(fault, false, Vec::new()));
        let copies = survey.copies.into_iter();
        let copies = copies.map(|(fault, spares)| in_file(fault, true, spares));
        let mut damage: Vec<Damage> = torn.chain(copies).collect();
        self.logged_blocks(&survey.blocks, signatures, pace, &mut damage)?;
        self.unread_blocks(&survey.blocks, &mut damage);
        Ok(damage)
    }

    /// The blocks that the log says it has: those above the segments are the chain, those below must be equal to it.
    fn logged_blocks(
        &self,
        blocks: &BTreeMap<Height, Entry>,
        signatures: &dyn Signatures,
        pace: Pace<'_>,
        damage: &mut Vec<Damage>,
    ) -> Result<(), Stopped> {
        let top = self.sealed_top();
        let mut check = self.check_from(top.next(), signatures);
        for (height, entry) in blocks {
            let before = check.report.faults.len();
            if *height > top {
                check.entry(*height, *entry);
            } else if let Err(error) = read_entry(check.storage, *height, entry) {
                check.missing(*height, error.to_string());
            } else if self.hash(*height).is_some_and(|hash| hash != entry.hash) {
                let what = "the log has another block of this height than the chain";
                check.missing(*height, what.to_owned());
            }
            let site = Site::Log(file_name(entry.body.file));
            let new = check.report.faults.iter().skip(before).cloned();
            damage.extend(new.map(|fault| Damage::of(&site, fault)));
            if !pace(0) {
                return Err(Stopped);
            }
        }
        Ok(())
    }

    /// Genesis and the blocks above the segments that were not found where the log was read, since what is before them is damaged.
    fn unread_blocks(&self, blocks: &BTreeMap<Height, Entry>, damage: &mut Vec<Damage>) {
        let first = self.genesis().height();
        if !blocks.contains_key(&first) {
            damage.push(Damage {
                site: Site::Log(file_name(0)),
                height: first,
                what: "the record of the genesis block is damaged".to_owned(),
                harmless: false,
                spares: Vec::new(),
            });
        }
        let heights = (self.sealed_top().next().0..=self.tip().0.0).map(Height);
        for height in heights.filter(|height| !blocks.contains_key(height)) {
            if let Err(error) = self.block(height) {
                damage.push(Damage {
                    site: Site::Missing {
                        from: height,
                        to: height,
                    },
                    height,
                    what: error.to_string(),
                    harmless: false,
                    spares: Vec::new(),
                });
            }
        }
    }

    /// Writes what the log keeps twice anew, from the copy that is good. It was flushed long ago and is never written
    /// otherwise, so whatever the ledger writes meanwhile is elsewhere; and a crash can spoil only what is spoilt.
    ///
    /// # Errors
    /// If it could not be done.
    pub fn rewrite(&self, spare: &Spare) -> io::Result<()> {
        self.storage()
            .rewrite(&spare.file, spare.offset, &spare.bytes)
    }

    /// The names of all segments that lie in this ledger, also of those whose blocks are read from others.
    ///
    /// # Errors
    /// If the disk does not say.
    pub fn segment_files(&self) -> Result<Vec<SegmentName>, OpenError> {
        Ok(names(&**self.storage())?)
    }

    /// What a second look at the same part says too, and is still of this ledger.
    pub fn still(&self, first: &[Damage], mut second: Vec<Damage>) -> Vec<Damage> {
        let here = self.segment_files().unwrap_or_default();
        let (used, damaged) = (self.segments(), self.damaged_segments());
        let of_use = |name: &SegmentName| {
            let left = damaged.iter().any(|damaged| damaged.name == *name);
            used.contains(name) || left || here.contains(name)
        };
        second.retain(|damage| match &damage.site {
            Site::Segment(name) => of_use(name),
            _ => first.contains(damage),
        });
        second
    }

    /// Decided blocks that neither a segment nor the log has.
    fn nowhere(&self) -> Vec<Damage> {
        let mut next = self.genesis().height().next();
        let mut damage = Vec::new();
        for segment in self.segments() {
            if let Some(to) = segment.from().previous().filter(|to| *to >= next)
                && let Err(error) = self.block(next)
            {
                damage.push(Damage {
                    site: Site::Missing { from: next, to },
                    height: next,
                    what: error.to_string(),
                    harmless: false,
                    spares: Vec::new(),
                });
            }
            next = next.max(segment.to().next());
        }
        damage
    }

    fn sealed_top(&self) -> Height {
        let last = self.segments().last().map(SegmentName::to);
        last.unwrap_or(self.genesis().height())
    }

    /// A check that goes on at a height, with what is known below it.
    fn check_from<'a>(&'a self, from: Height, signatures: &'a dyn Signatures) -> Check<'a> {
        let storage = &**self.storage();
        let roster = self.roster_deciding(from).ok();
        let mut check = Check::new(storage, self.foundation(), signatures, (from, roster));
        if let Some(Ok(Some(below))) = from.previous().map(|below| self.block(below)) {
            check.below = Some((below.block.header().clone(), below.block.hash()));
        }
        check
    }
}

impl Check<'_> {
    /// The blocks of a segment and what it says of them, at somebody's pace.
    fn contents(&mut self, name: SegmentName, bytes: &[u8], pace: Pace<'_>) -> Result<(), Stopped> {
        let mut contents = match Contents::open(bytes) {
            Ok(contents) => contents,
            Err(error) => {
                self.fault_in(name, name.from(), &describe(&error));
                return Ok(());
            }
        };
        let mut links = self.below().map(Links::above);
        for (height, decided) in (name.from().0..).map(Height).zip(&mut contents) {
            match decided {
                Ok(decided) => {
                    links = links.and_then(|mut links| links.push(&decided).ok().map(|()| links));
                    self.block(height, &decided);
                }
                Err(error) => {
                    links = None;
                    self.missing(height, in_segment(name, &error.to_string()));
                }
            }
            if !pace(0) {
                return Err(Stopped);
            }
        }
        let said = links.map(|links| links.summary().as_ref() == Some(&contents.frame.summary));
        if said == Some(false) {
            self.fault_in(name, name.to(), "its summary is not what its blocks say");
        }
        Ok(())
    }
}

impl Damage {
    fn of(site: &Site, fault: Fault) -> Self {
        Self {
            site: site.clone(),
            height: fault.height,
            what: fault.what,
            harmless: false,
            spares: Vec::new(),
        }
    }
}

/// The file that a log could not be read for.
fn file_of(error: &OpenError) -> String {
    match error {
        OpenError::Io { file, .. }
        | OpenError::TooLong { file, .. }
        | OpenError::Version { file, .. }
        | OpenError::Foreign { file, .. } => file.clone(),
        _ => file_name(0),
    }
}

/// Why the log was not surveyed to its end.
enum Refusal {
    Stopped,
    Unreadable(OpenError),
}

impl From<Stopped> for Refusal {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<ScanError> for Refusal {
    fn from(error: ScanError) -> Self {
        Self::Unreadable(error.into())
    }
}
