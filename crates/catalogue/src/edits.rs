//! How a file's record changes: by whose word, relative to what is there, and back again.

use model::file::{Change, LocalTime, Place, Source, State, TakenAt};
use model::{AlbumId, FieldValue};

use crate::albums::{APPENDED, InAlbum};
use crate::said::OwnValue;
use crate::stored::{Stored, filled, fold};

impl Stored {
    /// Applies an edit. Where a person has spoken, nobody else is heard.
    pub(crate) fn change(&mut self, change: &Change, source: Source) {
        if source != Source::User && self.is_settled(change) {
            return;
        }
        match change {
            Change::Tags(tags) => self.replace_tags(tags, source),
            Change::AddTag(tag) => self.add_tags(std::slice::from_ref(tag), source),
            Change::RemoveTag(tag) => self.remove_tag(tag, source),
            Change::Field { field, values } => self.set_field(*field, values, source),
            Change::AddToAlbum { album, rank } => self.add_to_album(*album, *rank),
            Change::RemoveFromAlbum(album) => self.remove_from_album(*album),
            Change::Albums(albums) => self.replace_albums(albums),
            Change::Cover { album, at } => self.make_cover(*album, *at),
            Change::ShiftTaken(micros) => self.shift_taken(*micros, source),
            Change::Zone(offset_min) => {
                if let Some(taken) = self.taken_at() {
                    let offset_min = *offset_min;
                    self.set(
                        &Change::TakenAt(Some(TakenAt {
                            offset_min,
                            ..taken
                        })),
                        source,
                    );
                }
            }
            _ => self.set(change, source),
        }
    }

    fn is_settled(&self, change: &Change) -> bool {
        match change {
            Change::Field { field, .. } => {
                let own = self.own.iter().find(|own| own.field == *field);
                own.is_some_and(|own| own.source == Source::User)
            }
            Change::RemoveTag(tag) => self.said.is_users_tag(tag),
            _ => self.said.is_settled(change),
        }
    }

    /// Gives a property a value.
    fn set(&mut self, change: &Change, source: Source) {
        match change {
            Change::Name(name) => {
                self.name.clone_from(name);
                self.add_name(name);
            }
            Change::Title(title) => self.title = filled(title.clone()),
            Change::Description(text) => self.description = filled(text.clone()),
            Change::Rating(rating) => self.rating = *rating,
            Change::Favourite(favourite) => self.favourite = *favourite,
            Change::TakenAt(taken) => {
                self.said_taken_at = Some(taken.map(|taken| TakenAt { source, ..taken }));
            }
            Change::Place(place) => {
                self.said_place = Some(place.clone().map(|place| by(source, place)));
            }
            Change::State(state) => self.state = *state,
            Change::Tags(_)
            | Change::AddTag(_)
            | Change::RemoveTag(_)
            | Change::Field { .. }
            | Change::ShiftTaken(_)
            | Change::Zone(_)
            | Change::AddToAlbum { .. }
            | Change::RemoveFromAlbum(_)
            | Change::Albums(_)
            | Change::Cover { .. } => unreachable!("these are relative or many"),
        }
        self.said.note(change, source);
    }

    /// Puts it into an album; who is there already moves only to a place that is given.
    fn add_to_album(&mut self, album: AlbumId, rank: Option<u64>) {
        let rank = rank.unwrap_or(APPENDED);
        match self.albums.iter_mut().find(|known| known.album == album) {
            Some(known) if rank < APPENDED => known.rank = rank,
            Some(_) => {}
            None => {
                self.albums.push(InAlbum { album, rank });
                self.albums.sort_unstable_by_key(|known| known.album);
            }
        }
    }

    fn remove_from_album(&mut self, album: AlbumId) {
        self.albums.retain(|known| known.album != album);
        self.covers.retain(|(known, _)| *known != album);
    }

    fn replace_albums(&mut self, albums: &[AlbumId]) {
        let gone: Vec<AlbumId> = self.albums.iter().map(|known| known.album).collect();
        for album in gone.into_iter().filter(|album| !albums.contains(album)) {
            self.remove_from_album(album);
        }
        for album in albums {
            self.add_to_album(*album, None);
        }
    }

    /// Has it stand for an album, if it is in it.
    fn make_cover(&mut self, album: AlbumId, at: Option<u64>) {
        if self.albums.iter().any(|known| known.album == album) {
            self.covers.retain(|(known, _)| *known != album);
            self.covers.push((album, at.unwrap_or_default()));
            self.covers.sort_unstable();
        }
    }

    fn shift_taken(&mut self, micros: i64, source: Source) {
        let Some(taken) = self.taken_at() else { return };
        let shifted = taken.local.micros().checked_add(micros);
        // Beyond the calendar there is nowhere to go.
        if let Some(local) = shifted.and_then(LocalTime::from_micros) {
            self.set(&Change::TakenAt(Some(TakenAt { local, ..taken })), source);
        }
    }

    /// Adds the tags it does not have yet, in whatever case. Those that a person has taken away are a person's to add.
    pub(crate) fn add_tags(&mut self, tags: &[String], source: Source) {
        for tag in tags {
            let change = Change::AddTag(tag.clone());
            if source != Source::User && self.said.is_settled(&change) {
                continue;
            }
            let new = !self.has_tag(tag);
            if new {
                self.tags.push(tag.clone());
            }
            self.said.tag_added(tag, source, new);
        }
    }

    /// Whether the file carries the tag itself.
    pub(crate) fn has_tag(&self, tag: &str) -> bool {
        let folded = fold(tag);
        self.tags.iter().any(|known| fold(known) == folded)
    }

    fn remove_tag(&mut self, tag: &str, source: Source) {
        let folded = fold(tag);
        self.tags.retain(|known| fold(known) != folded);
        self.said.tag_removed(tag, source);
    }

    fn replace_tags(&mut self, tags: &[String], source: Source) {
        let kept: Vec<String> = tags.iter().map(|tag| fold(tag)).collect();
        let before = std::mem::take(&mut self.tags);
        for gone in before {
            let stays = kept.contains(&fold(&gone));
            if !stays && (source == Source::User || !self.said.is_users_tag(&gone)) {
                self.said.tag_removed(&gone, source);
            } else if !stays {
                self.tags.push(gone);
            }
        }
        self.add_tags(tags, source);
    }

    fn set_field(&mut self, field: u32, values: &[FieldValue], source: Source) {
        self.own.retain(|own| own.field != field);
        // A person's "nothing" is kept, so that nobody else fills it.
        if !values.is_empty() || source == Source::User {
            let values = values.to_vec();
            self.own.push(OwnValue {
                field,
                values,
                source,
            });
            self.own.sort_unstable_by_key(|own| own.field);
        }
    }

    /// Gives every tag at or below `from` its place at `to`; false if there is none. What would be too long stays.
    pub(crate) fn rename_tags(&mut self, from: &str, to: &str) -> bool {
        let from = fold(from);
        let renamed = |tag: &String| -> Option<String> {
            // Folding may change a text's length, so the parts are counted rather than the bytes.
            let parts: Vec<&str> = tag.split('/').collect();
            let above = from.split('/').count();
            let (head, rest) = parts.split_at_checked(above)?;
            if fold(&head.join("/")) != from {
                return None;
            }
            let new = [&[to], rest].concat().join("/");
            crate::rules::check_tag(&new).is_ok().then_some(new)
        };
        let before = std::mem::take(&mut self.tags);
        let mut any = false;
        for tag in &before {
            let new = renamed(tag);
            any |= new.is_some();
            match new {
                Some(new) => {
                    let others = self.said.tag_renamed(tag, &new);
                    if !self.has_tag(&new) {
                        self.tags.push(new.clone());
                    }
                    if others.is_none() {
                        self.said.tag_added(&new, Source::User, false);
                    }
                }
                None if self.has_tag(tag) => {}
                None => self.tags.push(tag.clone()),
            }
        }
        any
    }

    /// What differs from `before`, property by property, with whose word each value is. Against nothing: whatever
    /// has a value. `source` is whose word the change is, for values that keep none of their own.
    pub(crate) fn changes_since(
        &self,
        before: Option<&Self>,
        source: Source,
    ) -> Vec<(Change, Source)> {
        let mut changes = Vec::new();
        let earlier = before.map(Self::properties);
        for (at, (change, word, empty)) in self.properties().into_iter().enumerate() {
            let differs = match &earlier {
                Some(earlier) => earlier.get(at).is_none_or(|(old, _, _)| *old != change),
                None => !empty,
            };
            if differs {
                let many = matches!(change, Change::Tags(_) | Change::Albums(_));
                let word = if many && before.is_some() {
                    source
                } else {
                    word
                };
                changes.push((change, word));
            }
        }
        changes.extend(self.fields_since(before, source));
        changes
    }

    fn fields_since(&self, before: Option<&Self>, source: Source) -> Vec<(Change, Source)> {
        let earlier: &[OwnValue] = before.map_or(&[], |before| &before.own);
        let values = |all: &[OwnValue], field: u32| -> Vec<FieldValue> {
            let found = all.iter().find(|own| own.field == field);
            found.map(|own| own.values.clone()).unwrap_or_default()
        };
        let mut numbers: Vec<u32> = [earlier, &self.own]
            .concat()
            .iter()
            .map(|own| own.field)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let changed = numbers.into_iter().filter_map(|field| {
            let now = values(&self.own, field);
            let differs = values(earlier, field) != now;
            differs.then_some((Change::Field { field, values: now }, source))
        });
        changed.collect()
    }

    /// Every editable property but own fields, with its source and whether it is at its default.
    fn properties(&self) -> [(Change, Source, bool); 10] {
        let taken = self.taken_at();
        let place = self.place().cloned();
        let title = Change::Title(self.title.clone());
        let text = Change::Description(self.description.clone());
        let albums = self.albums.iter().map(|known| known.album).collect();
        let (tags, no_tags) = (Change::Tags(self.tags.clone()), self.tags.is_empty());
        let word = |change: Change, empty: bool| {
            let source = self.said.source(&change);
            (change, source, empty)
        };
        let taken_source = taken.map_or(Source::User, |taken| taken.source);
        let place_source = place.as_ref().map_or(Source::User, |place| place.source);
        [
            word(Change::Name(self.name.clone()), false),
            word(title, self.title.is_none()),
            word(text, self.description.is_none()),
            (tags, self.said.source_of_tags(&self.tags), no_tags),
            word(Change::Rating(self.rating), self.rating.is_none()),
            word(Change::Favourite(self.favourite), !self.favourite),
            (Change::TakenAt(taken), taken_source, taken.is_none()),
            (Change::Place(place), place_source, self.place().is_none()),
            word(Change::State(self.state), self.state == State::Live),
            word(Change::Albums(albums), self.albums.is_empty()),
        ]
    }

    /// What a property is now, in the form that the history has it.
    fn current(&self, like: &Change) -> Change {
        if let Change::Field { field, .. } = like {
            let own = self.own.iter().find(|own| own.field == *field);
            let values = own.map(|own| own.values.clone()).unwrap_or_default();
            return Change::Field {
                field: *field,
                values,
            };
        }
        let kind = std::mem::discriminant(like);
        let found = self.properties().into_iter().map(|(change, _, _)| change);
        let mut found = found.filter(|change| std::mem::discriminant(change) == kind);
        found.next().unwrap_or_else(|| like.clone())
    }

    /// Takes one change of the past back; false if the value has been changed since, so that it stays.
    pub(crate) fn take_back(&mut self, before: &(Change, Source), after: &Change) -> bool {
        if let (Change::Tags(was), Change::Tags(became)) = (&before.0, after) {
            self.take_tags_back(was, became);
            return true;
        }
        if let (Change::Albums(was), Change::Albums(became)) = (&before.0, after) {
            for album in became.iter().filter(|album| !was.contains(album)) {
                self.remove_from_album(*album);
            }
            for album in was.iter().filter(|album| !became.contains(album)) {
                self.add_to_album(*album, None);
            }
            return true;
        }
        if self.current(after) != *after {
            return false;
        }
        let (change, source) = before;
        match change {
            Change::Field { field, values } => {
                self.set_field(*field, values, *source);
                if values.is_empty() {
                    self.own.retain(|own| own.field != *field);
                }
            }
            Change::TakenAt(taken) if *taken == self.facts.taken_at => {
                self.said_taken_at = None;
                self.said.forget(change);
            }
            Change::Place(place) if *place == self.facts.place => {
                self.said_place = None;
                self.said.forget(change);
            }
            _ => {
                self.set(change, *source);
                if is_unset(change) {
                    self.said.forget(change);
                }
            }
        }
        true
    }

    /// Tags that came then go, those that went come again; what else has happened to tags stays.
    fn take_tags_back(&mut self, was: &[String], became: &[String]) {
        let folded =
            |tags: &[String]| -> Vec<String> { tags.iter().map(|tag| fold(tag)).collect() };
        let (was_folded, became_folded) = (folded(was), folded(became));
        for tag in became.iter().filter(|tag| !was_folded.contains(&fold(tag))) {
            let folded = fold(tag);
            self.tags.retain(|known| fold(known) != folded);
            self.said.tag_removed(tag, Source::Rule);
        }
        for tag in was.iter().filter(|tag| !became_folded.contains(&fold(tag))) {
            self.add_tags(std::slice::from_ref(tag), Source::User);
        }
    }
}

fn by(source: Source, mut place: Place) -> Place {
    place.source = source;
    place
}

/// Whether it is what a file has of which nobody has said anything.
pub(crate) fn is_unset(change: &Change) -> bool {
    matches!(
        change,
        Change::Title(None)
            | Change::Description(None)
            | Change::Rating(None)
            | Change::Favourite(false)
            | Change::State(State::Live)
    )
}
