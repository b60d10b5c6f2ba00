//! Writes the part of the corpus that is made of real values: `cargo run -p fuzzing --bin corpus`.

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    for target in fuzzing::TARGETS {
        let folder = fuzzing::corpus(target);
        fs::create_dir_all(&folder)?;
        forget_other_chains(&folder)?;
        for seed in (target.seeds)() {
            fs::write(folder.join(seed.name), seed.bytes)?;
        }
    }
    Ok(())
}

/// Removes receipts, which are true of one chain: those of an earlier one would be taken for lies that pass.
fn forget_other_chains(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("receipt-") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
