//! Tests that read the project itself: import directions, foreign libraries in their folders, sizes, documents.
//!
//! What they hold is written down in ARCHITECTURE.md; a failure names the file and the rule.
