//! Makes tests of the documents: doctests of every page, and a program of the
//! guide to custom providers, whose blocks belong together.

use std::{env, error::Error, fmt::Write, fs, path::Path};

const README: &str = "../README.md";
const PAGES: &str = "../docs";
const GUIDE: &str = "custom-providers";

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    println!("cargo::rerun-if-changed={README}");
    println!("cargo::rerun-if-changed={PAGES}");
    let mut doctests = doctests_of("readme", Path::new(README))?;
    for page in fs::read_dir(PAGES)? {
        let page = page?.path();
        let name = page.file_stem().unwrap_or_default().to_string_lossy();
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        if name == GUIDE {
            fs::write(out.join("guide.rs"), program(&fs::read_to_string(&page)?))?;
        } else {
            doctests += &doctests_of(&name.replace('-', "_"), &page)?;
        }
    }
    fs::write(out.join("doctests.rs"), doctests)?;
    Ok(())
}

/// A module whose documentation is the page.
fn doctests_of(name: &str, page: &Path) -> Result<String, Box<dyn Error>> {
    let page = page.canonicalize()?;
    // The network stack is there only with all features.
    let needs_nats = fs::read_to_string(&page)?.contains("use a3s_event::provider::nats");
    let condition = if needs_nats {
        "all(doctest, feature = \"full\")"
    } else {
        "doctest"
    };
    let mut module = String::new();
    writeln!(module, "#[cfg({condition})]")?;
    writeln!(module, "#[doc = include_str!({page:?})]")?;
    writeln!(module, "mod {name} {{}}")?;
    Ok(module)
}

/// The Rust blocks of a page, each line where it is on the page, so that
/// messages name the lines of the page.
fn program(page: &str) -> String {
    let mut program = String::new();
    let mut inside = false;
    for line in page.lines() {
        let fence = line.starts_with("```");
        if inside && !fence {
            program += line;
        }
        program += "\n";
        inside = if fence { line == "```rust" } else { inside };
    }
    program
}
