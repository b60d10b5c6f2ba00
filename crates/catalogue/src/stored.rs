//! A file's record as the catalogue keeps it, and everything derived from it.
//!
//! The record holds the facts read from the bytes and, apart from them, what people said: a person's word about
//! date or place stands over the facts for ever, also when it is "none". One row keeps the record in model's
//! canonical encoding; columns and index rows beside it are only what searches compare.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::codec_struct;
use model::file::{Camera, Change, Facts, LocalTime, Metadata, Place, Source, State, TakenAt};
use model::media::Described;
use model::{AlbumId, BlobId, FieldValue, LibraryId, Timestamp, TokenId};
use rusqlite::Connection;

use crate::albums::InAlbum;
use crate::field::Field;
use crate::file::{self, File};
use crate::rules::NAMES_MAX;
use crate::said::{OwnValue, Said};
use crate::told::{self, Beside, Sources};
use crate::{fields, time};

/// A file in a library.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) library: LibraryId,
    pub(crate) file: BlobId,
    pub(crate) size: u64,
    pub(crate) added_at: Timestamp,
    pub(crate) added_by: TokenId,
    pub(crate) version: u64,
    pub(crate) state: State,
    pub(crate) name: String,
    pub(crate) names: Vec<String>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) rating: Option<u8>,
    pub(crate) favourite: bool,
    /// What people say of the date; none if nothing was said.
    pub(crate) said_taken_at: Option<Option<TakenAt>>,
    /// What people say of the place; none if nothing was said.
    pub(crate) said_place: Option<Option<Place>>,
    pub(crate) facts: Facts,
    pub(crate) beside: Beside,
    /// Values of people's own fields, by number.
    pub(crate) own: Vec<OwnValue>,
    /// Whose word each of the others is.
    pub(crate) said: Said,
    /// The albums that it was put into, by id.
    pub(crate) albums: Vec<InAlbum>,
    /// The albums that it was made the cover of, by id, and by which command.
    pub(crate) covers: Vec<(AlbumId, u64)>,
}

codec_struct!(Stored {
    library,
    file,
    size,
    added_at,
    added_by,
    version,
    state,
    name,
    names,
    title,
    description,
    tags,
    rating,
    favourite,
    said_taken_at,
    said_place,
    facts,
    beside,
    own,
    said,
    albums,
    covers,
});

/// What a new file is made of.
pub(crate) struct NewFile<'a> {
    pub(crate) library: &'a LibraryId,
    pub(crate) file: BlobId,
    pub(crate) size: u64,
    pub(crate) name: &'a str,
    pub(crate) facts: &'a Facts,
    pub(crate) described: &'a Described,
    pub(crate) perceptual_hash: Option<u64>,
    pub(crate) needs: Option<&'a str>,
    pub(crate) metadata: &'a Metadata,
    pub(crate) added_at: Timestamp,
    pub(crate) added_by: TokenId,
}

impl Stored {
    /// A file at its first version.
    pub(crate) fn new(new: NewFile<'_>) -> Self {
        let (metadata, described) = (new.metadata, new.described);
        let mut beside = Beside {
            people: told::people(described),
            location: described.location.as_ref().map(|told| told.value.clone()),
            ..Beside::default()
        };
        beside.picture.hash = new.perceptual_hash;
        beside.picture.needs = new.needs.map(str::to_owned);
        let title = told::first(filled(metadata.title.clone()), described.title.as_ref());
        let text = told::first(
            filled(metadata.description.clone()),
            described.description.as_ref(),
        );
        let rating = told::first(metadata.rating, described.rating.as_ref());
        let more = told::more_tags(&metadata.tags, described);
        let sources = [title.1, text.1, rating.1];
        let mut stored = Self {
            library: new.library.clone(),
            file: new.file,
            size: new.size,
            added_at: new.added_at,
            added_by: new.added_by,
            version: 1,
            state: State::Live,
            name: new.name.to_owned(),
            names: vec![new.name.to_owned()],
            title: title.0,
            description: text.0,
            tags: Vec::new(),
            rating: rating.0,
            favourite: metadata.favourite,
            said_taken_at: metadata.taken_at.map(Some),
            said_place: metadata.place.clone().map(Some),
            facts: new.facts.clone(),
            beside,
            own: Vec::new(),
            said: Said::default(),
            albums: Vec::new(),
            covers: Vec::new(),
        };
        stored.add_tags(&metadata.tags, Source::User);
        for told in more {
            stored.add_tags(std::slice::from_ref(&told.value), told.source);
        }
        stored.note_first_words(sources);
        stored
    }

    /// What came with the upload is its uploader's word, where it says so itself; what the file tells is the word of
    /// whoever wrote it there. The sources are those of title, description and rating.
    fn note_first_words(&mut self, [title, text, rating]: [Source; 3]) {
        let users = |source: Option<Source>| source == Some(Source::User);
        let taken = self.said_taken_at.flatten().map(|taken| taken.source);
        let place = self.said_place.as_ref().and_then(Option::as_ref);
        let place = place.map(|place| place.source);
        let user = Source::User;
        for (said, change, source) in [
            (self.title.is_some(), Change::Title(None), title),
            (self.description.is_some(), Change::Description(None), text),
            (self.rating.is_some(), Change::Rating(None), rating),
            (self.favourite, Change::Favourite(true), user),
            (users(taken), Change::TakenAt(None), user),
            (users(place), Change::Place(None), user),
        ] {
            if said {
                self.said.note(&change, source);
            }
        }
    }

    /// Whose word title, description, tags and rating are.
    pub(crate) fn sources(&self) -> Sources {
        Sources {
            title: self.said.source(&Change::Title(None)),
            description: self.said.source(&Change::Description(None)),
            tags: self.said.source_of_tags(&self.tags),
            rating: self.said.source(&Change::Rating(None)),
        }
    }

    /// Whether the two differ in no more than in whose word something is.
    pub(crate) fn shows_the_same_as(&self, other: &Self) -> bool {
        let (said, covers) = (other.said.clone(), other.covers.clone());
        let same = Self {
            said,
            covers,
            ..self.clone()
        };
        same == *other
    }

    /// When it was taken, by whoever's word counts most.
    pub(crate) fn taken_at(&self) -> Option<TakenAt> {
        self.said_taken_at.unwrap_or(self.facts.taken_at)
    }

    /// When it was taken, on the camera's clock.
    pub(crate) fn local_time(&self) -> Option<LocalTime> {
        self.taken_at().map(|taken| taken.local)
    }

    /// Where it was taken, by whoever's word counts most.
    pub(crate) fn place(&self) -> Option<&Place> {
        match &self.said_place {
            Some(said) => said.as_ref(),
            None => self.facts.place.as_ref(),
        }
    }

    /// Remembers another name, up to a limit.
    pub(crate) fn add_name(&mut self, name: &str) {
        if self.names.len() < NAMES_MAX && !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
    }

    /// Which fields have a value, as bits.
    pub(crate) fn fields(&self) -> i64 {
        let facts = &self.facts;
        let taken = self.taken_at();
        let present = |field: Field| match field {
            Field::Taken => taken.is_some(),
            Field::Offset => taken.is_some_and(|taken| taken.offset_min.is_some()),
            Field::Gps => self.place().is_some(),
            Field::Altitude => self.place().is_some_and(|place| place.altitude.is_some()),
            Field::Title => self.title.is_some(),
            Field::Description => self.description.is_some(),
            Field::Tag => !self.tags.is_empty(),
            Field::Rating => self.rating.is_some(),
            Field::Camera => facts.camera.is_some(),
            Field::Lens => facts
                .camera
                .as_ref()
                .is_some_and(|camera| camera.lens.is_some()),
            Field::Exposure => facts.exposure.is_some(),
            Field::Width => facts.width.is_some(),
            Field::Height => facts.height.is_some(),
            Field::Orientation => facts.orientation.is_some(),
            Field::Duration => facts.duration_ms.is_some(),
            Field::Thumbhash => !facts.thumbhash.is_empty(),
        };
        Field::ALL
            .iter()
            .filter(|field| present(**field))
            .map(|field| field.bit())
            .sum()
    }

    /// The camera as one text: make, model and lens.
    pub(crate) fn camera_text(&self) -> Option<String> {
        self.facts.camera.as_ref().map(camera_text)
    }

    /// What the place is called, by whoever calls it something.
    pub(crate) fn place_words(&self) -> impl Iterator<Item = &str> {
        let name = self.place().and_then(|place| place.name.as_deref());
        let told = self.beside.location.as_deref();
        let told = told.filter(|told| Some(*told) != name);
        [name, told].into_iter().flatten()
    }

    /// The texts of people's own fields.
    pub(crate) fn own_texts(&self) -> impl Iterator<Item = &str> {
        let values = self.own.iter().flat_map(|own| &own.values);
        values.filter_map(|value| match value {
            FieldValue::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Every tag and every tag above it, folded for comparison, with the spelling if the file carries it itself.
    pub(crate) fn tag_paths(&self) -> BTreeMap<String, Option<&str>> {
        let mut paths: BTreeMap<String, Option<&str>> = BTreeMap::new();
        for tag in &self.tags {
            let folded = fold(tag);
            for (slash, _) in folded.match_indices('/') {
                let above = folded.get(..slash).unwrap_or(&folded);
                paths.entry(above.to_owned()).or_default();
            }
            paths.entry(folded).or_default().get_or_insert(tag);
        }
        paths
    }

    /// The file as people see it, its own fields under the names that they have now.
    pub(crate) fn to_file(&self, db: &Connection) -> rusqlite::Result<File> {
        let mut file = self.to_file_without_fields();
        for own in self.own.iter().filter(|own| !own.values.is_empty()) {
            if let Some(field) = fields::numbered(db, &self.library, own.field)? {
                let definition = field.definition;
                if !field.retired {
                    let values = fields::values_to_json(definition.list, &own.values);
                    file.fields.insert(definition.name, values);
                }
            }
        }
        Ok(file)
    }

    fn to_file_without_fields(&self) -> File {
        let (facts, picture) = (&self.facts, &self.beside.picture);
        File {
            id: self.file,
            library: self.library.clone(),
            size: self.size,
            media_type: facts.media_type.clone(),
            kind: facts.kind,
            name: self.name.clone(),
            names: self.names.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            tags: self.tags.clone(),
            rating: self.rating,
            favourite: self.favourite,
            taken_at: self.taken_at().as_ref().map(Into::into),
            place: self.place().map(Into::into),
            camera: facts.camera.as_ref().map(Into::into),
            exposure: facts.exposure.as_ref().map(Into::into),
            width: facts.width,
            height: facts.height,
            orientation: facts.orientation,
            duration_ms: facts.duration_ms,
            thumbhash: (!facts.thumbhash.is_empty()).then(|| BASE64.encode(&facts.thumbhash)),
            fields: BTreeMap::new(),
            albums: self.albums.iter().map(|it| it.album.to_string()).collect(),
            state: self.state,
            added_at: time::format_timestamp(self.added_at),
            added_by: self.added_by,
            version: self.version,
            undecodable: facts.undecodable,
            notes: facts.notes.clone(),
            sources: self.sources(),
            people: self.beside.people.clone(),
            location: self.beside.location.clone(),
            needs: picture.needs.clone(),
            perceptual_hash: picture.hash.map(|hash| format!("{hash:016x}")),
            preview: picture.preview.map(|preview| preview.blob.to_string()),
        }
    }
}

/// Text for comparison without regard to case.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.to_lowercase()
    }
}

pub(crate) fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn camera_text(camera: &Camera) -> String {
    let parts = [&camera.make, &camera.model, &camera.lens];
    let present: Vec<&str> = parts
        .into_iter()
        .filter_map(|part| part.as_deref())
        .collect();
    present.join(" ")
}

impl From<&TakenAt> for file::TakenAt {
    fn from(taken: &TakenAt) -> Self {
        Self {
            local: time::format_local(taken.local),
            offset: taken.offset_min.map(time::format_offset),
            source: taken.source,
        }
    }
}

impl From<&Place> for file::Place {
    fn from(place: &Place) -> Self {
        Self {
            lat: place.latitude(),
            lon: place.longitude(),
            altitude: place.altitude,
            name: place.name.clone(),
            source: place.source,
        }
    }
}

impl From<&Camera> for file::Camera {
    fn from(camera: &Camera) -> Self {
        Self {
            make: camera.make.clone(),
            model: camera.model.clone(),
            lens: camera.lens.clone(),
        }
    }
}

impl From<&model::file::Exposure> for file::Exposure {
    fn from(exposure: &model::file::Exposure) -> Self {
        Self {
            seconds: exposure.seconds,
            aperture: exposure.aperture,
            iso: exposure.iso,
            focal_mm: exposure.focal_mm,
        }
    }
}
