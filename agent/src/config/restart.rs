//! `[service.restart]`: when and how often a service may be restarted.

use super::values::{positive, shown};
use std::time::Duration;
use warden_edge::config::Section;
use warden_logic::moment::Span;
use warden_logic::service::policy::RestartPolicy;

/// The defaults, in seconds: at once, then after 1, 2, 4 … 60 s; five in ten minutes, then one trial every five.
const DEFAULT: RestartPolicy = RestartPolicy {
    first_delay: Span::ZERO,
    delay: Span::from_secs(1),
    max_delay: Span::from_secs(60),
    forget_after: Span::from_secs(600),
    limit: 5,
    window: Span::from_secs(600),
    trial_every: Span::from_secs(300),
};

/// Takes the table apart, or gives the defaults when there is none.
pub(super) fn read(section: Option<Section<'_>>) -> RestartPolicy {
    let Some(section) = section else { return DEFAULT };
    let first_delay = section.duration("first_delay").map_or(Duration::ZERO, |found| found.value);
    let delay = positive(&section, "delay", DEFAULT.delay.as_duration());
    let max_delay = positive(&section, "max_delay", DEFAULT.max_delay.as_duration().max(delay.value));
    let forget_after = positive(&section, "forget_after", DEFAULT.forget_after.as_duration());
    let limit = section.integer("limit", 1..=1000).and_then(|found| u32::try_from(found.value).ok()).unwrap_or(DEFAULT.limit);
    let window = positive(&section, "window", DEFAULT.window.as_duration());
    let trial_every = positive(&section, "trial_every", DEFAULT.trial_every.as_duration());
    if delay.value > max_delay.value {
        let text = format!("`max_delay` must not be shorter than `delay`: {} < {}", shown(max_delay.value), shown(delay.value));
        section.fault(max_delay.place, text);
    } else if first_delay > max_delay.value {
        let text = format!("`max_delay` must not be shorter than `first_delay`: {} < {}", shown(max_delay.value), shown(first_delay));
        section.fault(max_delay.place, text);
    }
    section.finish();
    RestartPolicy {
        first_delay: Span::from(first_delay),
        delay: Span::from(delay.value),
        max_delay: Span::from(max_delay.value),
        forget_after: Span::from(forget_after.value),
        limit,
        window: Span::from(window.value),
        trial_every: Span::from(trial_every.value),
    }
}
