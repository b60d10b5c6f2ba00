//! The sample photos: a trip painted by the program itself, put in through the same HTTP calls that anybody uses,
//! spread over the nodes.

use futures::stream::{self, StreamExt as _};
use indicatif::ProgressBar;
use model::BlobId;
use serde_json::json;
use tokio::sync::mpsc;

use super::cluster::DemoCluster;
use crate::client::{self, Client, Patience, Source};
use crate::connection::{Connection, parse_url};
use crate::failure::in_one_line;
use crate::output;
use crate::paint::{self, Painted};
use crate::upload::{add_file, missing};

/// Photos on their way at the same time.
const PARALLEL: usize = 4;
/// A demo may have its nodes killed while it loads.
const PATIENCE: Patience = Patience::For(std::time::Duration::from_secs(60));

/// Loads the photos that the cluster lacks, and says how it went. What fails is not worth stopping a demo for.
pub(super) async fn load(cluster: &DemoCluster) {
    let client = match connect(cluster) {
        Ok(client) => client,
        Err(error) => return output::note(&format!("no sample photos: {}", in_one_line(&error))),
    };
    let bar = output::progress();
    bar.set_message("sample photos");
    let painted = stream::unfold(paint_ahead(), async |mut painted| {
        painted.recv().await.map(|photo| (photo, painted))
    });
    let results: Vec<anyhow::Result<bool>> = painted
        .enumerate()
        .map(|(place, photo)| add(client.starting_at(place), photo, &bar))
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    bar.finish_and_clear();
    let count = |wanted| {
        results
            .iter()
            .flatten()
            .filter(|added| **added == wanted)
            .count()
    };
    output::note(&format!(
        "sample photos: {} added, {} were there",
        count(true),
        count(false)
    ));
    if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
        output::note(&format!(
            "some sample photos are missing: {}",
            in_one_line(error)
        ));
    }
}

fn connect(cluster: &DemoCluster) -> anyhow::Result<Client> {
    let urls = cluster.nodes.iter().map(|node| parse_url(node.url()));
    let connection = Connection {
        urls: urls.collect::<Result<_, _>>().map_err(anyhow::Error::msg)?,
        token: Some(cluster.token.clone()),
        token_file: None,
        library: None,
        ca: None,
    };
    Ok(Client::new(&connection)?.with_patience(PATIENCE))
}

/// Paints in a thread of its own, a few photos ahead of the uploads.
fn paint_ahead() -> mpsc::Receiver<Painted> {
    let (ready, photos) = mpsc::channel(2 * PARALLEL);
    std::thread::spawn(move || {
        for photo in paint::trip() {
            if ready.blocking_send(photo).is_err() {
                return;
            }
        }
    });
    photos
}

/// Whether the photo was added now.
async fn add(client: Client, photo: Painted, bar: &ProgressBar) -> anyhow::Result<bool> {
    let size = photo.jpeg.len() as u64;
    bar.inc_length(size);
    let id = BlobId::of(&[&photo.jpeg]);
    let wanted = missing(&client, &[(id, size)]).await?.contains(&true);
    if wanted {
        let upload = client::Upload {
            sidecar: None,
            name: photo.name,
            metadata: json!({ "title": photo.title, "tags": photo.tags }),
            size,
            source: Source::Memory(photo.jpeg.into()),
        };
        add_file(&client, upload).await?;
    }
    bar.inc(size);
    Ok(wanted)
}
