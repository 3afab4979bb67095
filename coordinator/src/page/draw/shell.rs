//! The document around the page: what does not change while it is open.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Shapes for [`super::icon`], once in the document. Each is recognised without its colour.
const ICONS: &str = include_str!("../../../assets/icons.svg");

/// What the document says about the page in it.
pub(in crate::page) struct Shell<'a> {
    /// Which program drew it: another one means another script and other styles.
    pub(in crate::page) build: &'a str,
    /// Which state of the page it is.
    pub(in crate::page) version: &'a str,
    /// The coordinator's clock in milliseconds.
    pub(in crate::page) now: u64,
    /// The time of day at the balancer.
    pub(in crate::page) time: &'a str,
    pub(in crate::page) balancer: Markup,
    pub(in crate::page) title: &'a str,
    /// The page, as HTML.
    pub(in crate::page) page: String,
}

/// The document.
pub(in crate::page) fn document(shell: Shell<'_>) -> String {
    let Shell { build, version, now, time, balancer, title, page } = shell;
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex, nofollow";
                title { (title) }
                link rel="icon" type="image/svg+xml" href="/page/icon.svg";
                link rel="stylesheet" href={ "/page/page.css?" (build) };
                script src={ "/page/page.js?" (build) } defer {}
                noscript { meta http-equiv="refresh" content="30"; }
            }
            body data-build=(build) data-version=(version) data-now=(now) {
                a.skip href="#page" { "To the fleet" }
                (PreEscaped(ICONS))
                header.top {
                    p.brand { strong { "Warden" } " " (balancer) }
                    p #link role="status" class="still" {
                        "As of " (time) noscript { ". Without JavaScript this page draws itself anew every 30 s" }
                    }
                }
                main #page { (PreEscaped(page)) }
                footer {
                    p {
                        "This page only shows. What can be done: " code { "agentctl fleet" } " here, " code { "agentctl" } " on a node. "
                        a href="/metrics" { "Metrics" }
                    }
                }
            }
        }
    };
    document.into_string()
}

/// The document when the loop does not answer.
pub(in crate::page) fn trouble(build: &str, text: &str) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="refresh" content="5";
                title { "! Warden does not answer" }
                link rel="icon" type="image/svg+xml" href="/page/icon.svg";
                link rel="stylesheet" href={ "/page/page.css?" (build) };
            }
            body {
                (PreEscaped(ICONS))
                main #page { div.verdict.alarm { (super::icon("ill")) div { p.sentence { (text) } p.detail { "This page tries again every 5 s." } } } }
            }
        }
    };
    document.into_string()
}
