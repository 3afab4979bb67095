//! A configuration file: right, or refused with faults that a person can find.

use warden_agent::config;

/// Reads the bytes as a file.
pub fn run(bytes: &[u8]) {
    // A file that is not UTF-8 is refused before it comes here.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let first = config::parse("fuzz.toml", text);
    if let Err(faults) = &first {
        assert!(!faults.0.is_empty(), "refused without a fault");
        for fault in &faults.0 {
            assert!(!fault.text.is_empty(), "a fault without words");
            assert!(fault.place.line <= text.matches('\n').count() + 1, "a fault beyond the file: {fault}");
            assert!(!fault.to_string().contains('\u{1b}'), "a fault that moves the cursor: {fault:?}");
        }
    }
    assert_eq!(first, config::parse("fuzz.toml", text), "read twice, understood twice");
}
