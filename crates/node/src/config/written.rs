//! The file as it is written, before anything but its shape is checked.

use std::path::PathBuf;

use serde::Deserialize;

use super::blobs::WrittenBlobs;
use super::{media, scrub, trash};

/// The whole of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) folder: Option<PathBuf>,
    pub(super) http: WrittenHttp,
    pub(super) peer: WrittenPeer,
    pub(super) archive: Option<WrittenArchive>,
    #[serde(default)]
    pub(super) cluster: WrittenCluster,
    #[serde(default)]
    pub(super) blobs: WrittenBlobs,
    #[serde(default)]
    pub(super) trash: trash::Written,
    #[serde(default)]
    pub(super) scrub: scrub::Written,
    #[serde(default)]
    pub(super) media: media::Written,
    pub(super) members: Vec<WrittenMember>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCluster {
    pub(super) dead_after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenHttp {
    pub(super) address: String,
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) insecure: bool,
    pub(super) tls: Option<WrittenTls>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenTls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPeer {
    pub(super) address: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenArchive {
    pub(super) url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenMember {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) peer_address: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) pinned: bool,
}
