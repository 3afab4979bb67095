//! What users get under the load that was promised, one list after another, and from the cache.

use crate::endpoints::{millis, ok};
use crate::sheet::{Seen, Sheet};
use crate::web::Site;
use anyhow::{Context, Result};
use std::time::Duration;
use tokio::time::Instant;
use warden_lab::wait;
use warden_scenarios::{Answers, Class, Load, Mix, Paths};

/// Peak and steady rate of the assignment.
const PEAK: u32 = 120;
const STEADY: u32 = 60;

/// Runs a load for so long.
pub(crate) fn under(site: &Site, mix: Mix, time: Duration) -> Result<Answers> {
    let load = Load::start_here(site.http, mix)?;
    let wanted = (f64::from(mix.rate) * time.as_secs_f64()) as usize;
    // Open-loop: so many requests take so long, slow answers or not.
    wait::until(time * 2 + Duration::from_secs(15), || {
        if load.done() >= wanted { Ok(()) } else { Err(format!("{} of {wanted} requests came to an end", load.done())) }
    })?;
    load.stop()
}

/// The share that failed: errors, cut answers, none at all, and those that were turned away.
pub(crate) fn failed(answers: &Answers) -> f64 {
    let failed = answers.failed().count() + answers.count(Class::Busy);
    failed as f64 / answers.0.len().max(1) as f64
}

/// In milliseconds. A request that failed took for ever: an error is quickly given.
fn p90(answers: &Answers, path: &str) -> f64 {
    let of_it = answers.0.iter().filter(|answer| answer.path == path);
    let mut times: Vec<u64> = of_it.map(|answer| if answer.class == Class::Answered { answer.usec } else { u64::MAX }).collect();
    times.sort_unstable();
    let index = times.len() * 9 / 10;
    times.get(index).copied().unwrap_or(u64::MAX) as f64 / 1e3
}

pub(crate) fn check(site: &Site, sheet: &mut Sheet, time: Duration) {
    sheet.title("Load");
    let seconds = time.as_secs();
    let mut peak = None;
    sheet.check(&format!("{PEAK} a second for {seconds} s: at most 1 % errors"), || {
        let answers = under(site, Mix { rate: PEAK, paths: Paths::Promised }, time)?;
        let share = failed(&answers);
        let text = format!("{:.2} % of {}", share * 100.0, answers.0.len());
        peak = Some(answers);
        Ok(Seen(share <= 0.01, text))
    });
    for path in ["/operation", "/db_dummy", "/api/movie/{id}", "/api/customer/{id}", "/api/session/{id}"] {
        sheet.check(&format!("{path}: 90 % under 400 ms meanwhile"), || {
            let time = p90(peak.as_ref().context("the load did not run")?, path);
            Ok(Seen(time < 400.0, if time < 1e9 { format!("p90 {time:.1} ms") } else { "one of ten or more failed".into() }))
        });
    }
    sheet.check(&format!("{STEADY} a second for {seconds} s, mixed: at most 1 % errors"), || {
        let answers = under(site, Mix::steady(), time)?;
        let share = failed(&answers);
        Ok(Seen(share <= 0.01, format!("{:.2} % of {}", share * 100.0, answers.0.len())))
    });
    sheet.title("Lists, one at a time");
    for (path, times, most) in [("/api/movie", 10_u32, 0.01), ("/api/customer", 10, 0.01), ("/api/session", 10, 0.05)] {
        sheet.check(&format!("GET {path}, {times} times: at most {} % errors", most * 100.0), || {
            let (mut bad, mut slowest, mut last) = (0_u32, 0.0_f64, String::new());
            for _ in 0..times {
                match site.get(path).and_then(ok).and_then(|reply| reply.json().map(|_| reply)) {
                    Ok(reply) => slowest = slowest.max(reply.took.as_secs_f64()),
                    Err(error) => {
                        bad += 1;
                        last = format!(", last: {error:#}");
                    }
                }
            }
            Ok(Seen(f64::from(bad) / f64::from(times) <= most, format!("{bad} failed, slowest {slowest:.2} s{last}")))
        });
    }
}

/// Long enough to see a copy grow as old as it may, and be renewed.
const CACHE_WATCHED: Duration = Duration::from_secs(75);

pub(crate) fn cache(site: &Site, sheet: &mut Sheet) {
    sheet.title("The cache");
    let (mut times, mut oldest, mut broken) = (Vec::new(), None::<u64>, None);
    let begin = Instant::now();
    sheet.check("GET /long_dummy for 75 s: 75 % under 1 s", || {
        while begin.elapsed() < CACHE_WATCHED {
            let next = begin.elapsed() + Duration::from_millis(500);
            match site.get("/long_dummy").and_then(ok) {
                Ok(reply) => {
                    times.push(reply.took);
                    oldest = oldest.max(reply.header("age").parse().ok());
                }
                Err(error) => broken = Some(format!("{error:#}")),
            }
            wait::until(Duration::from_secs(5), || if begin.elapsed() >= next { Ok(()) } else { Err("the pause is not over".into()) })?;
        }
        let quick = times.iter().filter(|time| time.as_secs_f64() < 1.0).count();
        let share = quick as f64 / times.len().max(1) as f64;
        Ok(Seen(
            share >= 0.75 && broken.is_none(),
            format!("{:.0} % of {}{}", share * 100.0, times.len(), broken.take().unwrap_or_default()),
        ))
    });
    sheet.check("no copy was older than a minute", || {
        let oldest = oldest.context("no answer had an age: none came from the cache")?;
        Ok(Seen(oldest <= 58, format!("the oldest {oldest} s, and the time it took to make")))
    });
}

pub(crate) fn protocols(site: &Site, sheet: &mut Sheet) {
    sheet.title("Ways in");
    sheet.check("http answers itself, without a redirect", || {
        let reply = ok(site.get("/")?)?;
        Ok(Seen(reply.header("location").is_empty(), format!("{}, {}", reply.status, millis(&reply))))
    });
    for (name, two) in [("https with HTTP/1.1", false), ("https with HTTP/2", true)] {
        sheet.check(name, || {
            let reply = ok(site.get_tls("/", two)?)?;
            Ok(Seen(true, format!("{:?} {}, {}", reply.version, reply.status, millis(&reply))))
        });
    }
    sheet.check("HTTP/3 is announced, and spoken", || {
        let announced = ok(site.get_tls("/ping", true)?)?.header("alt-svc").to_owned();
        let reply = ok(site.get_quic("/ping")?)?;
        let spoken = reply.text().trim_end() == "pong";
        Ok(Seen(spoken && announced.contains("h3="), format!("alt-svc {announced}; over QUIC {}, {}", reply.status, millis(&reply))))
    });
    sheet.check("the clock is right (no answer looks cached)", || {
        let reply = ok(site.get("/ping")?)?;
        let there = jiff::fmt::rfc2822::parse(reply.header("date")).context("no date in the answer")?.timestamp();
        let apart = (jiff::Timestamp::now() - there).as_secs_f64();
        Ok(Seen((-1.5..2.5).contains(&apart), format!("{apart:.1} s apart")))
    });
}
