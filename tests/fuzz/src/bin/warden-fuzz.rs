//! libFuzzer's program: `WARDEN_FUZZ_TARGET=configuration warden-fuzz CORPUS…`. Run by `make fuzz`.

#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("WARDEN_FUZZ_TARGET").unwrap_or_default();
    warden_fuzz::target(&name).unwrap_or_else(|| {
        let known = warden_fuzz::TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        panic!("WARDEN_FUZZ_TARGET must be one of {known}, and is {name:?}")
    })
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
