//! The checkout: where it is, which files it tracks, what cargo says of its packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A checkout of this repository.
#[derive(Debug)]
pub(crate) struct Repository {
    root: PathBuf,
}

/// A tracked file that is text.
#[derive(Debug)]
pub(crate) struct TextFile {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl TextFile {
    /// Whether the path ends in `.extension`.
    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }
}

impl Repository {
    /// The one this program was built from.
    pub(crate) fn open() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the xtask package lies in the repository's root")?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The absolute path of `relative`.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A text file by its path.
    pub(crate) fn read(&self, relative: &str) -> Result<String> {
        std::fs::read_to_string(self.path(relative)).with_context(|| format!("reading {relative}"))
    }

    /// Tracked files, and new ones that are not ignored, in order; those that are not UTF-8 are left out.
    pub(crate) fn text_files(&self) -> Result<Vec<TextFile>> {
        // A clone owned by somebody else is the usual thing in a container; git refuses it unless told otherwise.
        let listing = self.output(
            "git",
            &[
                "-c",
                "safe.directory=*",
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ],
        )?;
        let mut paths: Vec<&str> = listing
            .split('\0')
            .filter(|path| !path.is_empty())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        let mut files = Vec::new();
        for path in paths {
            let absolute = self.path(path);
            if !absolute.is_file() {
                continue;
            }
            let bytes = std::fs::read(absolute).with_context(|| format!("reading {path}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(TextFile {
                    path: path.to_owned(),
                    text,
                });
            }
        }
        Ok(files)
    }

    /// What `cargo metadata` says of the workspace's own packages.
    pub(crate) fn metadata(&self) -> Result<serde_json::Value> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let text = self.output(&cargo, &["metadata", "--no-deps", "--format-version", "1"])?;
        serde_json::from_str(&text).context("parsing the output of cargo metadata")
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&self.root)
            .output()
            .with_context(|| format!("running {program}"))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("{program} {}: {}", arguments.join(" "), message.trim());
        }
        String::from_utf8(output.stdout).with_context(|| format!("reading the output of {program}"))
    }
}
