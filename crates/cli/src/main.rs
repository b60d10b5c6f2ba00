//! The `starling` command: it runs nodes, and it is a client of their HTTP contract.
//!
//! One file per subcommand. Results go to stdout and nothing else does; with `--json` they are one object per line.
//! Logs and progress go to stderr. The exit code says what a script needs to know: see [`failure`].

mod album;
mod blobs;
mod client;
mod cluster;
mod completions;
mod connection;
mod content;
mod demo;
mod download;
mod edit;
mod export;
mod failure;
mod field;
mod get;
mod import;
mod ledger;
mod library;
mod life;
mod operation;
mod output;
mod paint;
mod purge;
mod search;
mod serve;
mod share;
mod status;
mod token;
mod upload;
mod user;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::Failure;

/// A node makes and drops many small values on many threads; a profile under load showed a sixth of its time in the
/// system's allocator and copying.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps photos and files on several of your own machines at once, with no machine in charge.
#[derive(Debug, Parser)]
#[command(name = "starling", version, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 other error, 2 wrong usage, 3 not found, 4 some files failed, \
                        5 temporary (try again), 7 fatal (a node cannot go on).\n\
                        Every flag has an environment variable STARLING_…, shown in its help."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Start a cluster of a few nodes on this machine, with sample photos
    Demo(demo::Demo),
    /// Run one node
    Serve(serve::Serve),
    /// Make a cluster, look at one, add and remove nodes
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Add files and folders
    Upload(upload::Upload),
    /// Find files
    Search(search::Search),
    /// Fetch a file's bytes or what is known about it
    Get(get::Get),
    /// Fetch the originals of files into a folder
    Download(download::Download),
    /// Write originals, XMP sidecars and a manifest of all that is known into a folder
    Export(export::Export),
    /// Add what an export has, with all that is known of it
    Import(import::Import),
    /// Change what is known of files
    Edit(edit::Edit),
    /// Take a change of many files back
    Undo(operation::Undo),
    /// Rename a tag wherever it is
    RenameTag(edit::RenameTag),
    /// List albums, make them, fill them, move them, take them away
    #[command(subcommand)]
    Album(album::Album),
    /// Define, list and retire fields of your own
    #[command(subcommand)]
    Field(field::Field),
    /// Forget a file for good, on every node
    Purge(purge::Purge),
    /// Move files' bytes between the nodes' disks and an object store
    #[command(subcommand)]
    Blobs(blobs::Blobs),
    /// Show the nodes and whether they agree
    Status(status::Status),
    /// Look at the ledger, or verify it
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Make libraries, and say who is in them
    #[command(subcommand)]
    Library(library::Library),
    /// Make, list and revoke links for people without an account
    #[command(subcommand)]
    Share(share::Share),
    /// Make, list and revoke tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Print what a shell needs to complete commands and flags
    Completions(completions::Completions),
    /// Add, list, change and remove the people who sign in
    #[command(subcommand)]
    User(user::User),
}

impl Command {
    async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Demo(demo) => demo.run().await,
            Self::Serve(serve) => serve.run().await,
            Self::Cluster(cluster) => cluster.run().await,
            Self::Upload(upload) => upload.run().await,
            Self::Search(search) => search.run().await,
            Self::Get(get) => get.run().await,
            Self::Download(download) => download.run().await,
            Self::Export(export) => export.run().await,
            Self::Import(import) => import.run().await,
            Self::Edit(edit) => edit.run().await,
            Self::Undo(undo) => undo.run().await,
            Self::RenameTag(rename) => rename.run().await,
            Self::Album(album) => album.run().await,
            Self::Field(field) => field.run().await,
            Self::Purge(purge) => purge.run().await,
            Self::Blobs(blobs) => blobs.run().await,
            Self::Status(status) => status.run().await,
            Self::Ledger(ledger) => ledger.run().await,
            Self::Library(library) => library.run().await,
            Self::Share(share) => share.run().await,
            Self::Token(token) => token.run().await,
            Self::Completions(completions) => completions.run(),
            Self::User(user) => user.run().await,
        }
    }
}

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing else has chosen a TLS provider yet");
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the system grants threads");
    let result = runtime.block_on(cli.command.run());
    // What still blocks a thread (a read of the disk, say) must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
