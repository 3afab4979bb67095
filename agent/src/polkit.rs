//! `warden-agent polkit`: the rule by which polkit lets the agent act on units, made from the configuration.
//!
//! Guarantees: the rule names the configured units and five verbs, and nothing more; no unit name can be anything but text in
//! it; what is in force is replaced as a whole or not at all. Left to others: when. The agent itself has no right to write the
//! rule, so a person or the installer runs this as root after a unit has come or gone.

use crate::config::Config;
use crate::systemd::{self, SystemdError};
use anyhow::Context;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use warden_edge::chain::Chain;

/// Where polkit looks for what this machine's administrator allows.
pub const RULE: &str = "/etc/polkit-1/rules.d/50-warden-agent.rules";
/// What to run after a unit has come or gone.
pub const REMEDY: &str = "warden-agent polkit --install";

/// The user of the shipped unit file.
const USER: &str = "warden-agent";
/// As systemd asks for them: the verbs of `org.freedesktop.systemd1.manage-units`.
const VERBS: [&str; 5] = ["start", "stop", "restart", "kill", "reset-failed"];

/// What a person, or the installer, is told.
pub struct Answer {
    /// The rule itself, or where it went.
    pub text: String,
    /// What the rule may lack, and why.
    pub doubt: Option<String>,
}

/// Makes the rule, and puts it into force if that is wanted. systemd asks polkit by a unit's own name, so that is named beside the
/// configured one where they differ.
///
/// # Errors
/// When the rule cannot be written.
pub async fn answer(config: &Config, install_it: bool) -> anyhow::Result<Answer> {
    let configured: Vec<_> = config.services.iter().map(|service| service.unit.clone()).collect();
    let (own, doubt) = match own_names(&configured).await {
        Ok(own) => (own, None),
        Err(error) => (
            Vec::new(),
            Some(format!(
                "systemd cannot be asked whether a unit has another name, so the rule has the configured ones alone: {}",
                Chain(&error)
            )),
        ),
    };
    let rule = rule(configured.iter().chain(&own).map(String::as_str));
    if !install_it {
        return Ok(Answer { text: rule, doubt });
    }
    let written = install(Path::new(RULE), &rule)
        .with_context(|| format!("{RULE} cannot be written, and what it allowed before holds (this needs root, and polkit's folder)"))?;
    Ok(Answer { text: format!("{RULE}: {}\n", if written { "written" } else { "says the same already" }), doubt })
}

async fn own_names(units: &[String]) -> Result<Vec<String>, SystemdError> {
    if units.is_empty() {
        return Ok(Vec::new());
    }
    let known = systemd::settings(units).await?.into_iter().filter(|settings| settings.unfit.is_none());
    // A test's systemd, and an old one, may know none.
    Ok(known.map(|settings| settings.id).filter(|id| id.ends_with(".service")).collect())
}

/// The rule for `units`, in the ECMAScript 5 that every polkit since 121 reads. The same units make the same text, in
/// whatever order they are configured.
#[must_use]
pub fn rule<'a>(units: impl IntoIterator<Item = &'a str>) -> String {
    let mut units: Vec<_> = units.into_iter().collect();
    units.sort_unstable();
    units.dedup();
    format!(
        "// What the Warden agent may do to units: these verbs, to these units, and nothing more.\n\
         // Made from the agent's configuration. After a unit has come or gone: {REMEDY}\n\
         var wardenUnits = {units};\n\
         var wardenVerbs = {verbs};\n\
         \n\
         polkit.addRule(function (action, subject) {{\n\
         \x20   if (action.id == \"org.freedesktop.systemd1.manage-units\" &&\n\
         \x20       subject.user == {user} &&\n\
         \x20       wardenUnits.indexOf(action.lookup(\"unit\")) >= 0 &&\n\
         \x20       wardenVerbs.indexOf(action.lookup(\"verb\")) >= 0) {{\n\
         \x20       return polkit.Result.YES;\n\
         \x20   }}\n\
         \x20   // Whatever else there is to say about it, other rules say.\n\
         \x20   return polkit.Result.NOT_HANDLED;\n\
         }});\n",
        units = list(&units),
        verbs = list(&VERBS),
        user = literal(USER),
    )
}

fn list(texts: &[&str]) -> String {
    let literals: Vec<_> = texts.iter().map(|text| literal(text)).collect();
    format!("[{}]", literals.join(", "))
}

/// A string literal of ECMAScript, and of JSON. What is not plainly part of a name is written as its code, so that nothing
/// ends the literal or the line: no quote, no backslash, none of the four line ends of the language.
fn literal(text: &str) -> String {
    let mut literal = String::from('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_alphanumeric() || b":-_.@".contains(&byte) => literal.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(literal, "\\u{unit:04x}")),
        }
    }
    literal.push('"');
    literal
}

/// Puts `rule` into force at `path`; `false` when it says that already. polkit sees a renamed file by itself.
///
/// # Errors
/// What kept the file from being written; the one in force is as it was.
pub fn install(path: &Path, rule: &str) -> io::Result<bool> {
    if std::fs::read(path).is_ok_and(|old| old == rule.as_bytes()) {
        return Ok(false);
    }
    // The name's ending keeps polkit from reading it while it is half written.
    let new = path.with_extension("rules.new");
    // What an interrupted run has left, or somebody has put there, is not written into.
    drop(std::fs::remove_file(&new));
    let mut file = std::fs::File::create_new(&new)?;
    let written = file.write_all(rule.as_bytes()).and_then(|()| readable(&file)).and_then(|()| file.sync_all());
    match written.and_then(|()| std::fs::rename(&new, path)) {
        Ok(()) => Ok(true),
        Err(error) => {
            drop(std::fs::remove_file(&new));
            Err(error)
        }
    }
}

/// polkitd is another user, whatever the umask is.
fn readable(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The one line that depends on the configuration.
    fn units_line(rule: &str) -> &str {
        let lines: Vec<_> = rule.lines().filter(|line| line.contains("wardenUnits = ")).collect();
        assert_eq!(lines.len(), 1, "{rule}");
        lines[0].strip_prefix("var wardenUnits = ").and_then(|line| line.strip_suffix(';')).unwrap()
    }

    #[test]
    fn the_rule_names_the_configured_units_and_the_verbs() {
        let rule = rule(["bingo.service", "a@1.service", "bingo.service"]);
        assert_eq!(units_line(&rule), r#"["a@1.service", "bingo.service"]"#);
        assert!(rule.contains(r#"var wardenVerbs = ["start", "stop", "restart", "kill", "reset-failed"];"#), "{rule}");
        assert!(rule.contains(r#"subject.user == "warden-agent" &&"#), "{rule}");
    }

    #[test]
    fn without_services_it_allows_nothing() {
        assert_eq!(units_line(&rule([])), "[]");
    }

    #[test]
    fn what_could_end_the_text_is_written_as_its_code() {
        let nasty = "\"]; evil(); //\\x2d\n\u{2028}\u{2029}</script>\u{1f480}.service";
        let text = rule([nasty]);
        assert_eq!(text.lines().count(), rule([]).lines().count(), "a name cannot begin a line: {text}");
        assert!(!text.contains("evil()"), "{text}");
        assert_eq!(serde_json::from_str::<Vec<String>>(units_line(&text)).unwrap(), [nasty]);
    }

    proptest! {
        #[test]
        fn any_name_is_nothing_but_a_text(name in any::<String>()) {
            let text = rule([name.as_str()]);
            let line = units_line(&text);
            let inside = line.strip_prefix("[\"").and_then(|line| line.strip_suffix("\"]")).unwrap();
            prop_assert!(inside.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.@\\".contains(&byte)), "{}", line);
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(line).unwrap(), [name]);
        }
    }

    #[test]
    fn a_rule_is_written_once_whole_and_readable() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("50-warden-agent.rules");
        assert!(install(&path, &rule(["a.service"])).unwrap());
        assert!(!install(&path, &rule(["a.service"])).unwrap(), "nothing has changed");
        assert!(install(&path, &rule(["b.service"])).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), rule(["b.service"]));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing else is left");
        assert!(install(&folder.path().join("nowhere/50.rules"), "").is_err());
    }
}
