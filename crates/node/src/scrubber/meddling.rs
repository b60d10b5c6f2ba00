//! What follows when another process has written to the catalogue while the node runs: it is reported at once, and what
//! it holds is compared with the ledger, as the scrubber does once a day. One that differs is replaced.

use tokio_util::sync::CancellationToken;

use super::checks::Checks;
use crate::{CatalogueHandle, Findings, Place};

/// What is said of it.
const WHAT: &str = "another process wrote to it while the node ran";

/// Waits for that for as long as the node runs.
pub(crate) async fn follow(
    catalogue: CatalogueHandle,
    findings: Findings,
    checks: Checks,
    closing: CancellationToken,
) {
    let mut meddled = catalogue.meddled();
    while meddled.changed().await.is_ok() {
        findings.report(Place::Catalogue, WHAT, None);
        let (checks, closing) = (checks.clone(), closing.clone());
        let compare = move || checks.catalogue(&mut |_| !closing.is_cancelled());
        // What it finds it reports itself.
        let _ = tokio::task::spawn_blocking(compare).await;
    }
}
