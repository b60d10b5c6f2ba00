//! A node that joins, or was away, takes the ledger from the archive first and the rest from its peers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Cluster, Setup, json, json_lines, run, starling, stderr, succeed, until};

/// One node with an archive in a folder, whose ledger is in two segments there, and more blocks above them.
pub(crate) struct Archived {
    pub(crate) cluster: Cluster,
    place: PathBuf,
    pub(crate) url: String,
    /// The last heights of the two segments.
    ends: [u64; 2],
}

impl Archived {
    pub(crate) async fn new() -> Self {
        let cluster = Cluster::create(1);
        let place = cluster.scratch().join("store");
        std::fs::create_dir(&place).expect("a folder");
        let url = format!("file://{}", place.display());
        let environment = vec![("STARLING_ARCHIVE_URL", url.clone())];
        let setup = Setup {
            environment,
            ..Setup::default()
        };
        let mut archived = Self {
            cluster: cluster.started(setup).await,
            place,
            url,
            ends: [0, 0],
        };
        for part in 0..2 {
            archived.append(10).await;
            archived.cluster.stop(0).await;
            archived.ends[part] = archived.seal();
            archived.cluster.restart(0).await;
            archived.cluster.until_writable().await;
        }
        archived.append(5).await;
        archived
    }

    async fn append(&self, count: usize) {
        for number in 0..count {
            let text = format!("record {number}");
            let api = self.cluster.api(0);
            api.append(&text, None).await.expect("appended");
        }
    }

    /// Makes a segment of what the stopped node has above the last one, for the archive and for the node.
    pub(crate) fn seal(&self) -> u64 {
        let ledger = self.cluster.node(0).ledger();
        let mut export = starling(["ledger", "export", "--json", "--to", &self.url, "--folder"]);
        export.arg(&ledger);
        let exported = json(&succeed(export));
        let mut copy = Command::new("cp");
        copy.arg("-rT")
            .arg(self.objects())
            .arg(ledger.join("segments"));
        succeed(copy);
        exported["height"].as_u64().expect("a height")
    }

    /// Where the archive's segments are.
    fn objects(&self) -> PathBuf {
        let chains = names(&self.place).into_iter();
        let mut chains = chains.map(|name| self.place.join(name).join("segments"));
        chains.find(|path| path.is_dir()).expect("a chain")
    }

    fn join_command(&self, name: &str) -> Command {
        let invite = self.cluster.invite(&[]);
        self.cluster.join_command(name, &invite)
    }

    /// Runs what was joined until it votes and has what the others have.
    async fn run(&mut self, joined: &Value) -> usize {
        let place = self.cluster.adopt(joined);
        self.cluster.spawn(place);
        let name = joined["name"].as_str().expect("a name");
        self.cluster.until_role(0, name, "voter").await;
        self.cluster.until_heads_equal().await;
        place
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect());
    let entries: Vec<_> = entries.unwrap_or_default();
    let names = entries.iter().map(|entry| entry.file_name());
    let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    names
}

fn result(output: &str) -> Value {
    json_lines(output).pop().expect("a result")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_from_the_archive_and_learns_the_rest_from_its_peers() {
    let mut archived = Archived::new().await;
    let [_, end] = archived.ends;
    // Nobody names the archive: the members do.
    let output = run(archived.join_command("n2"));
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = json_lines(&String::from_utf8_lossy(&output.stdout));
    let (joined, events) = lines.split_last().expect("a result");
    let last = events.last().expect("an event");
    assert_eq!(last["event"], "archive");
    assert_eq!((&last["height"], &last["goal"]), (&end.into(), &end.into()));
    let archive = &joined["archive"];
    assert_eq!(archive["url"], archived.url.as_str());
    assert_eq!((&archive["from"], &archive["to"]), (&0.into(), &end.into()));
    assert_eq!(
        (&archive["segments"], &archive["stopped"]),
        (&2.into(), &Value::Null)
    );
    let place = archived.run(joined).await;
    let folder = archived.cluster.node(place).folder();
    let settings = std::fs::read_to_string(folder.join("node.toml")).expect("settings");
    assert!(
        settings.contains(&archived.url),
        "it fills it, too: {settings}"
    );

    // One that was stopped before it had anything takes it when it starts.
    let mut join = archived.join_command("n3");
    join.args(["--archive", ""]);
    let joined = result(&succeed(join));
    assert_eq!(joined["archive"], Value::Null, "none was wanted");
    let place = archived.cluster.adopt(&joined);
    let url = archived.url.clone();
    archived.cluster.set(place, "STARLING_ARCHIVE_URL", &url);
    archived.cluster.spawn(place);
    archived.cluster.until_role(0, "n3", "voter").await;
    archived.cluster.until_heads_equal().await;
    let log = std::fs::read_to_string(archived.cluster.node(place).log()).expect("a log");
    assert!(log.contains("took the ledger from the archive"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_lies_is_named_and_the_ledger_comes_from_peers() {
    let mut archived = Archived::new().await;
    let [half, _] = archived.ends;
    let id = archived.cluster.node(0).id.clone();
    let manifests = archived.objects().with_file_name("manifests");
    until("the node has signed for both segments", async || {
        let written = names(&manifests).into_iter();
        // A store writes under another name first.
        let whole = written.filter(|name| name.ends_with(".json"));
        (whole.count() == 2).then_some(())
    })
    .await;
    // The store loses a bit of the second.
    let objects = archived.objects();
    let segment = objects.join(names(&objects).pop().expect("a segment"));
    let sound = std::fs::read(&segment).expect("read");
    let mut bytes = sound.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, &bytes).expect("written");
    let joined = result(&succeed(archived.join_command("n2")));
    let archive = &joined["archive"];
    assert_eq!(
        (&archive["to"], &archive["segments"]),
        (&half.into(), &1.into())
    );
    let fault = archive["faults"][0].as_str().expect("a fault");
    assert!(
        fault.contains("n1 brought other bytes: the store changed them"),
        "{fault}"
    );
    assert!(
        fault.contains(&names(&objects)[1]) && !fault.contains(&id),
        "{fault}"
    );
    archived.run(&joined).await;

    // Another store cannot be reached, and one that is none is refused at once.
    let mut join = archived.join_command("n3");
    join.args(["--archive", "file:///nowhere/at/all"]);
    let lines = json_lines(&succeed(join));
    assert_eq!(lines[0]["event"], "noArchive", "{lines:?}");
    assert_eq!(lines[1]["archive"], Value::Null);
    archived.cluster.adopt(&lines[1]);
    let mut join = archived.join_command("n4");
    join.args(["--archive", "s3://user:secret@bucket"]);
    let output = run(join);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(!stderr(&output).contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_is_killed_while_it_takes_the_archive_goes_on() {
    let mut archived = Archived::new().await;
    let [half, end] = archived.ends;
    let mut join = archived.join_command("n2");
    join.stdout(Stdio::null()).stderr(Stdio::null());
    let folder = archived.cluster.scratch().join("joined/n2");
    let segments = folder.join("ledger/segments");
    let mut joining = join.spawn().expect("a process");
    until("a segment has come", async || {
        (!names(&segments).is_empty()).then_some(())
    })
    .await;
    joining.kill().expect("killed");
    joining.wait().expect("ended");
    // Whatever it had got to, this is a worse moment: one segment proved, another half written.
    let objects = archived.objects();
    let [first, second] = &names(&objects)[..] else {
        panic!("there are two segments");
    };
    std::fs::copy(objects.join(first), segments.join(first)).expect("copied");
    let _ = std::fs::remove_file(segments.join(second));
    let unproved = segments.join(format!("{second}.unproved"));
    std::fs::write(&unproved, "half").expect("written");

    let joined = result(&succeed(archived.join_command("n2")));
    assert_eq!(joined["resumed"], true);
    let archive = &joined["archive"];
    assert_eq!(
        (&archive["from"], &archive["to"]),
        (&half.into(), &end.into())
    );
    assert_eq!(
        names(&segments),
        names(&objects),
        "nothing else is left there"
    );
    archived.run(&joined).await;
}
