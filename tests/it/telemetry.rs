//! What a service shows of its events to the outside.

mod names;
mod traces;
