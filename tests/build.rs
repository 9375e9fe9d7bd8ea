//! Takes the program of `docs/custom-providers.md` out of the page.

use std::{env, error::Error, fs, path::Path};

const PAGE: &str = "../docs/custom-providers.md";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PAGE}");
    let mut program = String::new();
    let mut inside = false;
    for line in fs::read_to_string(PAGE)?.lines() {
        let fence = line.starts_with("```");
        if inside && !fence {
            program += line;
        }
        // A line for a line, so that messages name those of the page.
        program += "\n";
        inside = if fence { line == "```rust" } else { inside };
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("journal.rs"), program)?;
    Ok(())
}
