//! What an operator does to a stand that serves: other programs, more nodes, fewer nodes. By the commands that the documents name.

use crate::harness::under;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use warden_scenarios::stand::{BALANCER, PATIENCE, UNIT, poison};
use warden_scenarios::{Mix, PutBack, Stand};

/// Packages of a folder ($1), in another ($2) as packages of the version after it.
const NEWER: &str = r#"set -eu
for deb in "$1"/warden-*.deb; do
    rm -rf "$2/tree"
    dpkg-deb --raw-extract "$deb" "$2/tree"
    version=$(dpkg-deb --field "$deb" Version)
    sed -i "s/$version/$version+1/" "$2/tree/DEBIAN/control"
    dpkg-deb --build -Zgzip -z1 "$2/tree" "$2/$(basename "$deb")" >/dev/null
done
rm -rf "$2/tree"
"#;

/// Puts a program back that is one byte longer than it was, and packages that were kept.
const AS_BEFORE: &str = r"
if [ -e /opt/bingo/before ]; then mv /opt/bingo/before /opt/bingo/bingo; fi
if [ -d /var/cache/warden.before ]; then
    dpkg --force-downgrade --force-confold --install /var/cache/warden.before/*.deb
    rm -rf /var/cache/warden && mv /var/cache/warden.before /var/cache/warden
fi";

/// A repository for apt with a package `grafana` that has what the role relies on: its service, which here only shows its environment on port 3000.
const REPOSITORY: &str = r#"set -eu
cd "$(mktemp -d)"
mkdir -p tree/DEBIAN tree/usr/lib/systemd/system tree/etc/grafana
cat >tree/DEBIAN/control <<'END'
Package: grafana
Version: 1.0
Architecture: all
Maintainer: Warden <warden@example.org>
Description: stands in for Grafana
END
cat >tree/usr/lib/systemd/system/grafana-server.service <<'END'
[Service]
ExecStart=/bin/sh -c 'cd $RUNTIME_DIRECTORY && env >environment && exec python3 -m http.server 3000 --bind $GF_SERVER_HTTP_ADDR'
RuntimeDirectory=grafana
[Install]
WantedBy=multi-user.target
END
mkdir -p /srv/grafana
dpkg-deb --build -Zgzip tree /srv/grafana/grafana.deb >/dev/null
cd /srv/grafana
{
    dpkg-deb --field grafana.deb
    echo "Filename: ./grafana.deb"
    echo "Size: $(stat -c %s grafana.deb)"
    echo "SHA256: $(sha256sum grafana.deb | cut -d ' ' -f 1)"
} >Packages
"#;

/// Nothing is left of it.
const NO_GRAFANA: &str = "systemctl disable --now grafana-server; apt-get -q -y purge grafana; rm -rf /srv/grafana /etc/apt/sources.list.d/grafana.list /etc/apt/keyrings/grafana.asc \
     /etc/grafana /var/lib/grafana /etc/systemd/system/grafana-server.service.d; systemctl daemon-reload; apt-get -q update";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs one of the project's commands, five minutes at most.
fn ours(command: &mut Command) -> Result<()> {
    let out = command.current_dir(root()).env("WARDEN_LAB", root().join("target/release/warden-lab")).output()?;
    let said = String::from_utf8_lossy(&out.stdout);
    ensure!(out.status.success(), "{}: {said}{}", out.status, String::from_utf8_lossy(&out.stderr));
    Ok(())
}

/// Another bingo, another agent, another coordinator, by the playbook: one node after the other leaves and comes back, and nobody sees anything.
#[test]
fn lab_bingo_and_warden_are_upgraded() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let packages = folder.path().join("packages");
    fs::create_dir(&packages)?;
    ours(Command::new("sh").args(["-c", NEWER, "newer", "target/package"]).arg(&packages))?;
    let program = folder.path().join("bingo");
    let mut bytes = fs::read(root().join("target/release/bingo"))?;
    bytes.push(0);
    fs::write(&program, bytes)?;

    let stand = Stand::whole()?;
    let machines: Vec<_> =
        stand.nodes().iter().map(String::as_str).chain([BALANCER]).map(|name| stand.node(name)).collect::<Result<_>>()?;
    let invocations = || stand.nodes().iter().map(|node| stand.invocation(node, UNIT)).collect::<Result<Vec<_>>>();
    let versions = || {
        let version = ["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", "warden-*"];
        machines.iter().map(|machine| machine.run(&version)).collect::<Result<Vec<_>>>()
    };
    let (first, old) = (invocations()?, versions()?);
    let mut back = Vec::new();
    for machine in &machines {
        machine.run(&[
            "sh",
            "-c",
            "cp -r /var/cache/warden /var/cache/warden.before; ! [ -e /opt/bingo/bingo ] || cp -p /opt/bingo/bingo /opt/bingo/before",
        ])?;
        back.push(PutBack::by(machine, AS_BEFORE));
    }
    let seen = under(Mix::steady(), |stand, _| {
        let mut playbook = stand.lab().switch_command("timeout");
        playbook.args(["300", "tests/ansible.sh", "--limit", "bingo:balancer", "--tags", "bingo,warden"]);
        playbook.args(["-e", "bingo_scale=0.01", "-e", "@../tests/scenarios/stand.yml"]);
        playbook.args(["-e", &format!("bingo_binary={}", program.display()), "-e", &format!("warden_package_dir={}", packages.display())]);
        ours(&mut playbook)
    })?;
    for ((node, before), after) in stand.nodes().iter().zip(&first).zip(invocations()?) {
        ensure!(*before != after, "{node}'s bingo is the old process");
    }
    for (machine, (old, new)) in machines.iter().zip(old.iter().zip(versions()?)) {
        // What is only known by name has no version.
        let installed: Vec<_> = new.lines().filter(|line| !line.ends_with(' ')).collect();
        let all_new = installed.len() >= 2 && installed.iter().all(|line| line.ends_with("+1"));
        ensure!(all_new, "{} had\n{old}and has\n{new}", machine.name());
    }
    seen.nothing_failed()?;
    drop(back);
    stand.await_whole().context("with the programs from before")
}

/// A third node is added and taken away again by `make deploy`'s own command.
#[test]
fn lab_long_a_node_comes_and_goes() -> Result<()> {
    let vars = "-e @../tests/scenarios/stand.yml";
    let deploy = |nodes| ours(Command::new("timeout").args(["300", "tests/deploy.sh", nodes, "0.01", "trixie"]).env("DEPLOY_VARS", vars));
    let before = Stand::whole()?;
    ensure!(before.nodes().len() == 2, "it begins with two nodes, not {:?}", before.nodes());
    let seen = under(Mix::steady(), |_, _| {
        deploy("3")?;
        let grown = Stand::open()?;
        ensure!(grown.nodes().len() == 3, "the coordinator knows {:?}", grown.nodes());
        grown.await_whole()?;
        deploy("2")
    })?;
    let after = Stand::open()?;
    ensure!(after.nodes() == before.nodes(), "the coordinator knows {:?}", after.nodes());
    after.wait(PATIENCE, |stand| {
        let fleet = stand.fleet()?;
        ensure!(fleet.notes.is_empty() && fleet.unmatched.is_empty(), "left of the third: {:?} {:?}", fleet.notes, fleet.unmatched);
        Ok(())
    })?;
    seen.nothing_failed()
}

/// The guard refuses what is known to break bingo, and nothing else; it goes as it came.
#[test]
fn lab_long_the_guard_keeps_known_poison_out() -> Result<()> {
    let stand = Stand::whole()?;
    let guard =
        |stand: &Stand, on: &str| stand.play(&["--limit", BALANCER, "--tags", "haproxy", "-e", &format!("haproxy_operation_guard={on}")]);
    let address = stand.http()?;
    let post = |stand: &Stand, number: u64| -> Result<String> {
        let mut curl = stand.lab().switch_command("curl");
        curl.args(["-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "-d", &format!("{{\"operation\": {number}}}")]);
        let out = curl.arg(format!("http://{address}/operation")).output()?;
        Ok(String::from_utf8(out.stdout)?)
    };
    let invocations = || stand.nodes().iter().map(|node| stand.invocation(node, UNIT)).collect::<Result<Vec<_>>>();
    let before = invocations()?;
    let back = PutBack::with("the guard", move || guard(&Stand::open()?, "false"));
    guard(&stand, "true")?;
    for poison in [poison::SICK, poison::PANIC, poison::LEAK] {
        let answer = post(&stand, poison)?;
        ensure!(answer == "422", "{poison} is answered {answer}");
    }
    for harmless in [0, 7, poison::LEAK - 1, poison::SICK << 4] {
        let answer = post(&stand, harmless)?;
        ensure!(answer == "200", "{harmless} is answered {answer}");
    }
    ensure!(before == invocations()?, "a node was restarted");
    back.now()?;
    let answer = post(&stand, poison::PANIC)?;
    ensure!(answer != "422", "the guard is still there");
    stand.await_whole().context("after the poison that nobody keeps out")
}

/// Debian has no Grafana. Where a repository has it, it is installed with the stand's source of figures and its dashboards, and a second run changes nothing.
#[test]
fn lab_long_grafana_comes_from_a_repository_that_has_it() -> Result<()> {
    let stand = Stand::whole()?;
    let monitoring = stand.node("mon-1")?;
    let _back = PutBack::by(&monitoring, NO_GRAFANA);
    monitoring.run(&["sh", "-c", REPOSITORY])?;
    let key = tempfile::NamedTempFile::new()?;
    let said = serde_json::json!({
        "monitoring_grafana_repository": "deb [trusted=yes] file:/srv/grafana ./",
        "monitoring_grafana_key": key.path(),
    });
    let said = said.to_string();
    let play = || stand.play(&["--limit", "mon-1", "--tags", "monitoring", "-e", &said]);
    play()?;
    let address = monitoring.address();
    let environment = || monitoring.run(&["curl", "-sf", "-m", "5", &format!("http://{address}:3000/environment")]);
    let environment = stand.wait(PATIENCE, |_| environment())?;
    ensure!(environment.contains("GF_AUTH_ANONYMOUS_ORG_ROLE=Viewer"), "{environment}");
    let source = monitoring.run(&["cat", "/etc/grafana/provisioning/datasources/stand.yml"])?;
    ensure!(source.contains(&format!("http://{address}:9090")), "{source}");
    let dashboards = monitoring.run(&["sh", "-c", "cd /var/lib/grafana/dashboards && ls && python3 -m json.tool stand.json >/dev/null"])?;
    ensure!(dashboards.contains("stand.json") && dashboards.contains("warden.json"), "{dashboards}");
    let invocation = stand.invocation("mon-1", "grafana-server")?;
    play()?;
    ensure!(stand.invocation("mon-1", "grafana-server")? == invocation, "a second run restarts it");
    Ok(())
}
