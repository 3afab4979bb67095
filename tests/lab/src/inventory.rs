//! The lab as an Ansible dynamic inventory: pure.

use serde_json::{Map, Value, json};

use crate::paths;
use crate::plan::{Machine, Role};

/// What `--list` answers: groups with their hosts, and all host variables at once.
#[must_use]
pub fn list(machines: &[Machine]) -> Value {
    let mut answer = Map::new();
    for role in Role::ALL {
        let hosts: Vec<&str> = machines.iter().filter(|m| m.role == role).map(|m| m.name.as_str()).collect();
        answer.insert(role.group().to_owned(), json!({ "hosts": hosts }));
    }
    let groups: Vec<&str> = Role::ALL.iter().map(|r| r.group()).collect();
    answer.insert("lab".to_owned(), json!({ "children": groups }));
    let vars: Map<String, Value> = machines.iter().map(|m| (m.name.clone(), host(m))).collect();
    answer.insert("_meta".to_owned(), json!({ "hostvars": vars }));
    Value::Object(answer)
}

/// What `--host NAME` answers.
#[must_use]
pub fn host(machine: &Machine) -> Value {
    json!({
        "ansible_host": machine.address.to_string(),
        "ansible_user": "root",
        "ansible_ssh_private_key_file": paths::ssh_key(),
        "ansible_ssh_common_args": ssh_options().join(" "),
        "ansible_python_interpreter": "/usr/bin/python3",
    })
}

/// Machines of the lab are new every time: their host keys say nothing, and must not
/// end up among those that a person trusts.
fn ssh_options() -> Vec<String> {
    [
        "StrictHostKeyChecking=no".to_owned(),
        format!("UserKnownHostsFile={}", paths::known_hosts().display()),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        "LogLevel=ERROR".to_owned(),
        "IdentitiesOnly=yes".to_owned(),
        "ConnectTimeout=10".to_owned(),
    ]
    .into_iter()
    .map(|option| format!("-o {option}"))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;

    #[test]
    fn every_machine_is_in_its_group_and_has_its_variables() {
        let machines = plan::machines(2);
        let answer = list(&machines);
        assert_eq!(answer["bingo"]["hosts"], json!(["bingo-1", "bingo-2"]));
        assert_eq!(answer["balancer"]["hosts"], json!(["lb-1"]));
        assert_eq!(answer["postgresql"]["hosts"], json!(["db-1"]));
        assert_eq!(answer["lab"]["children"], json!(["balancer", "bingo", "postgresql", "monitoring"]));
        for machine in &machines {
            let vars = &answer["_meta"]["hostvars"][&machine.name];
            assert_eq!(*vars, host(machine));
            assert_eq!(vars["ansible_host"], json!(machine.address.to_string()));
        }
    }

    #[test]
    fn a_persons_known_hosts_are_left_alone() {
        let options = ssh_options().join(" ");
        assert!(options.contains("-o UserKnownHostsFile=/var/lib/warden-lab/ssh/known_hosts"));
        assert!(options.contains("-o StrictHostKeyChecking=no"));
    }
}
