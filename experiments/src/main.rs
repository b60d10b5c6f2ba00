//! `starling-experiments`: prints the tables of `docs/experiments.md`, or writes them into it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use experiments::document::with_part;
use experiments::tables::{PARTS, make};

#[derive(Parser)]
#[command(about = "The experiments of docs/experiments.md, in simulated time")]
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
    let arguments = Arguments::parse();
    match arguments.action {
        Action::Print { parts } => {
            for name in chosen(parts) {
                println!("{name}\n\n{}", make(&name, arguments.seed)?.text);
            }
            Ok(())
        }
        Action::Write { parts, docs } => chosen(parts)
            .iter()
            .try_for_each(|name| write(&docs, name, arguments.seed)),
    }
}

fn chosen(parts: Vec<String>) -> Vec<String> {
    if parts.is_empty() {
        PARTS.map(str::to_owned).to_vec()
    } else {
        parts
    }
}

fn write(docs: &Path, name: &str, seed: u64) -> Result<()> {
    let part = make(name, seed)?;
    let path = docs.join("experiments.md");
    let page = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    fs::write(&path, with_part(&page, name, &part.text)?)?;
    if let Some(chart) = part.chart {
        let folder = docs.join("experiments");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{name}.svg")), chart)?;
    }
    println!("{name}");
    Ok(())
}
