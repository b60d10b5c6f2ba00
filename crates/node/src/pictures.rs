//! What files look like: read out of their bytes when they come in, and made small for those who ask.
//!
//! A picture is decoded once for 256 and 512 pixels, when its file comes in; 1440 are made when somebody asks. What only a
//! program outside can decode is made in all sizes at once, because the program is the dear part. Thumbnails are kept beside
//! the blobs, as what can be made again, and nodes that have none get them from those that have: see `peer`.
//!
//! What is read goes through the ledger, so every node says the same of a file. Whether there is a picture to show may differ
//! between nodes for a while: one without a decoder asks the others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blobs::Store;
use bytes::Bytes;
use media::{Decoder, Described, Examined, ThumbnailError, Upright};
use model::BlobId;
use model::file::{Facts, Kind, Place};
use model::media::{Look, Told};
use tokio::sync::Semaphore;

use crate::decoders::{DecodeError, Decoders, Wanted};

/// The sizes of thumbnails, in pixels on the longest side.
pub(crate) const SIZES: [u32; 3] = [256, 512, 1440];
/// Those that are made when a file comes in, beside the smallest.
const AT_ONCE: [u32; 1] = [512];
/// Pictures decoded at one time: each may take a gigabyte.
const EXAMINERS: usize = 2;
/// How notes begin that say which decoder is missing. The catalogue takes them back when one is found.
const NO_THUMBNAIL: &str = "no thumbnail: ";
/// What a file may tell of itself in tags, and in names of people: a command must have room for all of it.
const WORDS_BYTES_MAX: usize = 48 << 10;

/// The node stops, or a decoder brought its thread down.
#[derive(Debug, thiserror::Error)]
#[error("looking at a picture")]
pub(crate) struct Interrupted(#[from] tokio::task::JoinError);

/// What comes with a file's bytes and is read with them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Around {
    /// What the uploader calls it.
    pub(crate) name: String,
    /// An XMP file beside it.
    pub(crate) sidecar: Option<Bytes>,
}

/// What a file says of itself, in the ledger's words.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Seen {
    pub(crate) facts: Facts,
    pub(crate) described: model::media::Described,
    pub(crate) perceptual_hash: Option<u64>,
    pub(crate) needs: Option<String>,
}

/// Looks at pictures. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pictures(Arc<Shared>);

struct Shared {
    store: Store,
    decoders: Decoders,
    examiners: Semaphore,
}

impl Pictures {
    /// Of the blobs here, with the programs in `folders`, which work in `workshop`.
    pub(crate) fn new(store: Store, folders: Vec<PathBuf>, workshop: PathBuf) -> Self {
        let decoders = Decoders::new(folders, workshop);
        Self(Arc::new(Shared {
            store,
            decoders,
            examiners: Semaphore::new(EXAMINERS),
        }))
    }

    /// Whether what needs this decoder can be decoded here.
    pub(crate) fn can(&self, needs: &str) -> bool {
        self.0.decoders.has(needs)
    }

    /// What a blob that is here says of itself; keeps the thumbnails.
    pub(crate) async fn examine(&self, id: BlobId, around: Around) -> Result<Seen, Interrupted> {
        let _turn = self.turn().await;
        let path = self.path(id);
        let read = path.clone();
        let (mut examined, notes) = blocking(move || {
            let mut examined = media::examine_with(&read, &AT_ONCE);
            let notes = add_around(&mut examined, &around);
            (examined, notes)
        })
        .await?;
        examined.facts.notes.extend(notes);
        // The camera's own preview of a raw file is as good as can be had.
        let has_picture = examined.thumbnail.is_some();
        examined.needs = examined
            .needs
            .filter(|needs| !(has_picture && *needs == Decoder::Libraw));
        match self.decode(id, &path, &examined).await? {
            Some(Ok(upright)) => take_over(&mut examined, &upright),
            Some(Err(why)) => give_up(&mut examined, why),
            None => self.keep_own(id, &mut examined).await?,
        }
        blocking(move || seen(examined)).await
    }

    /// Keeps what was made here without a program outside, and says what was missing for more.
    async fn keep_own(&self, id: BlobId, examined: &mut Examined) -> Result<(), Interrupted> {
        let small = examined.thumbnail.take();
        let small = small.map(|jpeg| (media::THUMBNAIL_PX, jpeg));
        let larger = std::mem::take(&mut examined.larger).into_iter();
        let made: Vec<_> = larger
            .map(|made| (made.px, made.jpeg))
            .chain(small)
            .collect();
        let facts = &mut examined.facts;
        if let Some(needs) = examined.needs.filter(|_| facts.kind == Kind::Video) {
            let media_type = &facts.media_type;
            let note = format!("{NO_THUMBNAIL}{media_type} cannot be decoded here without {needs}");
            facts.notes.push(note);
        }
        self.keep(id, made).await
    }

    /// What a decoder sees that was missing when the file came in. None if it cannot be said now.
    pub(crate) async fn look(&self, id: BlobId) -> Result<Option<Look>, Interrupted> {
        let _turn = self.turn().await;
        let path = self.path(id);
        let read = path.clone();
        let examined = blocking(move || media::examine(&read)).await?;
        Ok(match self.decode(id, &path, &examined).await? {
            Some(Ok(upright)) => Some(Look {
                width: Some(upright.width),
                height: Some(upright.height),
                thumbhash: upright.thumbhash,
                perceptual_hash: upright.perceptual_hash,
                broken: None,
            }),
            Some(Err(why)) => Some(Look {
                broken: Some(why),
                ..Look::default()
            }),
            None => None,
        })
    }

    /// A thumbnail that was made before.
    pub(crate) async fn kept(&self, id: BlobId, px: u32) -> Result<Option<Vec<u8>>, Interrupted> {
        let shared = Arc::clone(&self.0);
        let kept = blocking(move || shared.store.derived(id, &derived_name(px))).await?;
        Ok(kept.unwrap_or_else(|error| {
            tracing::warn!(blob = %id, %error, "a thumbnail is made again");
            None
        }))
    }

    /// A thumbnail out of a blob that is here; nothing if it is no picture that can be decoded here.
    pub(crate) async fn make(&self, id: BlobId, px: u32) -> Result<Option<Vec<u8>>, Interrupted> {
        let _turn = self.turn().await;
        if let Some(kept) = self.kept(id, px).await? {
            // Somebody made it while we waited.
            return Ok(Some(kept));
        }
        let path = self.path(id);
        let read = path.clone();
        let made = blocking(move || media::thumbnail(&read, px)).await?;
        match made {
            Ok(jpeg) => {
                self.keep(id, vec![(px, jpeg.clone())]).await?;
                Ok(Some(jpeg))
            }
            Err(ThumbnailError::NoDecoder { needs: Some(_), .. }) => {
                let read = path.clone();
                let examined = blocking(move || media::examine(&read)).await?;
                match self.decode(id, &path, &examined).await? {
                    Some(Ok(_)) => self.kept(id, px).await,
                    _ => Ok(None),
                }
            }
            Err(error) => {
                tracing::debug!(blob = %id, %error, "no thumbnail");
                Ok(None)
            }
        }
    }

    /// Keeps a thumbnail that another node has made.
    pub(crate) async fn keep_theirs(&self, id: BlobId, px: u32, jpeg: Vec<u8>) {
        // It is asked for again next time.
        let _ = self.keep(id, vec![(px, jpeg)]).await;
    }

    async fn turn(&self) -> tokio::sync::SemaphorePermit<'_> {
        let turn = self.0.examiners.acquire().await;
        turn.expect("nobody closes it")
    }

    fn path(&self, id: BlobId) -> PathBuf {
        let path = self.0.store.path(id);
        // Programs run in folders of their own.
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Has a program outside decode it and keeps all thumbnails. None if none is needed or installed, or it could not be run;
    /// the text says why it cannot be decoded.
    async fn decode(
        &self,
        id: BlobId,
        path: &Path,
        examined: &Examined,
    ) -> Result<Option<Result<Upright, String>>, Interrupted> {
        let Some(needs) = examined.needs else {
            return Ok(None);
        };
        let needs = needs.to_string();
        let facts = &examined.facts;
        let wanted = Wanted {
            path,
            media_type: &facts.media_type,
            needs: &needs,
            turned: facts.orientation.is_some_and(|turn| turn != 1),
        };
        let decoded = match self.0.decoders.decode(wanted).await {
            Ok(decoded) => decoded,
            Err(error @ DecodeError::Broken { .. }) => return Ok(Some(Err(error.to_string()))),
            Err(DecodeError::Missing) => return Ok(None),
            Err(error) => {
                tracing::warn!(blob = %id, error = crate::peer::chain_of_causes(&error), "a decoder could not be run");
                return Ok(None);
            }
        };
        let upright = blocking(move || media::upright(&decoded.path, &SIZES)).await?;
        let mut upright = match upright {
            Ok(upright) => upright,
            Err(error) => {
                return Ok(Some(Err(format!(
                    "what was decoded is no picture: {error}"
                ))));
            }
        };
        if !is_of_shape(&upright, facts) {
            return Ok(Some(Err("only a part of it was decoded".to_owned())));
        }
        let made = std::mem::take(&mut upright.thumbnails).into_iter();
        self.keep(id, made.map(|made| (made.px, made.jpeg)).collect())
            .await?;
        Ok(Some(Ok(upright)))
    }

    /// Keeps thumbnails. One that cannot be kept is made again when it is asked for.
    async fn keep(&self, id: BlobId, made: Vec<(u32, Vec<u8>)>) -> Result<(), Interrupted> {
        let shared = Arc::clone(&self.0);
        blocking(move || {
            for (px, jpeg) in made {
                if let Err(error) = shared.store.put_derived(id, &derived_name(px), &jpeg) {
                    tracing::warn!(blob = %id, %error, "a thumbnail was not kept");
                }
            }
        })
        .await
    }
}

/// How a thumbnail is called beside its blob.
fn derived_name(px: u32) -> String {
    format!("thumb-{px}")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Interrupted> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// Whether a decoded picture may be all of the file's. Some programs take one tile of a picture for all of it.
fn is_of_shape(upright: &Upright, facts: &Facts) -> bool {
    let (Some(width), Some(height)) = (facts.width, facts.height) else {
        return true;
    };
    let across = f64::from(width) * f64::from(upright.height);
    let down = f64::from(height) * f64::from(upright.width);
    // A pixel of a small side may be lost in rounding.
    let least = f64::from(upright.width.min(upright.height).max(1));
    (across / down - 1.0).abs() <= 0.02 + 1.0 / least
}

/// Adds what stands beside the bytes; returns what there is to say of it.
fn add_around(examined: &mut Examined, around: &Around) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(sidecar) = &around.sidecar {
        let read = media::sidecar(sidecar);
        if read.described == Described::default() && read.notes.is_empty() {
            notes.push("the sidecar says nothing that is understood".to_owned());
        }
        notes.extend(read.notes.iter().map(|note| format!("sidecar: {note}")));
        examined.described = std::mem::take(&mut examined.described).under(read.described);
        examined.described.settle(&mut examined.facts);
    }
    let facts = &mut examined.facts;
    if facts.taken_at.is_none() && facts.kind != Kind::Other {
        facts.taken_at = media::named::taken_at(&around.name);
    }
    notes
}

/// A program outside has decoded it.
fn take_over(examined: &mut Examined, upright: &Upright) {
    let facts = &mut examined.facts;
    facts.undecodable = false;
    facts.notes.retain(|note| !note.starts_with(NO_THUMBNAIL));
    facts.width = facts.width.or(Some(upright.width));
    facts.height = facts.height.or(Some(upright.height));
    facts.thumbhash.clone_from(&upright.thumbhash);
    examined.perceptual_hash = upright.perceptual_hash;
    examined.needs = None;
}

/// A program outside cannot decode it, and none will.
fn give_up(examined: &mut Examined, why: String) {
    examined.needs = None;
    examined.facts.undecodable = true;
    let notes = &mut examined.facts.notes;
    notes.retain(|note| !note.starts_with(NO_THUMBNAIL));
    notes.push(why);
}

/// In the ledger's words.
fn seen(examined: Examined) -> Seen {
    let Examined {
        mut facts,
        described,
        perceptual_hash,
        needs,
        ..
    } = examined;
    let location = described.location.as_ref().map(|told| Told {
        value: told.value.line(),
        source: told.origin.source(),
    });
    let location = location.filter(|location| !location.value.is_empty());
    if let Some(place) = &mut facts.place {
        let told = location.as_ref().map(|location| location.value.clone());
        place.name = place.name.take().or(told).or_else(|| nearest(place));
    }
    let mut room = WORDS_BYTES_MAX;
    let tags = fitting(described.tags, &mut room);
    let people = fitting(described.people, &mut room);
    if room == 0 {
        facts
            .notes
            .push("further tags or people were dropped: there are too many".to_owned());
    }
    Seen {
        described: model::media::Described {
            title: described.title.map(told),
            description: described.description.map(told),
            tags,
            people,
            rating: described.rating.map(told),
            location,
        },
        facts,
        perceptual_hash,
        needs: needs.map(|needs| needs.to_string()),
    }
}

fn told<T>(told: media::Told<T>) -> Told<T> {
    Told {
        source: told.origin.source(),
        value: told.value,
    }
}

/// As many as there is room for; no room is left if some are dropped.
fn fitting(texts: Vec<media::Told<String>>, room: &mut usize) -> Vec<Told<String>> {
    let mut kept = Vec::new();
    for text in texts {
        match room.checked_sub(text.value.len() + 8) {
            Some(rest) => *room = rest,
            None => {
                *room = 0;
                break;
            }
        }
        kept.push(told(text));
    }
    kept
}

/// What the nearest place is called.
fn nearest(place: &Place) -> Option<String> {
    let near = media::places::nearest(place.latitude(), place.longitude())?;
    let parts = [near.name, near.region, near.country];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Some(parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::file::Source;

    fn upright(width: u32, height: u32) -> Upright {
        Upright {
            width,
            height,
            thumbhash: vec![1],
            perceptual_hash: None,
            thumbnails: Vec::new(),
        }
    }

    #[test]
    fn one_tile_is_not_taken_for_the_picture() {
        let facts = Facts {
            width: Some(4032),
            height: Some(3024),
            ..Facts::default()
        };
        assert!(is_of_shape(&upright(4032, 3024), &facts));
        assert!(is_of_shape(&upright(1440, 1080), &facts));
        assert!(!is_of_shape(&upright(512, 512), &facts));
        assert!(!is_of_shape(&upright(3024, 4032), &facts));
        assert!(is_of_shape(&upright(512, 512), &Facts::default()));
    }

    #[test]
    fn a_place_without_a_name_is_called_after_the_nearest() {
        let place = Place::new(51.5007, -0.1246, Source::Exif);
        let facts = Facts {
            place,
            ..Facts::default()
        };
        let examined = Examined {
            facts,
            ..Examined::default()
        };
        let name = seen(examined).facts.place.and_then(|place| place.name);
        assert!(name.is_some_and(|name| name.ends_with("England, GB")));
    }

    #[test]
    fn more_words_than_a_command_holds_are_dropped_with_a_note() {
        let tags = (0..500).map(|number| media::Told {
            value: format!("{number}{}", "x".repeat(250)),
            origin: media::Origin::Xmp,
        });
        let examined = Examined {
            described: Described {
                tags: tags.collect(),
                ..Described::default()
            },
            ..Examined::default()
        };
        let seen = seen(examined);
        assert!((100..500).contains(&seen.described.tags.len()));
        assert_eq!(seen.facts.notes.len(), 1);
    }
}
