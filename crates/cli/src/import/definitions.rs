//! Fields and albums of an export, made before the files that need them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Target, refused};
use crate::client::Call;
use crate::export::manifest::{Manifest, ManifestError};
use crate::failure::Failure;
use crate::output::{at, list_at, text_at};

/// The lines before those of files.
pub(super) struct Definitions {
    fields: Vec<Value>,
    albums: Vec<Value>,
}

impl Definitions {
    /// Reads a manifest as far as its first file.
    pub(super) fn read(manifest: Manifest) -> Result<Self, ManifestError> {
        let (mut fields, mut albums) = (Vec::new(), Vec::new());
        for line in manifest {
            let line = line?;
            match line.kind() {
                "field" => fields.push(line.record),
                "album" => albums.push(line.record),
                _ => break,
            }
        }
        Ok(Self { fields, albums })
    }

    /// Makes what is missing; the albums that are new. What is there stays as it is.
    pub(super) async fn bring(
        &self,
        target: &Target,
        dry_run: bool,
    ) -> Result<BTreeSet<String>, Failure> {
        self.bring_fields(target, dry_run).await?;
        let there: Value = target.client.json(&Call::get("/albums")).await?;
        let there: BTreeSet<String> = list_at(&there, "/items").iter().map(id).collect();
        let mut new = BTreeSet::new();
        for album in self.outermost_first() {
            let id = id(album);
            if !there.contains(&id) && !dry_run {
                let call = Call::put(format!("/import/albums/{id}"), body(album, None));
                target.change(&target.client, call).await?;
                new.insert(id);
            }
        }
        Ok(new)
    }

    async fn bring_fields(&self, target: &Target, dry_run: bool) -> Result<(), Failure> {
        let there: Value = target.client.json(&Call::get("/fields")).await?;
        let there: BTreeMap<String, &Value> = list_at(&there, "/items")
            .iter()
            .map(|field| (text_at(field, "/name"), field))
            .collect();
        let kind = |field: &Value| (at(field, "/type").clone(), at(field, "/list").clone());
        for field in &self.fields {
            let name = text_at(field, "/name");
            match there.get(&name) {
                Some(known) if kind(known) != kind(field) => {
                    let said =
                        "is of another type here; nothing was imported: rename one of the two";
                    return Err(refused(&format!("the field {name} {said}")));
                }
                None if !dry_run => {
                    let call = Call::put(format!("/import/fields/{name}"), field.clone());
                    target.change(&target.client, call).await?;
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// An album lies in one that is there already.
    fn outermost_first(&self) -> Vec<&Value> {
        let parents: BTreeMap<String, String> = self
            .albums
            .iter()
            .map(|album| (id(album), text_at(album, "/parent")))
            .collect();
        let depth = |album: &Value| {
            let mut above = parents.get(&id(album));
            // A circle, which no library has, ends as well.
            (0..=parents.len()).find(|_| {
                above = above.and_then(|parent| parents.get(parent));
                above.is_none()
            })
        };
        let mut albums: Vec<&Value> = self.albums.iter().collect();
        albums.sort_by_key(|album| depth(album));
        albums
    }

    /// Says of the new albums which file stands for them, now that their files are there.
    pub(super) async fn choose_covers(
        &self,
        target: &Target,
        new: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        for album in &self.albums {
            let (id, cover) = (id(album), at(album, "/cover"));
            if new.contains(&id) && !cover.is_null() {
                let call = Call::put(format!("/albums/{id}"), body(album, Some(cover)));
                target.change(&target.client, call).await?;
            }
        }
        Ok(())
    }
}

fn id(album: &Value) -> String {
    text_at(album, "/id")
}

fn body(album: &Value, cover: Option<&Value>) -> Value {
    let mut body = json!({
        "name": at(album, "/name"),
        "parent": at(album, "/parent"),
        "description": at(album, "/description"),
        "query": at(album, "/query"),
    });
    if let (Some(members), Some(cover)) = (body.as_object_mut(), cover) {
        members.insert("cover".to_owned(), cover.clone());
    }
    body
}
