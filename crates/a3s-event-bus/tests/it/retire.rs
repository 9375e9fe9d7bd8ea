//! Subjects that change, and consumers that are no longer needed.
