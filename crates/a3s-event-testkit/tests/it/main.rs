//! The suite proves itself: good providers pass every case, modest ones too, and
//! no case passes everything.

#![allow(clippy::unwrap_used, reason = "tests may unwrap, helpers of tests too")]

mod listed;
mod modest;
mod mutant;
mod mutants;
mod running;
