//! Faults under load: by `/operation`, which anybody can do, and of the lab's machines.

use crate::sheet::{Seen, Sheet};
use crate::traffic::failed;
use crate::web::Site;
use anyhow::{Context, Result, ensure};
use hyper::Method;
use std::time::Duration;
use tokio::time::Instant;
use warden_lab::{Node, wait};
use warden_scenarios::stand::{BALANCER, poison};
use warden_scenarios::{Answers, Load, Mix, Stand};

/// What users were promised: back within a minute.
const BACK: f64 = 60.0;
/// A leak has to be found first, and grow as far as that takes.
const PATIENCE: Duration = Duration::from_secs(150);

/// Does something bad under the steady load, and waits until all is as before. `back` is given when it began, and says how long it took.
fn under_load(site: &Site, bad: impl FnOnce() -> Result<()>, back: impl FnOnce(Instant) -> Result<f64>) -> Result<(Answers, f64)> {
    let load = Load::start_here(site.http, Mix::steady())?;
    let begin = Instant::now();
    bad()?;
    let took = back(begin)?;
    let more = load.done() + 60;
    wait::until(Duration::from_secs(15), || if load.done() >= more { Ok(()) } else { Err("the load stands still".into()) })?;
    Ok((load.stop()?, took))
}

fn verdict(answers: &Answers, took: f64) -> Seen {
    let share = failed(answers);
    let gets = answers.failed_gets().len();
    let text = format!("back after {took:.1} s; {:.2} % of {} failed, {gets} of them GETs", share * 100.0, answers.0.len());
    Seen(took < BACK && share <= 0.01 && gets == 0, text)
}

pub(crate) fn operations(site: &Site, sheet: &mut Sheet, stand: Option<&Stand>, time: Duration) {
    sheet.title("Faults by /operation, under 60 requests a second");
    for (name, value) in [("sick but alive", poison::SICK), ("the process ends", poison::PANIC), ("a memory leak", poison::LEAK)] {
        let promise = format!("{name}: no GET fails, 1 % in all, back in a minute");
        // Without the machines nobody can say when which node is back: users must not notice for as long as a way back takes.
        let Some(stand) = stand else {
            sheet.check(&promise, || {
                let bad = || poisoned(site, value);
                let back = |begin: Instant| {
                    let quiet = time.min(Duration::from_secs(30));
                    wait::until(quiet * 2, || if begin.elapsed() >= quiet { Ok(()) } else { Err("it is being watched".into()) })?;
                    Ok(0.0)
                };
                let (answers, _) = under_load(site, bad, back)?;
                let (share, gets) = (failed(&answers), answers.failed_gets().len());
                Ok(Seen(share <= 0.01 && gets == 0, format!("{:.2} % of {} failed, {gets} of them GETs", share * 100.0, answers.0.len())))
            });
            continue;
        };
        sheet.check(&promise, || {
            stand.await_whole()?;
            let before = invocations(stand)?;
            let bad = || poisoned(site, value);
            let back = |begin: Instant| {
                let mut out = None;
                wait::until(PATIENCE, || {
                    let missing = stand.missing();
                    if missing.is_some() && out.is_none() {
                        out = Some(begin.elapsed());
                    }
                    let now = invocations(stand).map_err(|error| format!("{error:#}"))?;
                    match missing {
                        None if now != before => Ok(()),
                        None => Err("no node was restarted".to_owned()),
                        Some(why) => Err(why),
                    }
                })?;
                // A leak is no fault to anybody until it is found.
                let from = out.unwrap_or_default();
                Ok((begin.elapsed().saturating_sub(if value == poison::LEAK { from } else { Duration::ZERO })).as_secs_f64())
            };
            let (answers, took) = under_load(site, bad, back)?;
            Ok(verdict(&answers, took))
        });
    }
}

pub(crate) fn machines(site: &Site, sheet: &mut Sheet, stand: &Stand) {
    type Deed = fn(&Node) -> Result<()>;
    let faults: [(&str, Deed, Deed); 2] = [
        ("loses its power, and gets it back", Node::poweroff, Node::boot),
        ("has its cable pulled, and put back", |node| node.link(false), |node| node.link(true)),
    ];
    sheet.title("Faults of machines, under 60 requests a second");
    let victim = &stand.nodes()[0];
    for (what, bad, good) in faults {
        sheet.check(&format!("{victim} {what}"), || {
            stand.await_whole()?;
            let node = stand.node(victim)?;
            let back = |_| {
                let noticed = noticed(stand);
                let begin = Instant::now();
                good(&node)?;
                noticed?;
                stand.await_whole()?;
                Ok(begin.elapsed().as_secs_f64())
            };
            let (answers, took) = under_load(site, || bad(&node), back)?;
            Ok(verdict(&answers, took))
        });
    }
}

/// Every machine, one after the other, loses its power: everything has to come back by itself.
pub(crate) fn reboots(site: &Site, sheet: &mut Sheet, stand: &Stand) {
    sheet.title("After a boot");
    for node in stand.lab().nodes() {
        sheet.check(&format!("{} comes back by itself", node.name()), || {
            stand.await_whole()?;
            node.poweroff()?;
            // Of the others the fleet knows nothing.
            if stand.nodes().iter().any(|name| name == node.name()) || node.name() == BALANCER {
                noticed(stand)?;
            }
            let begin = Instant::now();
            node.boot()?;
            stand.await_whole()?;
            wait::until(PATIENCE, || match site.get("/api/movie/7") {
                Ok(reply) if reply.status.is_success() => Ok(()),
                Ok(reply) => Err(format!("GET /api/movie/7: {}", reply.status)),
                Err(error) => Err(format!("{error:#}")),
            })?;
            let took = begin.elapsed().as_secs_f64();
            let failed = node.failed_units()?;
            ensure!(failed.is_empty(), "failed there: {}", failed.join(" "));
            Ok(Seen(took < BACK, format!("all is well {took:.1} s after it was switched on")))
        });
    }
}

/// What can be read on the machines: bingo's codes of a quick start, and that it is supervised.
pub(crate) fn starts(sheet: &mut Sheet, stand: &Stand) {
    sheet.title("Starts");
    for name in stand.nodes() {
        sheet.check(&format!("{name}: a start is quick, with both codes"), || {
            let node = stand.node(name)?;
            let agent = stand.agent(name)?;
            let warmup = agent.services.first().context("its agent supervises nothing")?.clone();
            let said = node.run(&["journalctl", "--quiet", "--output=cat", "--boot", "--unit=bingo.service"])?;
            let codes = ["yoohoo_server_launched", "google_dns_is_not_http"].map(|code| said.contains(code));
            Ok(Seen(codes == [true, true], format!("launched {}, quick {}, {}", codes[0], codes[1], warmup.state)))
        });
    }
    sheet.check("the coordinator has nothing against HAProxy's configuration", || {
        let out = stand.node(BALANCER)?.exec(&["warden-coordinator", "check"])?;
        Ok(Seen(out.ok(), out.stdout.trim().lines().last().unwrap_or_default().to_owned()))
    });
}

fn poisoned(site: &Site, value: u64) -> Result<()> {
    // Whether it is answered at all is the fault's matter.
    drop(site.ask(Method::POST, "/operation", &format!("{{\"operation\": {value}}}")));
    Ok(())
}

fn noticed(stand: &Stand) -> Result<()> {
    wait::until(PATIENCE, || stand.missing().map(drop).ok_or_else(|| "nobody noticed".to_owned()))
}

fn invocations(stand: &Stand) -> Result<Vec<String>> {
    stand.nodes().iter().map(|name| stand.node(name)?.property("bingo.service", "InvocationID")).collect()
}
