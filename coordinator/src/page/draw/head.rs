//! The first screen: how the fleet stands in one sentence, what needs a look, and who says so.

use super::{Scene, Sheet, icon, tone_icon};
use crate::page::frame::Item;
use crate::page::judge::{Finding, Judgement, judge};
use crate::page::words;
use maud::{Markup, html};
use warden_protocol::v1::fleet::FleetStatus;

pub(super) fn draw(sheet: &mut Sheet<'_>, scene: &Scene<'_>) -> Markup {
    let judgement = judge(scene.fleet);
    let findings = findings(sheet, &judgement);
    html! {
        div #verdict role="status" { (sheet.single("verdict", |_| verdict(&judgement))) }
        ul #findings aria-label="What needs a look" { (sheet.region("findings", findings)) }
        div #facts { (sheet.single("facts", |pen| facts(pen, scene.fleet))) }
    }
}

fn verdict(judgement: &Judgement) -> Markup {
    html! {
        div #verdict-1 class={ "verdict " (judgement.level.label()) } data-title=(judgement.title) {
            (tone_icon(judgement.level.tone()))
            div {
                p.sentence { (judgement.sentence) "." }
                @if !judgement.details.is_empty() {
                    p.detail { @for (index, detail) in judgement.details.iter().enumerate() { @if index > 0 { " · " } (words::sentence(detail)) } }
                }
            }
        }
    }
}

fn findings(sheet: &mut Sheet<'_>, judgement: &Judgement) -> Vec<Item> {
    let mut items: Vec<Item> = judgement.findings.iter().enumerate().map(|(index, finding)| one(sheet, index, finding)).collect();
    if judgement.left_out > 0 {
        items.push(sheet.item("f-more".to_owned(), |pen| {
            html! { li id=(pen.id) { p { "and " (judgement.left_out) " more: " code { "agentctl fleet status" } " has them all" } } }
        }));
    }
    items
}

fn one(sheet: &mut Sheet<'_>, index: usize, finding: &Finding) -> Item {
    sheet.item(format!("f-{index}"), |pen| {
        html! {
            li id=(pen.id) class=(finding.level.label()) {
                (tone_icon(finding.level.tone()))
                p { strong { (finding.what) } @if !finding.why.is_empty() { span.why { (words::sentence(&finding.why)) } } }
            }
        }
    })
}

fn facts(pen: &mut super::Pen<'_>, fleet: &FleetStatus) -> Markup {
    let haproxy = &fleet.haproxy;
    let anew = match haproxy.resyncs {
        0 => "the same process since the coordinator began".to_owned(),
        1 => "a new process was found once".to_owned(),
        times => format!("a new process was found {times} times"),
    };
    html! {
        dl id=(pen.id) {
            div {
                dt { "HAProxy" }
                dd {
                    @if haproxy.connected { (icon("well")) "answers" } @else { (icon("ill")) "does not answer" }
                    @if let Some(version) = &haproxy.version { ", version " (words::name(version)) }
                    @if let Some(pid) = haproxy.pid { ", process " (pid) }
                    "; " (anew)
                }
            }
            div { dt { "Coordinator" } dd { "version " (words::name(&fleet.version)) ", up for " (pen.ago("up", fleet.uptime_ms)) } }
        }
    }
}
