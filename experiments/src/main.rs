//! `starling-experiments`: prints the tables of `docs/experiments.md`, or writes them into it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use experiments::document::with_part;
use experiments::tables::Part;
use experiments::{processes, tables};

#[derive(Parser)]
#[command(
    about = "The experiments of docs/experiments.md: simulated ones, and what real processes measured"
)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// From which everything is drawn; the document has 1.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
}

#[derive(Subcommand)]
enum Action {
    /// Prints parts of the document.
    Print {
        /// Which; none: all.
        parts: Vec<String>,
        /// Where `experiments.md` is.
        #[arg(long, default_value = "docs")]
        docs: PathBuf,
    },
    /// Makes parts anew and writes them into the document, charts beside it.
    Write {
        /// Which; none: all.
        parts: Vec<String>,
        /// Where `experiments.md` is.
        #[arg(long, default_value = "docs")]
        docs: PathBuf,
    },
}

fn main() -> Result<()> {
    let Arguments { action, seed } = Arguments::parse();
    match action {
        Action::Print { parts, docs } => {
            for name in chosen(parts) {
                println!("{name}\n\n{}", make(&docs, &name, seed)?.text);
            }
            Ok(())
        }
        Action::Write { parts, docs } => chosen(parts)
            .iter()
            .try_for_each(|name| write(&docs, name, seed)),
    }
}

fn chosen(parts: Vec<String>) -> Vec<String> {
    if parts.is_empty() {
        let all = tables::PARTS.iter().chain(&processes::PARTS);
        all.map(|name| (*name).to_owned()).collect()
    } else {
        parts
    }
}

/// Charts, and what real processes measured.
fn folder(docs: &Path) -> PathBuf {
    docs.join("experiments")
}

fn make(docs: &Path, name: &str, seed: u64) -> Result<Part> {
    if processes::PARTS.contains(&name) {
        processes::make(name, &folder(docs))
    } else {
        tables::make(name, seed)
    }
}

fn write(docs: &Path, name: &str, seed: u64) -> Result<()> {
    let part = make(docs, name, seed)?;
    let path = docs.join("experiments.md");
    let page = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    fs::write(&path, with_part(&page, name, &part.text)?)?;
    fs::create_dir_all(folder(docs))?;
    for chart in part.charts {
        fs::write(folder(docs).join(format!("{}.svg", chart.name)), chart.svg)?;
    }
    println!("{name}");
    Ok(())
}
