//! How all services stand, in the one line that `systemctl status warden-agent` shows. Pure.

use warden_logic::service::View;
use warden_protocol::vocab::ServiceState;

/// More services than this are counted, and only those that do not serve are told one by one.
const TOLD: usize = 8;

/// What of a service is in the line.
pub(super) fn shown(view: &View) -> (ServiceState, &str, Option<&str>) {
    (view.state, &view.reason.text, view.waits_for)
}

/// The line, of all services with their units, in the configuration's order.
pub(super) fn summary<'a>(services: impl Iterator<Item = (&'a str, &'a View)>) -> String {
    let services: Vec<_> = services.collect();
    let one = |(unit, view): &(&str, &View)| {
        let (state, why, waits_for) = shown(view);
        let waits = waits_for.map(|what| format!(" (waits for {what})")).unwrap_or_default();
        format!("{unit} {state}: {why}{waits}")
    };
    if services.is_empty() {
        return "no service is configured".to_owned();
    }
    if services.len() <= TOLD {
        return services.iter().map(one).collect::<Vec<_>>().join("; ");
    }
    let others: Vec<_> = services.iter().filter(|(_, view)| view.state != ServiceState::Serving).collect();
    let mut parts = vec![format!("{} of {} services serve", services.len() - others.len(), services.len())];
    parts.extend(others.iter().take(TOLD).map(|service| one(service)));
    if others.len() > TOLD {
        parts.push(format!("and {} more do not", others.len() - TOLD));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BEGIN, policy};
    use super::*;
    use warden_logic::service::Machine;

    fn line(states: &[ServiceState]) -> String {
        let view = Machine::new(policy(), BEGIN).view(BEGIN);
        let views: Vec<_> = states.iter().map(|state| View { state: *state, ..view.clone() }).collect();
        let units: Vec<_> = (0..views.len()).map(|number| format!("app@{number}.service")).collect();
        summary(units.iter().map(String::as_str).zip(&views))
    }

    #[test]
    fn a_few_services_are_told_one_by_one_and_of_many_those_that_do_not_serve() {
        use ServiceState::{Serving, Sick};
        assert_eq!(line(&[]), "no service is configured");
        let two = line(&[Serving, Sick]);
        assert!(two.starts_with("app@0.service serving: ") && two.contains("; app@1.service sick: "), "{two}");
        let mut many = [Serving; 200];
        assert_eq!(line(&many), "200 of 200 services serve");
        many[7] = Sick;
        let one = line(&many);
        assert!(one.starts_with("199 of 200 services serve; app@7.service sick: ") && !one.contains("app@8"), "{one}");
        let none = line(&[Sick; 200]);
        assert!(none.starts_with("0 of 200 services serve; app@0.service sick: ") && none.ends_with("; and 192 more do not"), "{none}");
        assert!(none.matches("app@").count() == TOLD, "{none}");
    }
}
