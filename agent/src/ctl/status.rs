//! `agentctl status`: every service of this node at a glance.

use super::Fitness;
use super::style::{BAD, BOLD, CARE, DIM, GOOD, abbreviated, ago, bytes, gauge, of_state, paint, sentence, short, span, sparkline};
use std::fmt::Write;
use warden_protocol::v1::control::{
    AgentStatus, CoordinatorLink, DependencyStatus, Gate, GateStatus, LastRestart, LogStatus, Mark, MarkKind, MemoryStatus, Mode,
    ProbeStatus, Process, RecycleStatus, Restarts, ServiceStatus, Tally,
};
use warden_protocol::v1::report::TrafficStatus;
use warden_protocol::vocab::{Confirmed, Evidence, Holder, ServiceState, Traffic, Verdict};

/// Where the label of a line ends.
const LABEL: usize = 13;
/// Where the node stands in a service's first line.
const NODE: usize = 48;
/// Below a whole point of penalty a loss of `serving` is long ago, or the first.
const FLAPPING: u32 = 1000;

/// Whether everything that the agent supervises is fit to serve.
#[must_use]
pub fn fitness(status: &AgentStatus) -> Fitness {
    Fitness::of(status.services.iter().map(|service| of(service.state)))
}

/// A suspect service still serves: some probes failed, fewer than the threshold.
pub(super) const fn of(state: ServiceState) -> Fitness {
    match state {
        ServiceState::Serving | ServiceState::Suspect => Fitness::Fit,
        ServiceState::Unknown => Fitness::CannotTell,
        ServiceState::Stopped
        | ServiceState::Starting
        | ServiceState::Warming
        | ServiceState::Proving
        | ServiceState::Sick
        | ServiceState::Restarting
        | ServiceState::Waiting
        | ServiceState::Parked
        | ServiceState::Held
        | ServiceState::Leaving
        | ServiceState::Maintenance => Fitness::NotFit,
    }
}

/// The whole status as text.
#[must_use]
pub fn draw(status: &AgentStatus) -> String {
    page(status, false)
}

/// The same with pictures of what runs full and what runs out, for a view that moves.
pub(super) fn draw_live(status: &AgentStatus) -> String {
    page(status, true)
}

fn page(status: &AgentStatus, gauges: bool) -> String {
    let node = format!("node {} · agent {}, up {}", sentence(&status.node), sentence(&status.version), span(status.uptime_ms));
    let mut page = Page { text: String::new(), gauges };
    if status.services.is_empty() {
        page.plain(&paint(DIM, &node));
        page.plain("no service is configured; put one into /etc/warden/agent.d/50-NAME.toml, then: systemctl reload warden-agent");
    }
    for (index, service) in status.services.iter().enumerate() {
        if index > 0 {
            page.plain("");
        }
        draw_service(&mut page, service, if index == 0 { &node } else { "" });
    }
    draw_coordinators(&mut page, &status.coordinators);
    page.text
}

/// Text that grows line by line. Writing to a `String` cannot fail.
struct Page {
    text: String,
    gauges: bool,
}

impl Page {
    fn plain(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn line(&mut self, label: &str, text: &str) {
        let _ = writeln!(self.text, "  {} {text}", paint(DIM, format!("{label:<width$}", width = LABEL - 1)));
    }

    /// A picture of how much of a whole that is, where it may be and the whole is known.
    fn gauge(&self, part: u64, whole: Option<u64>) -> String {
        whole.filter(|_| self.gauges).map_or_else(String::new, |whole| format!("{} ", gauge(part, whole)))
    }
}

fn draw_service(page: &mut Page, service: &ServiceStatus, node: &str) {
    let state = service.state.label().to_uppercase();
    let since = format!("for {}", span(service.since_ms));
    let unit = sentence(&service.unit);
    let width = unit.chars().count() + state.chars().count() + since.chars().count() + 4;
    let gap = " ".repeat(NODE.saturating_sub(width).max(2));
    let head = format!("{}  {}  {since}", paint(BOLD, &unit), paint(of_state(service.state).bold(), &state));
    page.plain(if node.is_empty() { head } else { format!("{head}{gap}{}", paint(DIM, node)) }.as_str());

    let evidence = service.evidence.map_or(String::new(), |evidence| match evidence {
        Evidence::Fatal => format!("  {}", paint(BAD, "fatal evidence")),
        Evidence::Suspect => format!("  {}", paint(CARE, "suspect evidence")),
    });
    let incident = service.incident.as_ref().map_or(String::new(), |id| format!("  incident {}", sentence(id)));
    page.line("why", &format!("{}{evidence}{incident}", sentence(&service.reason.text)));
    if service.mode == Mode::Shadow {
        page.line("mode", &paint(CARE, "shadow: it is judged, but neither restarted nor taken out"));
    }
    if let Some(mark) = &service.mark {
        let passed = page.gauge(mark.since_ms, mark.ends_in_ms.map(|left| left + mark.since_ms));
        page.line("mark", &format!("{passed}{}", paint(CARE, marked(mark))));
    }
    match (service.warmup, &service.next) {
        // While it warms up, the end of that is what comes next.
        (Some(warmup), _) => {
            let passed = page.gauge(warmup.length_ms.saturating_sub(warmup.left_ms), Some(warmup.length_ms));
            page.line("warm-up", &format!("{passed}{} of {} left", span(warmup.left_ms), span(warmup.length_ms)));
        }
        (None, Some(next)) => page.line("next", &format!("{} in {}", sentence(&next.what), span(next.in_ms))),
        (None, None) => {}
    }
    if let Some(gate) = shut(service) {
        page.line("waits for", &format!("{}: {}  {}", sentence(&gate.name), sentence(&gate.text), paint(DIM, "agentctl explain")));
    }
    match &service.process {
        Some(process) => {
            let invocation = abbreviated(&process.invocation);
            let text = format!("{}, invocation {invocation}, {}", process.pid, age(process, service.recycle.as_ref()));
            let lived = page.gauge(process.age_ms, service.recycle.as_ref().and_then(|recycle| recycle.at_age_ms));
            page.line("process", &format!("{lived}{text}  {}", paint(DIM, sentence(&service.unit_state))));
        }
        None => page.line("process", &format!("none  {}", paint(DIM, sentence(&service.unit_state)))),
    }
    if let Some(memory) = &service.memory {
        page.line("memory", &format!("{}{}", page.gauge(memory.bytes, memory.recycle_above), held(memory)));
    }
    if let Some(what) = service.recycle.as_ref().and_then(|recycle| recycle.waits_for.as_ref()) {
        page.line("recycling", &format!("waits for {}", sentence(what)));
    }
    for (index, asked) in service.probes.iter().enumerate() {
        page.line(if index == 0 { "probe" } else { "" }, &probe(asked));
    }
    for (index, dependency) in service.depends.iter().enumerate() {
        page.line(if index == 0 { "depends on" } else { "" }, &depends(dependency));
    }
    if service.penalty >= FLAPPING {
        let needed = service.probes.iter().map(|probe| probe.tally.needed_good).max().unwrap_or(0);
        let text = format!(
            "it keeps failing: {needed} good probes in a row are wanted before it serves again (penalty {})",
            tenths(service.penalty)
        );
        page.line("flapping", &paint(CARE, text));
    }
    if let Some(log) = &service.log {
        page.line("log", &log_line(log));
    }
    page.line("restarts", &restarts(&service.restarts));
    page.line("traffic", &traffic(service));
}

/// The gate that holds it, where one does.
fn shut(service: &ServiceStatus) -> Option<&Gate> {
    service.gates.iter().find(|gate| gate.status == GateStatus::Shut)
}

/// `drained by anna for 3 min 2 s, ends in 27 min: kernel upgrade`
fn marked(mark: &Mark) -> String {
    let what = match mark.kind {
        MarkKind::Drain => "drained",
        MarkKind::Maintenance => "in maintenance",
    };
    let ends = mark.ends_in_ms.map_or_else(|| "until somebody ends it".to_owned(), |ms| format!("ends in {}", span(ms)));
    let why = if mark.reason.is_empty() { String::new() } else { format!(": {}", sentence(&mark.reason)) };
    format!("{what} by {} for {}, {ends}{why}", sentence(&mark.by), span(mark.since_ms))
}

/// `age 12 min 36 s of 18 min`
fn age(process: &Process, recycle: Option<&RecycleStatus>) -> String {
    let most = recycle.and_then(|recycle| recycle.at_age_ms);
    let of = most.map_or(String::new(), |most| format!(" of {}", span(most)));
    let due = match recycle.and_then(|recycle| recycle.in_ms) {
        Some(0) => ", due to be recycled".to_owned(),
        Some(ms) => format!(", recycled in {}", span(ms)),
        None => String::new(),
    };
    format!("age {}{of}{due}", span(process.age_ms))
}

/// `14.2 MB of 120 MB`
fn held(memory: &MemoryStatus) -> String {
    match memory.recycle_above {
        Some(most) if memory.bytes > most => paint(CARE, format!("{} of {}, due to be recycled", bytes(memory.bytes), bytes(most))),
        Some(most) => format!("{} of {}", bytes(memory.bytes), bytes(most)),
        None => bytes(memory.bytes),
    }
}

fn depends(dependency: &DependencyStatus) -> String {
    let DependencyStatus { probe, up, text } = dependency;
    let state = match up {
        Some(true) => paint(GOOD, "up"),
        Some(false) => paint(BAD, "down"),
        None => paint(DIM, "not known yet"),
    };
    let last = probe.last.as_ref().map_or(String::new(), |last| format!(" in {}, {}", short(last.usec), ago(last.ago_ms)));
    format!("{} {state}: {}{last}   {}", sentence(&probe.name), sentence(text), paint(DIM, sentence(&probe.target)))
}

/// Thousandths with one digit: `2.4`.
fn tenths(milli: u32) -> String {
    format!("{:.1}", f64::from(milli) / 1000.0)
}

fn probe(probe: &ProbeStatus) -> String {
    let name = sentence(&probe.name);
    let Some(last) = &probe.last else { return format!("{name} {}: not asked yet", sentence(&probe.target)) };
    let style = match last.verdict {
        Verdict::Good => GOOD,
        Verdict::Bad => BAD,
        Verdict::Busy => CARE,
    };
    let counts = match probe.busy {
        0 => format!("{} good, {} bad", probe.good, probe.bad),
        busy => format!("{} good, {} bad, {busy} busy", probe.good, probe.bad),
    };
    let answer = paint(style, sentence(&last.text));
    format!(
        "{name} {answer} in {}, {}   {}   {counts}{}",
        short(last.usec),
        ago(last.ago_ms),
        sparkline(&probe.recent_usec),
        towards(probe)
    )
}

/// How far its last answers are from a verdict, while they are: `, 1 of 3 bad`.
fn towards(probe: &ProbeStatus) -> String {
    let Tally { bad, failures, of, .. } = probe.tally;
    match bad {
        0 => String::new(),
        _ if of > failures => paint(CARE, format!(", {bad} of the last {of} bad, {failures} are too many")),
        _ => paint(CARE, format!(", {bad} bad in a row, {failures} are too many")),
    }
}

fn log_line(log: &LogStatus) -> String {
    if let Some(error) = &log.error {
        return paint(BAD, format!("cannot be read: {}", sentence(error)));
    }
    let matched = match (log.hits, log.dismissed) {
        (0, _) => "no line matched".to_owned(),
        (1, 0) => "1 line matched".to_owned(),
        (hits, 0) => format!("{hits} lines matched"),
        (hits, dismissed) => format!("{hits} matched, {dismissed} dismissed because no probe confirmed"),
    };
    format!("{}; {matched}", sentence(&log.source))
}

fn restarts(restarts: &Restarts) -> String {
    let planned = restarts.planned;
    let Some(LastRestart { ago_ms, cause, incident, result }) = &restarts.last else {
        return if planned == 0 { "none so far".to_owned() } else { format!("{planned} so far, all planned") };
    };
    let planned = match planned {
        0 => String::new(),
        planned => format!(", {planned} more as planned"),
    };
    let window = format!("{} of {} in the window", restarts.in_window, restarts.limit);
    let full = restarts.in_window >= restarts.limit;
    let window = if full { paint(CARE, window) } else { window };
    let ended = match result.as_deref() {
        None => "under way".to_owned(),
        Some("done") => "done".to_owned(),
        Some(other) => paint(BAD, sentence(other)),
    };
    // A planned one belongs to no incident.
    let of = if incident.is_empty() { String::new() } else { format!("incident {}: ", sentence(incident)) };
    let last = format!("last {}, {ended} ({of}{})", ago(*ago_ms), sentence(&cause.text));
    format!("{} so far{planned}, {window}; {last}", restarts.total)
}

fn traffic(service: &ServiceStatus) -> String {
    match &service.traffic {
        Some(traffic) => balancer_says(traffic),
        None if service.backend.is_empty() => "no backend is configured: no balancer is told".to_owned(),
        None => format!("no coordinator says; this node wants {}", paint(wanted(service.wants.traffic), service.wants.traffic)),
    }
}

const fn wanted(traffic: Traffic) -> anstyle::Style {
    match traffic {
        Traffic::In => GOOD,
        Traffic::Out => CARE,
        Traffic::Keep => DIM,
    }
}

fn balancer_says(traffic: &TrafficStatus) -> String {
    let (style, confirmed) = match traffic.confirmed {
        Confirmed::In => (GOOD, "in"),
        Confirmed::Out => (CARE, "out"),
        Confirmed::Unknown => (DIM, "unknown"),
    };
    let holder = match traffic.by {
        Holder::Haproxy => "",
        Holder::Warden => ", taken out by Warden",
        Holder::Operator => ", held by operator",
        Holder::Floor => ", kept in by the floor",
    };
    let waits = match (traffic.wanted, traffic.confirmed) {
        (Traffic::In, Confirmed::Out) => ", wanted in",
        (Traffic::Out, Confirmed::In) => ", wanted out",
        _ => "",
    };
    let says = if traffic.server_status.is_empty() { String::new() } else { format!(" says {}", sentence(&traffic.server_status)) };
    let weight = traffic.weight.map_or(String::new(), |(now, full)| format!(", weight {now}/{full}"));
    format!("{}: HAProxy {}{says}{weight}{holder}{waits}", paint(style, confirmed), sentence(&traffic.balancer))
}

fn draw_coordinators(page: &mut Page, links: &[CoordinatorLink]) {
    if links.is_empty() {
        page.line("coordinator", "none is configured: this node looks after itself");
    }
    for link in links {
        let last = link.last_answer_ms_ago.map_or_else(|| "never answered".to_owned(), |ms| format!("last answer {}", ago(ms)));
        let state = if link.connected {
            paint(GOOD, "connected")
        } else {
            let why = link.error.as_ref().map_or(String::new(), |error| format!(": {}", sentence(error)));
            paint(BAD, format!("not connected{why}"))
        };
        page.line("coordinator", &format!("{} {state}, {last}", sentence(&link.url)));
    }
}
