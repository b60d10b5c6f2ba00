//! Which records an export has: asked page by page, written down as they come, summed up.
//!
//! All of a library is listed in the order of ids. If the sum is not the library's digest, something was changed meanwhile, and
//! it is listed again. Some of a library is what a query finds, and what belongs to that: fields that have values there, albums
//! that those files are in, with their places among these files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::BlobId;
use serde_json::{Value, json};

use super::manifest::{FORMAT, Header, KIND, Line, ManifestError, Summing};
use super::names;
use crate::client::{Body, Call, CallError, Client};
use crate::content::{with_suffix, writing};
use crate::failure::Failure;
use crate::output::{at, list_at, text_at};

/// Records asked for at once.
const PAGE: usize = 500;
/// A node says nothing while it computes a digest, for which it reads the record of every file.
const DIGEST_SILENCE: Duration = Duration::from_secs(600);
/// How often a library is listed in the hope that nobody changes it meanwhile.
const ATTEMPTS: usize = 3;

/// Makes a list.
pub(super) struct Listing<'a> {
    client: &'a Client,
    path: &'a Path,
    query: Option<&'a str>,
}

/// What was listed.
pub(super) struct Listed {
    /// The manifest's first line.
    pub(super) header: Header,
    /// Whether nothing was changed meanwhile.
    pub(super) at_one_height: bool,
}

impl<'a> Listing<'a> {
    /// A list of what `query` finds, or of everything, to be written to `path`.
    pub(super) fn new(client: &'a Client, path: &'a Path, query: Option<&'a str>) -> Self {
        Self {
            client,
            path,
            query,
        }
    }

    /// Writes the list.
    pub(super) async fn run(&self, library: Option<String>) -> Result<Listed, Failure> {
        let head: Value = self.client.json(&Call::get("/ledger/head")).await?;
        let mut header = Header {
            kind: KIND.to_owned(),
            format: FORMAT,
            chain_id: text_at(&head, "/chainId"),
            height: at(&head, "/height").as_u64().unwrap_or_default(),
            library,
            query: self.query.map(str::to_owned),
            metadata_digest: String::new(),
            fields: 0,
            albums: 0,
            files: 0,
            bytes: 0,
        };
        if let Some(query) = self.query {
            self.some(query).await?.note(&mut header);
            let at_one_height = true;
            return Ok(Listed {
                header,
                at_one_height,
            });
        }
        for _ in 0..ATTEMPTS {
            self.all().await?.note(&mut header);
            let digest: Value = self.client.json(&digest()).await?;
            if *at(&digest, "/digest") == *header.metadata_digest {
                header.height = at(&digest, "/asOf").as_u64().unwrap_or(header.height);
                let at_one_height = true;
                return Ok(Listed {
                    header,
                    at_one_height,
                });
            }
            tracing::debug!("the library was changed while it was listed");
        }
        let at_one_height = false;
        Ok(Listed {
            header,
            at_one_height,
        })
    }

    async fn all(&self) -> Result<Written, Failure> {
        let mut out = Written::begin(self.path)?;
        for record in self.definitions().await? {
            out.write(record)?;
        }
        let mut cursor: Option<String> = None;
        loop {
            let mut call = Call::get("/export/files").query("limit", PAGE);
            if let Some(cursor) = &cursor {
                call = call.query("cursor", cursor);
            }
            let mut page: Value = self.client.json(&call).await?;
            for record in items(&mut page) {
                out.write(record)?;
            }
            cursor = at(&page, "/nextCursor").as_str().map(str::to_owned);
            if cursor.is_none() {
                return out.finish();
            }
        }
    }

    async fn definitions(&self) -> Result<Vec<Value>, CallError> {
        let mut page: Value = self.client.json(&Call::get("/export/definitions")).await?;
        Ok(items(&mut page))
    }

    /// Two rounds: which fields and albums are needed is known when all files are.
    async fn some(&self, query: &str) -> Result<Written, Failure> {
        let ids = found(self.client, query, id_of).await?;
        let mut ids: Vec<BlobId> = ids.into_iter().flatten().collect();
        ids.sort_unstable();
        ids.dedup();
        let chosen = with_suffix(self.path, ".chosen");
        let mut first = Written::begin(&chosen)?;
        let mut needed = Needed::default();
        for ids in ids.chunks(PAGE) {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let call = Call::post("/export/files", Body::Json(json!({ "ids": ids })));
            let mut page: Value = self.client.json(&call).await?;
            for record in items(&mut page) {
                needed.note(&record);
                first.write(record)?;
            }
        }
        first.finish()?;
        let mut out = Written::begin(self.path)?;
        needed.settle();
        for record in needed.definitions(self.definitions().await?) {
            out.write(record)?;
        }
        for line in read(&chosen)? {
            let mut record = line?.record;
            needed.place(&mut record);
            out.write(record)?;
        }
        std::fs::remove_file(&chosen).map_err(writing(&chosen))?;
        out.finish()
    }
}

/// Asks for a library's digest, for which a node reads everything that is said in it.
pub(crate) fn digest() -> Call {
    Call::get("/digest").lasting(DIGEST_SILENCE)
}

/// What `keep` makes of all files that a query finds.
pub(crate) async fn found<T>(
    client: &Client,
    query: &str,
    keep: impl Fn(&Value) -> T,
) -> Result<Vec<T>, CallError> {
    let (mut kept, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut call = Call::get("/files").query("q", query).query("limit", 1000);
        if let Some(cursor) = &cursor {
            call = call.query("cursor", cursor);
        }
        let page: Value = client.json(&call).await?;
        kept.extend(list_at(&page, "/items").iter().map(&keep));
        cursor = at(&page, "/nextCursor").as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(kept);
        }
    }
}

fn id_of(file: &Value) -> Option<BlobId> {
    at(file, "/id").as_str()?.parse().ok()
}

fn items(page: &mut Value) -> Vec<Value> {
    match page.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// Lines on their way to a file.
struct Written {
    path: PathBuf,
    out: BufWriter<File>,
    sum: Summing,
    before: Option<String>,
    fields: u64,
    albums: u64,
    files: u64,
    bytes: u64,
}

impl Written {
    fn begin(path: &Path) -> Result<Self, Failure> {
        Ok(Self {
            path: path.to_owned(),
            out: BufWriter::new(File::create(path).map_err(writing(path))?),
            sum: Summing::default(),
            before: None,
            fields: 0,
            albums: 0,
            files: 0,
            bytes: 0,
        })
    }

    fn write(&mut self, record: Value) -> Result<(), Failure> {
        self.sum.add(&record);
        let path = match at(&record, "/kind").as_str() {
            Some("field") => {
                self.fields += 1;
                None
            }
            Some("album") => {
                self.albums += 1;
                None
            }
            _ => {
                self.files += 1;
                self.bytes += at(&record, "/size").as_u64().unwrap_or_default();
                let path = names::path(&record, self.before.as_deref());
                self.before = Some(text_at(&record, "/id"));
                Some(path)
            }
        };
        let line = serde_json::to_string(&Line::of(record, path)).expect("it came as JSON");
        Ok(writeln!(self.out, "{line}").map_err(writing(&self.path))?)
    }

    fn finish(mut self) -> Result<Self, Failure> {
        self.out.flush().map_err(writing(&self.path))?;
        Ok(self)
    }

    fn note(self, header: &mut Header) {
        header.metadata_digest = self.sum.digest();
        header.fields = self.fields;
        header.albums = self.albums;
        header.files = self.files;
        header.bytes = self.bytes;
    }
}

/// The lines of a list.
pub(super) fn read(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Line, Failure>> + use<>, Failure> {
    let shown = path.display().to_string();
    let failed = move |source| {
        let path = shown.clone();
        Failure::Other(ManifestError::Read { path, source }.into())
    };
    let file = File::open(path).map_err(&failed)?;
    let lines = BufReader::new(file).lines();
    Ok(lines.map(move |text| {
        let text = text.map_err(&failed)?;
        serde_json::from_str(&text).map_err(|error| Failure::Other(error.into()))
    }))
}

/// What some files need of a library.
#[derive(Default)]
struct Needed {
    files: BTreeSet<String>,
    fields: BTreeSet<String>,
    /// Who is in which album, by place there.
    members: BTreeMap<String, Vec<(u64, String)>>,
    /// Places among these files alone.
    places: BTreeMap<(String, String), u64>,
}

impl Needed {
    fn note(&mut self, record: &Value) {
        let id = text_at(record, "/id");
        if let Some(fields) = at(record, "/fields").as_object() {
            self.fields.extend(fields.keys().cloned());
        }
        for known in list_at(record, "/albums") {
            let place = at(known, "/position").as_u64().unwrap_or_default();
            let members = self.members.entry(text_at(known, "/album")).or_default();
            members.push((place, id.clone()));
        }
        self.files.insert(id);
    }

    fn settle(&mut self) {
        for (album, members) in &mut self.members {
            members.sort_unstable();
            for (place, (_, file)) in (1..).zip(members.iter()) {
                self.places.insert((album.clone(), file.clone()), place);
            }
        }
    }

    /// Of all fields and albums those that these files need, and the albums that those lie in.
    fn definitions(&self, mut all: Vec<Value>) -> Vec<Value> {
        let parents: BTreeMap<String, String> = all
            .iter()
            .map(|line| (text_at(line, "/id"), text_at(line, "/parent")))
            .collect();
        let mut albums: BTreeSet<String> = BTreeSet::new();
        for album in self.members.keys() {
            let mut next = Some(album);
            while let Some(album) = next.filter(|album| albums.insert((*album).clone())) {
                next = parents.get(album).filter(|parent| !parent.is_empty());
            }
        }
        all.retain(|line| match at(line, "/kind").as_str() {
            Some("field") => self.fields.contains(&text_at(line, "/name")),
            _ => albums.contains(&text_at(line, "/id")),
        });
        for line in &mut all {
            let gone = !self.files.contains(&text_at(line, "/cover"));
            if let Some(cover) = line.get_mut("cover").filter(|_| gone) {
                *cover = Value::Null;
            }
        }
        all
    }

    fn place(&self, record: &mut Value) {
        let id = text_at(record, "/id");
        let albums = record.get_mut("albums").and_then(Value::as_array_mut);
        for known in albums.into_iter().flatten() {
            let place = self.places.get(&(text_at(known, "/album"), id.clone()));
            if let (Some(place), Some(at)) = (place, known.get_mut("position")) {
                *at = json!(place);
            }
        }
    }
}
