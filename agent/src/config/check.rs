//! The configuration as a person wants to hear of it before it is used: every fault at once, then what will be supervised, and
//! what is allowed and probably not meant.

use super::difference::means_word;
use super::doubt::{self, recycling};
use super::{Config, DIRECTORY, Service, take};
use crate::printable::escaped;
use crate::probe::Asker;
use crate::systemd::{self, Settings, SystemdError};
use std::fmt::Write;
use std::path::PathBuf;
use warden_edge::chain::Chain;
use warden_edge::config::{Directories, Fault, Faults, Place, Tree};
use warden_edge::tls::now;
use warden_logic::service::policy::Mode;

/// No path or address is shown longer, in characters.
const SHOWN: usize = 200;

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// For a person, ending with a line break.
    pub text: String,
    /// 0: it can be used. 64: it cannot.
    pub code: u8,
}

/// The directories that are read: those given, else the standard ones.
///
/// # Errors
/// One of the standard directories may be missing; one that somebody named may not.
pub fn directories(paths: &[PathBuf]) -> Result<Directories, Faults> {
    if paths.is_empty() {
        return Ok(Directories::standard(DIRECTORY));
    }
    let missing = paths.iter().filter(|path| !path.exists());
    let faults: Vec<_> =
        missing.map(|path| Fault { place: Place::file(path), text: "there is no such file or directory".to_owned() }).collect();
    if faults.is_empty() { Ok(Directories(paths.to_vec())) } else { Err(Faults(faults)) }
}

/// Checks the configuration in `paths`, directories or single files; none: what is installed. Asks systemd for the units that
/// it names, as far as systemd can be reached.
pub async fn check(paths: &[PathBuf]) -> Report {
    let config = match directories(paths).and_then(|directories| whole(Tree::load(&directories)?)) {
        Ok(config) => config,
        Err(faults) => return refused(&faults),
    };
    let units: Vec<_> = config.services.iter().map(|service| service.unit.clone()).collect();
    let settings = if units.is_empty() { Ok(Vec::new()) } else { systemd::settings(&units).await };
    report(&config, &settings)
}

/// Everything that is in order, or else every fault: those of the text and what this machine lacks.
fn whole(tree: Tree) -> Result<Config, Faults> {
    let config = take(&tree);
    for hooks in [false, true] {
        config.needs.unmet(hooks).into_iter().for_each(|fault| tree.fault(fault.place, fault.text));
    }
    config.needs.unproven(now()).into_iter().for_each(|fault| tree.fault(fault.place, fault.text));
    tree.finish(config)
}

/// The report on a configuration that can be read, and on what systemd says of its units.
fn report(config: &Config, settings: &Result<Vec<Settings>, SystemdError>) -> Report {
    let mut faults = unaskable(config);
    let mut doubts = doubt::of_config(config);
    for (service, settings) in config.services.iter().zip(settings.as_deref().unwrap_or_default()) {
        match &settings.unfit {
            Some(text) => faults.push(Fault { place: service.place.clone(), text: text.clone() }),
            None => doubts.extend(doubt::of_unit(service, settings)),
        }
    }
    if !faults.is_empty() {
        faults.sort();
        return refused(&Faults(faults));
    }
    let mut text = summary(config);
    if let Err(error) = settings {
        doubts.push(format!("whether systemd has the units cannot be told: {}", Chain(error)));
    }
    for doubt in doubts {
        text.push_str("warning: ");
        text.push_str(&doubt);
        text.push('\n');
    }
    Report { text, code: 0 }
}

/// Probes that cannot be prepared although every file is there: nobody can be trusted, a certificate is none.
fn unaskable(config: &Config) -> Vec<Fault> {
    let probes =
        config.services.iter().flat_map(|service| service.probes.iter().chain(&service.depends).map(move |probe| (service, probe)));
    let faults = probes.filter_map(|(service, probe)| {
        let why = Asker::new(probe, &service.unit).err()?;
        Some(Fault { place: service.place.clone(), text: format!("{}: {}: {why}", service.unit, probe.name) })
    });
    faults.collect()
}

fn refused(faults: &Faults) -> Report {
    Report { text: format!("{faults}\n"), code: crate::run::USAGE }
}

/// What is read and what will be supervised.
fn summary(config: &Config) -> String {
    let mut text = "no fault found\n".to_owned();
    let mut line = |name: &str, value: &str| {
        // Writing into a text cannot fail.
        let _ = writeln!(text, "  {name:<12} {}", escaped(value, SHOWN * 4));
    };
    let paths = |paths: &[PathBuf]| list(paths.iter().map(|path| path.display().to_string()));
    line("files", &paths(&config.files));
    if !config.masks.is_empty() {
        line("switched off", &paths(&config.masks));
    }
    line("node", &config.node);
    line("coordinators", &list(config.coordinators.iter().cloned()));
    if !config.hooks.is_empty() {
        let hook = |hook: &crate::hook::Hook| {
            format!("{} on {}", hook.name, hook.on.iter().map(|event| event.label()).collect::<Vec<_>>().join(" "))
        };
        line("hooks", &list(config.hooks.iter().map(hook)));
    }
    line("services", &list(config.services.iter().map(|service| service.unit.clone())));
    for service in &config.services {
        describe(service, &mut text);
    }
    text
}

fn describe(service: &Service, text: &mut String) {
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "    {name:<10} {}", escaped(&value, SHOWN * 4));
    };
    let shadow = if service.policy.mode == Mode::Shadow { ", in shadow mode: nothing is restarted" } else { "" };
    let backend = if service.backend.is_empty() { "no backend".to_owned() } else { format!("backend {}", service.backend) };
    line("service", format!("{}: {backend}{shadow}", service.unit));
    for (probe, policy) in service.probes.iter().zip(&service.policy.probes) {
        let sick = if policy.of > policy.failures {
            format!("{} of {}", policy.failures, policy.of)
        } else {
            format!("{} in a row", policy.failures)
        };
        line("probe", format!("{}: {} every {}, sick after {sick}", probe.name, probe.ask.target(), policy.every));
    }
    for (pattern, policy) in service.patterns.iter().zip(&service.policy.patterns) {
        let times = if policy.count > 1 { format!(", {} within {}", policy.count, policy.window) } else { String::new() };
        line("pattern", format!("{}: {} is {}{times}", pattern.name, pattern.matcher.describe(), means_word(policy.means)));
    }
    for (probe, policy) in service.depends.iter().zip(&service.policy.depends) {
        line("depends on", format!("{}: {} every {}", probe.name, probe.ask.target(), policy.every));
    }
    if let Some(recycling) = recycling(service) {
        line("recycle", recycling.text());
    }
    if let Some(above) = service.policy.recycle.above {
        line("recycle", format!("restarted when it holds more than {}", super::values::shown_size(above)));
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use warden_logic::service::input::RestartSetting;

    const TEXT: &str = r#"
        [node]
        name = "bingo-1"
        [hook.pager]
        exec = ["/bin/sh"]
        [[service]]
        unit = "bingo.service"
        mode = "shadow"
        warmup = "30s"
        max_age = "20m"
        recycle_above = "120M"
        [service.probe.ping]
        http = "http://127.0.0.1:28940/ping"
        of = 10
        [service.pattern.doom]
        journal.line = "We all gonna die"
        means = "fatal"
        [service.depends.database]
        postgres = "db-1:5432"
    "#;

    #[test]
    fn what_will_be_supervised_is_told() {
        let config = parse("a.toml", TEXT).unwrap();
        let unreachable = Err(SystemdError::Closed);
        let told = report(&config, &unreachable);
        assert_eq!(told.code, 0);
        assert_eq!(
            told.text,
            "no fault found\n  \
               files        a.toml\n  \
               node         bingo-1\n  \
               coordinators none\n  \
               hooks        pager on parked held restart_failed start_limit\n  \
               services     bingo.service\n    \
                 service    bingo.service: no backend, in shadow mode: nothing is restarted\n    \
                 probe      ping: http://127.0.0.1:28940/ping every 1 s, sick after 3 of 10\n    \
                 pattern    doom: \"We all gonna die\" is fatal\n    \
                 depends on database: postgres db-1:5432 every 2 s\n    \
                 recycle    restarted at an age of 18 min to 20 min, out for at most 1 min 10 s (up to 30 s drain, up to 10 s stop, 30 s \
                 warm-up, 500 ms proof); one at a time that is enough for 15 nodes\n    \
                 recycle    restarted when it holds more than 120M\n\
             warning: whether systemd has the units cannot be told: the bus closed the connection\n"
                .replace("the bus closed", "the system bus closed")
        );
    }

    #[test]
    fn what_is_missing_on_this_machine_is_told_with_the_rest() {
        let told = |text: &str| refused(&whole(Tree::parse("a.toml", text).unwrap()).unwrap_err());
        let hook = "[hook.x]\nexec = [\"/nowhere/x\"]\n";
        let missing = "a.toml:2:8: /nowhere/x cannot be run: there is no such file; install it or correct `exec`\n";
        assert_eq!((told(hook).code, told(hook).text.as_str()), (64, missing));
        let wrong = format!("{hook}tmeout = \"1s\"\n");
        assert_eq!(told(&wrong).text, format!("{missing}a.toml:3:1: unknown key `tmeout` in [hook.x]; did you mean `timeout`?\n"));
    }

    #[test]
    fn a_unit_that_cannot_be_supervised_is_a_fault() {
        let config = parse("a.toml", "[[service]]\nunit = \"a.service\"\n[service.probe.p]\ntcp = \"127.0.0.1:1\"\n").unwrap();
        let unit = Settings {
            unfit: None,
            id: "a.service".to_owned(),
            kind: "exec".to_owned(),
            restart: RestartSetting::OnFailure,
            restart_after: std::time::Duration::ZERO,
            start_limit: None,
            watchdog: None,
            runtime_max: None,
            memory_max: None,
        };
        let told = report(&config, &Ok(vec![Settings { unfit: Some("a.service: systemd has no such unit".to_owned()), ..unit.clone() }]));
        assert_eq!((told.code, told.text.as_str()), (64, "a.toml:2:8: a.service: systemd has no such unit\n"));
        let told = report(&config, &Ok(vec![unit]));
        assert!(told.code == 0 && told.text.contains("\nwarning: a.service: Restart=on-failure: "), "{}", told.text);
    }

    #[tokio::test]
    async fn what_is_not_installed_is_checked_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("50-a.toml");
        std::fs::write(&file, "[node]\nname = \"bingo-1\"\n").unwrap();
        std::fs::write(folder.path().join("60-b.toml"), "").unwrap();
        let told = check(&[folder.path().to_owned()]).await;
        assert_eq!(told.code, 0, "{}", told.text);
        assert!(told.text.contains("50-a.toml") && told.text.contains("switched off") && told.text.contains("60-b.toml"), "{}", told.text);
        assert_eq!(check(std::slice::from_ref(&file)).await.code, 0);
        let nowhere = check(&[PathBuf::from("/nowhere/agent.d")]).await;
        assert_eq!((nowhere.code, nowhere.text.as_str()), (64, "/nowhere/agent.d: there is no such file or directory\n"));
    }
}
