//! The control loop's clock: tokio's, reckoned in the monotonic clock's microseconds.
//!
//! Both are the same clock of the kernel; going through tokio's lets a test stop it.

use tokio::time::Instant;
use warden_logic::moment::{Moment, Span};

/// Converts between [`Moment`]s and tokio's instants.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Moment,
    began: Instant,
}

impl Clock {
    /// A clock that shows `origin` now.
    #[must_use]
    pub fn start(origin: Moment) -> Self {
        Self { origin, began: Instant::now() }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.origin.plus(Span::from(self.began.elapsed()))
    }

    /// When tokio's clock shows this moment; the clock's own start, when that has passed.
    #[must_use]
    pub fn instant(&self, at: Moment) -> Instant {
        // A moment so far away that tokio cannot reckon it is as good as a day: the loop looks again then.
        let span = at.since(self.origin).as_duration();
        self.began.checked_add(span).unwrap_or_else(|| Instant::now() + std::time::Duration::from_secs(86_400))
    }
}
