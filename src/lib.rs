//! The concurrency lab: measured, not guessed.
