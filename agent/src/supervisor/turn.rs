//! One turn of one machine, and everything that follows from it.

use super::ports::Ports;
use super::summary::shown;
use super::watched::Watched;
use super::{Supervisor, board};
use std::time::Duration;
use tokio::time::Instant;
use warden_edge::clock::random;
use warden_logic::moment::Moment;
use warden_logic::service::View;
use warden_logic::service::input::{Effect, Input, UnitSeen};
use warden_protocol::vocab::{ServiceState, Verdict};

/// What changed is kept this much later: first the coordinators hear of it, and what a burst changes is written once.
const KEEP_SOON: Duration = Duration::from_millis(2);
/// What only counts on is kept so often. An agent that is killed in between has forgotten some good answers.
const KEEP_LATER: Duration = Duration::from_secs(10);

/// What is remembered of an input beyond its turn.
struct Gist {
    /// systemd's word on the unit, or that there is none.
    read: bool,
    /// The pattern, and when its line was received.
    hit: Option<(usize, Moment)>,
    /// It says something about the service, rather than that time has passed.
    tells: bool,
}

impl Gist {
    fn of(input: &Input) -> Self {
        Self {
            read: matches!(input, Input::Unit(_) | Input::UnitUnseen { .. }),
            hit: if let Input::LogHit(hit) = input { Some((hit.pattern, hit.at)) } else { None },
            tells: !matches!(input, Input::Timer | Input::Traffic(_) | Input::Memory { .. }),
        }
    }
}

impl<P: Ports> Supervisor<P> {
    /// One turn of one machine.
    pub(super) fn turn(&mut self, service: usize, input: Input) {
        if service >= self.services.len() {
            return;
        }
        let (now, roll) = (self.setup.clock.now(), random());
        let gist = Gist::of(&input);
        self.trace.record(self.services.iter().map(|watched| (watched.unit.as_str(), &watched.machine)), service, now, roll, &input);
        let watched = &mut self.services[service];
        remember(watched, &input);
        let before = watched.machine.view(now);
        let effects = watched.machine.handle(now, roll, input);
        let after = watched.machine.view(now);
        watched.follow(&before, &after, gist.hit.map_or(now, |(_, at)| at));
        // What others must know goes first: tasks run in the order in which they are woken, and traffic that goes to a sick
        // server is worth more than the probe that confirms it. Then what must be done, then what is written down.
        self.board.send_modify(|board| {
            board.revision += u64::from(board::differs(&before, &after));
            let on_board = &mut board.services[service];
            on_board.view = after.clone();
            on_board.log_hits += u64::from(gist.hit.is_some());
        });
        self.act(service, now, &effects);
        if let Some((pattern, at)) = gist.hit {
            let of = &self.services[service];
            let name = of.patterns.get(pattern).map_or("", String::as_str);
            self.setup.metrics.log_hit(&of.unit, name, now.since(at));
        }
        self.tell(service, now, &effects, &before, &after);
        self.keep_when_changed(&gist, &effects, &after);
        if before.instance != after.instance {
            self.services[service].current = after.instance.map(|(invocation, _)| invocation);
            self.show_current();
        }
        if gist.read && !self.ready {
            self.services[service].read = true;
            if self.services.iter().all(|watched| watched.read) {
                self.become_ready();
            }
        }
        if !effects.is_empty() {
            self.gauges(service, &after);
        }
        // The line is made of all services, and most turns change none of them.
        if self.ready && shown(&before) != shown(&after) {
            self.say();
        }
        self.setup.metrics.turn(self.setup.clock.now().since(now));
    }

    fn keep_when_changed(&mut self, gist: &Gist, effects: &[Effect], after: &View) {
        let decided = effects.iter().any(|effect| !matches!(effect, Effect::Probe { .. }));
        // A steady good answer changes nothing that could not be learnt again.
        let in_doubt = gist.tells && after.state != ServiceState::Serving;
        if !decided && !gist.tells {
            return;
        }
        let at = Instant::now() + if decided || in_doubt { KEEP_SOON } else { KEEP_LATER };
        self.keep_at = Some(self.keep_at.map_or(at, |sooner| sooner.min(at)));
    }

    /// What others draw of it.
    pub(super) fn gauges(&self, service: usize, view: &View) {
        use warden_logic::service::MarkKind;
        use warden_logic::service::policy::Mode;
        let (metrics, watched) = (&self.setup.metrics, &self.services[service]);
        let unit = watched.unit.as_str();
        metrics.shadow(unit, view.mode == Mode::Shadow);
        for (kind, word) in [(MarkKind::Drain, "drain"), (MarkKind::Maintenance, "maintenance")] {
            metrics.marked(unit, word, view.mark.as_ref().is_some_and(|mark| mark.kind == kind));
        }
        metrics.penalty(unit, view.penalty);
        for (name, known) in watched.depends.iter().zip(&view.depends) {
            metrics.dependency(unit, name, known.up);
        }
    }
}

/// What evidence is made of, should it come to that.
fn remember(watched: &mut Watched, input: &Input) {
    match input {
        Input::Unit(UnitSeen { main_pid, .. }) => watched.main_pid = Some(*main_pid).filter(|pid| *pid != 0),
        Input::ProcessEnded { .. } => watched.main_pid = None,
        Input::Probed(probed) if probed.verdict == Verdict::Bad => watched.last_bad = Some((probed.invocation, probed.text.clone())),
        Input::Timer
        | Input::UnitUnseen { .. }
        | Input::Probed(_)
        | Input::LogHit(_)
        | Input::JobEnded { .. }
        | Input::Traffic(_)
        | Input::Memory { .. }
        | Input::Operator(_) => {}
    }
}
