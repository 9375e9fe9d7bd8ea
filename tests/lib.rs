//! The documents of the project as tests: every Rust block in them compiles and
//! runs. The tests across crates are in `it/`.

include!(concat!(env!("OUT_DIR"), "/doctests.rs"));
