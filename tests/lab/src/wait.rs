//! Level-triggered waiting: look, and look again, until it is so.
//!
//! Guarantees: an end. After the deadline the error says what was still missing at
//! the last look.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long to pause between two looks: short against everything that is waited for
/// here (a boot takes seconds), long against the cost of a look.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` is `Ok`, or until the deadline has passed.
///
/// The `Err` of a look is what is missing; the last one becomes the error.
#[expect(clippy::disallowed_methods, reason = "this is the one place of the lab that waits: it looks at real machines, on their real time")]
pub fn until<T>(deadline: Duration, mut look: impl FnMut() -> std::result::Result<T, String>) -> Result<T> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(missing) if start.elapsed() >= deadline => {
                bail!("waited {:.1} s, and still: {missing}", start.elapsed().as_secs_f32())
            }
            Err(_) => thread::sleep(PAUSE.min(deadline)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_until_it_is_so() {
        let mut looks = 0;
        let seen = until(Duration::from_secs(5), || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err("not yet".into()) }
        });
        assert_eq!(seen.unwrap(), 3);
    }

    #[test]
    fn the_last_missing_thing_is_the_error() {
        let error = until::<()>(Duration::ZERO, || Err("port 22 is shut".into())).unwrap_err();
        assert!(error.to_string().ends_with("and still: port 22 is shut"), "{error}");
    }
}
