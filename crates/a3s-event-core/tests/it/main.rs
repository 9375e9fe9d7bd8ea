//! The public interface of the vocabulary.

#![allow(clippy::unwrap_used, reason = "tests may unwrap, helpers of tests too")]

mod forward;
mod object_safety;
