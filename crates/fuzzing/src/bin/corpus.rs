//! Writes the part of the corpus that is made of real values: `cargo run -p fuzzing --bin corpus`.

use std::fs;
use std::io;

fn main() -> io::Result<()> {
    for target in fuzzing::TARGETS {
        let folder = fuzzing::corpus(target);
        fs::create_dir_all(&folder)?;
        for seed in (target.seeds)() {
            fs::write(folder.join(seed.name), seed.bytes)?;
        }
    }
    Ok(())
}
