//! What is proven, for people and for programs.

use model::{
    BulkStep, Checkpoint, Command, Digest, MediaStep, Payload, Proven, ReceiptError, Timestamp,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{self, Format, shown};

pub(super) fn checkpoint(checkpoint: &Checkpoint, format: Format) -> Result<(), Failure> {
    let voters = names(checkpoint);
    if format.json {
        return Ok(output::object(&json!({
            "chainId": checkpoint.chain.to_string(),
            "height": checkpoint.height.0,
            "hash": checkpoint.hash.to_string(),
            "epoch": checkpoint.epoch.0,
            "voters": voters,
        }))?);
    }
    output::line(&format!("chain  {}", checkpoint.chain))?;
    output::line(&format!("height {}", checkpoint.height))?;
    output::line(&format!("hash   {}", checkpoint.hash))?;
    let voters = shown(&voters.join(", "));
    Ok(output::line(&format!("voters {voters}"))?)
}

pub(super) fn proven(proven: &Proven, trust: &Checkpoint, format: Format) -> Result<(), Failure> {
    let command = proven.command();
    if format.json {
        return Ok(output::object(&as_json(proven, trust, command.as_ref()))?);
    }
    let header = &proven.header;
    let place = format!("height {}, command {}", header.height, proven.index);
    output::line(&format!("proven  {place}, at {}", utc(header.time)))?;
    output::line(&format!("chain   {}", header.chain))?;
    output::line(&format!("block   {}", proven.hash))?;
    output::line(&format!("leaf    {}", proven.sealed.leaf()))?;
    if let Some(command) = &command {
        let (library, actor) = (&command.library, command.actor);
        output::line(&format!("who     token {actor}, in library {library}"))?;
        output::line(&format!("what    {}", what(&command.payload)))?;
    } else {
        output::line("what    bytes that are no command known here")?;
    }
    if proven.is_expired() {
        output::line("note    it came too late to have an effect")?;
    }
    let voters = shown(&names(&proven.checkpoint()).join(", "));
    output::line(&format!("decided by a quorum of {voters}"))?;
    let trusted = format!("block {} at height {}", trust.hash, trust.height);
    Ok(output::line(&format!("trusted {trusted}"))?)
}

pub(super) fn refused(error: &ReceiptError, format: Format) -> Result<(), Failure> {
    if format.json {
        output::object(&json!({ "ok": false, "error": error.to_string() }))?;
    }
    Ok(())
}

fn as_json(proven: &Proven, trust: &Checkpoint, command: Option<&Command>) -> Value {
    let header = &proven.header;
    let (file, sha256) = match command.map(|command| &command.payload) {
        Some(
            Payload::AddFile { file, .. }
            | Payload::EditFile { file, .. }
            | Payload::Edit { file, .. }
            | Payload::Bulk(BulkStep::Take { file, .. })
            | Payload::SetState { file, .. },
        ) => (Some(file.to_string()), None),
        Some(Payload::Media(step)) => (Some(step.file().to_string()), None),
        Some(Payload::Record(body)) => (None, Some(Digest::of(&[body]).to_string())),
        _ => (None, None),
    };
    json!({
        "ok": true,
        "chainId": header.chain.to_string(),
        "height": header.height.0,
        "index": proven.index,
        "time": utc(header.time),
        "block": proven.hash.to_string(),
        "leaf": proven.sealed.leaf().to_string(),
        "kind": command.map(|command| command.payload.kind()),
        "library": command.map(|command| command.library.to_string()),
        "actor": command.map(|command| command.actor.to_string()),
        "file": file,
        "sha256": sha256,
        "expired": proven.is_expired(),
        "epoch": proven.epoch.0,
        "voters": names(&proven.checkpoint()),
        "trusted": { "height": trust.height.0, "hash": trust.hash.to_string() },
    })
}

fn names(checkpoint: &Checkpoint) -> Vec<String> {
    let voters = checkpoint.voters.voters().iter();
    voters.map(|member| member.name.clone()).collect()
}

fn what(payload: &Payload) -> String {
    let kind = payload.kind();
    match payload {
        Payload::AddFile {
            file, size, name, ..
        }
        | Payload::Media(MediaStep::Add {
            file, size, name, ..
        }) => format!("{kind} {file}, {size} bytes, called {}", shown(name)),
        Payload::EditFile { file, .. }
        | Payload::Edit { file, .. }
        | Payload::Bulk(BulkStep::Take { file, .. })
        | Payload::SetState { file, .. } => format!("{kind} {file}"),
        Payload::Media(step) => format!("{kind} {}", step.file()),
        Payload::Record(body) => {
            let sha256 = Digest::of(&[body]);
            format!("{kind} of {} bytes, SHA-256 {sha256}", body.len())
        }
        _ => kind.to_owned(),
    }
}

/// RFC 3339 in UTC, from days to a date as in Hinnant's `civil_from_days`.
fn utc(time: Timestamp) -> String {
    let (seconds, micros) = (time.0 / 1_000_000, time.0 % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_everywhere_else() {
        let written = |seconds: u64| utc(Timestamp(seconds * 1_000_000 + 5));
        assert_eq!(written(0), "1970-01-01T00:00:00.000005Z");
        assert_eq!(written(951_782_400), "2000-02-29T00:00:00.000005Z");
        assert_eq!(written(1_709_251_199), "2024-02-29T23:59:59.000005Z");
        assert_eq!(written(1_767_225_600), "2026-01-01T00:00:00.000005Z");
        assert_eq!(written(4_107_542_400), "2100-03-01T00:00:00.000005Z");
    }
}
